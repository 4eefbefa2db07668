"""Lightning and Hugging Face's Trainer: A2Q's penalty in every step, a certificate at the end.

The penalty depends on parameters alone, so its gradient is added right before the optimizer's step: once a step,
however many batches it accumulates; after mixed precision has unscaled, and after processes have averaged theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import CertificateError, ConfigError
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.quant._penalty import a2q_penalty
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._certify import certify
from brevitas_a2q.verify._document import certificate_json

__all__ = ["Guard", "lightning_callback", "trainer_callback"]

_LAMBDA: Final = 1e-3


@dataclass
class Guard:
    """What both callbacks do.

    Args:
        example_inputs: Input tensor, or tuple of inputs, to run the network once; None for the first training batch.
        penalty: Lambda of A2Q's penalty; 0 for none. It is zero where all layers project.
        path: Where to write the certificate as JSON; None for nowhere.
        require: Whether a certificate that does not hold ends in an error.

    Attributes:
        certificate: Of the trained network; None until training ends.
    """

    example_inputs: Any = None
    penalty: float = _LAMBDA
    path: str | Path | None = None
    require: bool = True
    certificate: Certificate | None = None

    def see(self, batch: Any) -> None:
        """Keep one batch as the example, where none was given."""
        if self.example_inputs is None:
            first = batch[0] if isinstance(batch, (tuple, list)) else batch
            self.example_inputs = first[:2].detach().clone() if isinstance(first, torch.Tensor) else None

    def before_step(self, model: nn.Module) -> float:
        """Add the penalty's gradient to those of the loss; returns the penalty."""
        penalty = a2q_penalty(model, self.penalty) if self.penalty else torch.zeros(())
        if penalty.requires_grad:
            penalty.backward()
        return float(penalty.detach())

    def finish(self, model: nn.Module) -> Certificate | None:
        """Certify the network; nothing where it has no accumulator-aware layer.

        Raises:
            ConfigError: There is no example to run it on.
            CertificateError: It does not hold, and that was asked for.
        """
        if not any(True for _ in accumulator_layers(model)):
            return None
        if self.example_inputs is None:
            raise ConfigError(
                "found no example inputs", where="callback", expected="a tensor", remedy="pass example_inputs="
            )
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        inputs = self.example_inputs if isinstance(self.example_inputs, (tuple, list)) else (self.example_inputs,)
        self.certificate = certify(model, tuple(x.to(device) if hasattr(x, "to") else x for x in inputs))
        if self.path is not None:
            write_atomically(Path(self.path), certificate_json(self.certificate))
        if self.require and not self.certificate.holds:
            broken = next(layer.name for layer in self.certificate.layers if not layer.holds)
            raise CertificateError("can leave its target width", where=f"layer {broken}", expected="a proof")
        return self.certificate


def lightning_callback(
    example_inputs: Any = None, penalty: float = _LAMBDA, path: str | Path | None = None, require: bool = True
) -> Any:
    """A callback for Lightning's ``Trainer(callbacks=[...])``; its ``guard.certificate`` is there after ``fit``.

    The penalty is logged as ``a2q_penalty``. Arguments are those of :class:`Guard`.

    Raises:
        ConfigError: Lightning is not installed.
    """
    base = _lightning()

    class A2QCallback(base):  # type: ignore[misc, valid-type]
        """See :func:`lightning_callback`."""

        def __init__(self) -> None:
            self.guard = Guard(example_inputs, penalty, path, require)

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            self.guard.see(batch)

        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            found = self.guard.before_step(pl_module)
            if trainer.logger is not None:
                pl_module.log("a2q_penalty", found)

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.is_global_zero:
                self.guard.finish(pl_module)

    return A2QCallback()


def trainer_callback(
    example_inputs: Any, penalty: float = _LAMBDA, path: str | Path | None = None, require: bool = True
) -> Any:
    """A callback for Hugging Face's ``Trainer(callbacks=[...])``; its ``guard.certificate`` is there after ``train``.

    Arguments are those of :class:`Guard`; ``example_inputs`` are positional arguments of the model.

    Raises:
        ConfigError: transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError as error:
        raise ConfigError("is not installed", where="transformers", remedy="pip install transformers") from error

    class A2QCallback(TrainerCallback):
        """See :func:`trainer_callback`."""

        def __init__(self) -> None:
            self.guard = Guard(example_inputs, penalty, path, require)

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.guard.before_step(given["model"])

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if state.is_world_process_zero:
                self.guard.finish(given["model"])

    return A2QCallback()


def _lightning() -> Any:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback
        except ImportError as error:
            raise ConfigError("is not installed", where="lightning", remedy="pip install lightning") from error
    return Callback
