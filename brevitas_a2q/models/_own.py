"""Float networks that do not come with the package: the user's own functions, and timm's classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from torch import nn

from brevitas_a2q._named import named_function
from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError

__all__ = ["TIMM", "own_network", "timm_network"]

TIMM: Final = "timm:"


def own_network(name: str) -> Callable[..., nn.Module]:
    """What builds the network of ``package.module:function``; options are the function's own arguments.

    Raises:
        ConfigError: There is no such function; on building, it fails or returns something else.
    """
    where = f"model {name}"
    function = named_function(name, where)

    def network(**options: Any) -> nn.Module:
        try:
            model = function(**options)
        except (Exception, SystemExit) as error:  # of code that is not ours
            raise ConfigError(f"building it failed ({error!r})", where=where) from error
        if not isinstance(model, nn.Module):
            raise ConfigError(f"returned a {type(model).__name__}", where=where, expected="a float torch.nn.Module")
        return model

    return network


def timm_network(name: str) -> Callable[..., nn.Module]:
    """What builds the classifier ``timm:NAME``; options are ``classes`` and those of ``timm.create_model``.

    Raises:
        ConfigError: timm is not installed, or has no such model.
    """
    where, wanted = f"model {name}", name.removeprefix(TIMM)
    try:
        import timm
    except ImportError as error:
        raise ConfigError("found no timm", where=where, remedy="pip install timm") from error
    if not timm.is_model(wanted):
        known = nearest(wanted, timm.list_models())
        raise ConfigError(f"found model {name!r}", expected="a model of timm", remedy=known)

    def network(classes: int = 10, **options: Any) -> nn.Module:
        try:
            model: nn.Module = timm.create_model(wanted, num_classes=classes, **options)
        except Exception as error:  # timm raises of everything, downloads included
            raise ConfigError(f"building it failed ({error})", where=where) from error
        return model

    return network
