"""Float classifiers of torchvision by ``torchvision:NAME``."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from brevitas_a2q._extras import need
from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError, DataError

__all__ = ["PREFIX", "classifier"]

PREFIX = "torchvision:"
_TWO_OUTPUTS = ("googlenet", "inception_v3")  # while they train, which no loss here takes


def classifier(name: str) -> Callable[..., nn.Module]:
    """What builds the classifier ``torchvision:NAME``; its options are ``classes`` and ``weights``.

    Raises:
        ConfigError: torchvision has no classifier of this name.
    """
    need(f"model {name}", "torchvision")
    from torchvision import models

    names = [known for known in models.list_models(module=models) if known not in _TWO_OUTPUTS]
    wanted = name.removeprefix(PREFIX)
    if wanted not in names:
        raise ConfigError(
            f"found model {name!r}",
            expected=f"{PREFIX}NAME with a classifier of torchvision, for example {PREFIX}resnet18",
            remedy=nearest(wanted, names),
        )

    def network(classes: int = 10, weights: str | None = None) -> nn.Module:
        """The float network; ``weights`` as torchvision names them, with a new last layer of ``classes`` outputs."""
        if weights is None:
            model: nn.Module = models.get_model(wanted, num_classes=classes)
            return model
        try:
            model = models.get_model(wanted, weights=weights)
        except (KeyError, ValueError) as error:
            raise ConfigError(f"found weights {weights!r} ({error})", where=f"model {name}") from error
        except OSError as error:
            raise DataError(
                f"weights {weights} cannot be fetched ({error})",
                where=f"model {name}",
                remedy="train from scratch (weights: null), or fetch them on a machine that is online",
            ) from error
        return _with_classes(model, classes)

    return network


def _with_classes(model: nn.Module, classes: int) -> nn.Module:
    """The model with its last dense layer, or the 1x1 convolution in its place, made for another number of classes."""
    name, last = [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))][-1]
    parent, _, attribute = name.rpartition(".")
    new = (
        nn.Linear(last.in_features, classes)
        if isinstance(last, nn.Linear)
        else nn.Conv2d(last.in_channels, classes, kernel_size=1)
    )
    setattr(model.get_submodule(parent), attribute, new)
    return model
