"""Functions of the user's own, named ``package.module:function`` in a configuration or on the command line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError

__all__ = ["is_named_function", "named_function"]


def is_named_function(name: str) -> bool:
    """Whether a text has the form ``package.module:function``.

    Example:
        >>> is_named_function("nets.vgg:build"), is_named_function("resnet18"), is_named_function("a b:c")
        (True, False, False)
    """
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def named_function(name: str, where: str) -> Callable[..., Any]:
    """Import a function; the current folder is looked in, too.

    Its module is executed: a configuration that names one is a program, to be run only if its author is trusted.

    Args:
        name: ``package.module:function``.
        where: How messages name the place it was found in.

    Raises:
        ConfigError: There is no such module, importing it fails, or it has no such function.

    Example:
        >>> named_function("math:hypot", "example")(3, 4)
        5.0
    """
    module_name, _, attribute = name.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a module of theirs raises
        absent = isinstance(error, ModuleNotFoundError) and error.name in (module_name, module_name.partition(".")[0])
        what = f"found no module {module_name!r}" if absent else f"importing {module_name!r} failed ({error!r})"
        remedy = f"run where it can be imported from, or install it; {here} was looked in" if absent else None
        raise ConfigError(what, where=where, expected="package.module:function", remedy=remedy) from error
    finally:
        if here in sys.path:
            sys.path.remove(here)
    found = getattr(module, attribute, None)
    if not callable(found):
        names = [known for known, value in vars(module).items() if callable(value)]
        raise ConfigError(
            f"found no function {attribute!r} in {module_name!r}", where=where, remedy=nearest(attribute, names)
        )
    function: Callable[..., Any] = found
    return function
