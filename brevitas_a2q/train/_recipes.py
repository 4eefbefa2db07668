"""How a network is trained: optimizer, schedule, epochs; the published recipes by name.

Sources: I. Colbert et al., *A2Q+*, arXiv 2401.10432, appendix B.1, for the published ones; L. N. Smith and N. Topin,
*Super-Convergence*, arXiv 1708.07120, for the one-cycle schedule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from brevitas_a2q._settings import nearest, plain
from brevitas_a2q.errors import ConfigError

__all__ = ["RECIPES", "Recipe", "recipe_values"]


@dataclass(frozen=True)
class Recipe:
    """Optimizer and schedule of one phase of training.

    Args:
        optimizer: ``"sgd"``, ``"adam"`` or ``"adamw"`` (weight decay apart from the gradient).
        learning_rate: Rate at the start; for ``one-cycle`` the peak.
        momentum: Of SGD; the others have their own.
        nesterov: Whether SGD looks ahead.
        weight_decay: L2 penalty.
        decay: What it is put on: ``"all"`` parameters, as in the papers, or ``"weights"`` of layers only, so that
            learned scales (of which the optimizer sees the logarithm) are not drawn to 1.
        schedule: ``"constant"``; ``"step"`` multiplies the rate by ``factor`` every ``step_epochs`` epochs;
            ``"exponential"`` by ``factor`` every epoch; ``"one-cycle"`` rises for ``warmup_share`` of all steps and
            falls to nearly nothing.
        factor: Of ``step`` and ``exponential``.
        step_epochs: Of ``step``.
        warmup_share: Of ``one-cycle``, in (0, 1).
        epochs: Passes over the training data.
        batch_size: Examples per step, over all processes together.
        penalty: Lambda of A2Q's penalty on norms above their cap.
        loss: Of the task by name (``"mse"`` or ``"l1"`` for super-resolution, ``"cross-entropy"`` or
            ``"smoothed-cross-entropy"`` for classification); None for the task's own, the first of them.
        batch_norm_epochs: Epochs in which batch norm normalises by the statistics of each batch; after them by its
            running ones. None for all. Statistics of small batches of small windows hide how bright an image is, which
            super-resolution has to get right.
        first_image_size: Of the classification of images: their height in pixels in the first epoch. They grow to their
            own in steps of four pixels, and have it in the last third of the epochs; small images are quick. None for
            images as they are.

    Example:
        >>> Recipe(epochs=3).schedule
        'one-cycle'
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    learning_rate: float = 5e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 1e-5
    decay: Literal["all", "weights"] = "all"
    schedule: Literal["constant", "step", "exponential", "one-cycle"] = "one-cycle"
    factor: float = 0.1
    step_epochs: int = 30
    warmup_share: float = 0.3
    epochs: int = 15
    batch_size: int = 64
    penalty: float = 1e-3
    loss: str | None = None
    batch_norm_epochs: int | None = None
    first_image_size: int | None = None

    def __post_init__(self) -> None:
        def check(name: str, holds: bool, expected: str) -> None:
            if not holds:
                raise ConfigError(f"found {name} = {getattr(self, name)!r}", where="recipe", expected=expected)

        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            check(name, not isinstance(value, float) or math.isfinite(value), "a finite number")
        check("learning_rate", self.learning_rate > 0, "more than 0")
        check("momentum", 0 <= self.momentum < 1, "at least 0 and below 1")
        check("nesterov", not self.nesterov or self.momentum > 0, "false where momentum is 0")
        check("weight_decay", self.weight_decay >= 0, "at least 0")
        check("factor", 0 < self.factor <= 1, "above 0 and at most 1")
        check("step_epochs", self.step_epochs >= 1, "at least 1")
        check("warmup_share", 0 < self.warmup_share < 1, "between 0 and 1")
        check("epochs", self.epochs >= 1, "at least 1")
        check("batch_size", self.batch_size >= 2, "at least 2, because batch norm needs more than one example")
        check("penalty", self.penalty >= 0, "at least 0")
        check("batch_norm_epochs", self.batch_norm_epochs is None or self.batch_norm_epochs >= 0, "at least 0, or null")
        check("first_image_size", self.first_image_size is None or self.first_image_size >= 1, "at least 1, or null")

    def image_size(self, epoch: int, own: int) -> int:
        """Height of the images of an epoch, from 1; ``own`` is what they have.

        Example:
            >>> [Recipe(epochs=6, first_image_size=16).image_size(epoch, 32) for epoch in range(1, 7)]
            [16, 20, 24, 28, 32, 32]
        """
        growing = 2 * self.epochs // 3
        if self.first_image_size is None or epoch > growing:
            return own
        return self.first_image_size + 4 * ((own - self.first_image_size) * (epoch - 1) // (4 * growing))


RECIPES: Final[Mapping[str, Recipe]] = {
    "one-cycle": Recipe(),
    "one-cycle-cifar10": Recipe(
        "sgd", 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, decay="weights", epochs=30, batch_size=512
    ),
    "a2q-plus-resnet18": Recipe(
        "sgd", 1e-3, weight_decay=1e-5, schedule="step", factor=0.1, step_epochs=30, epochs=100, batch_size=256
    ),
    "a2q-plus-mobilenet-v1": Recipe(
        "sgd", 1e-3, weight_decay=1e-5, schedule="exponential", factor=0.9, epochs=100, batch_size=64
    ),
    "a2q-plus-super-resolution": Recipe(
        "adam", 1e-3, weight_decay=1e-5, schedule="exponential", factor=0.999, epochs=300, batch_size=8
    ),
}
"""``one-cycle`` and ``one-cycle-cifar10`` are ours and short; the others are the published ones, by network."""


def recipe_values(values: Any, where: str) -> Any:
    """Replace the name of a recipe by its values; a mapping's key ``base`` names one that its other keys change.

    Raises:
        ConfigError: There is no recipe of this name.

    Example:
        >>> recipe_values({"base": "a2q-plus-resnet18", "epochs": 3}, "recipe")["step_epochs"]
        30
    """
    if isinstance(values, str):
        values = {"base": values}
    if not isinstance(values, Mapping) or "base" not in values:
        return values
    name = values["base"]
    if not isinstance(name, str) or name not in RECIPES:
        expected = f"one of {', '.join(RECIPES)}"
        raise ConfigError(f"found the recipe {name!r}", where=where, expected=expected, remedy=nearest(name, RECIPES))
    return plain(RECIPES[name]) | {key: value for key, value in values.items() if key != "base"}
