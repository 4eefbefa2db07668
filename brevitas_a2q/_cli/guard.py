"""No command writes over what it reads, twice to one place, or over a file of another kind: refused before its work."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from brevitas_a2q._cli.kinds import kind_of, replaces_another_kind
from brevitas_a2q._origin import ORIGIN, Origin
from brevitas_a2q.errors import ExportError

__all__ = ["Guarded"]

# Parameters that name what is written; every other path is read, and so is text that happens to name what is there
# (data, networks and parts may be files or names). One spelling each, on every command.
_OUTPUTS: Final = frozenset({"out", "output", "certificate", "html", "plot"})


class Guarded(click.Command):
    """A command that looks at all of its paths before it does anything."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it.

        Raises:
            ExportError: An output is also an input, or a file of another kind; or two outputs are the same file.
        """
        _refuse_destructive(ctx)
        token = ORIGIN.set(_origin(ctx))
        try:
            return super().invoke(ctx)
        finally:
            ORIGIN.reset(token)


def _origin(context: click.Context) -> Origin:
    """The command as it would be typed, and all its settings, for pages."""
    words, settings = [context.command_path], dict[str, str]()
    for option in context.command.params:
        value = context.params.get(option.name or "")
        shown = " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
        settings[_name(option)] = "-" if value is None else shown
        if value is None or value == () or value is False:
            continue
        if isinstance(option, click.Argument):
            words.append(shlex.quote(shown))
        elif context.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT:
            words.append(option.opts[0] if value is True else f"{option.opts[0]} {shlex.quote(shown)}")
    return Origin(" ".join(words), settings)


def _refuse_destructive(context: click.Context) -> None:
    given = [(option, path) for option in context.command.params for path in _paths(context.params.get(option.name))]
    outputs = [(option, path) for option, path in given if option.name in _OUTPUTS]
    inputs = [(option, path) for option, path in given if option.name not in _OUTPUTS]
    for index, (option, path) in enumerate(outputs):
        for other, taken in inputs + outputs[:index]:
            if _same(path, taken) or _is_part(path, taken, context.params.get(other.name or "")):
                what = "two outputs" if other.name in _OUTPUTS else "an output and an input"
                raise ExportError(
                    f"found {what}, {_name(other)} and {_name(option)}, that are one file",
                    where=f"file {path}",
                    expected="a name of its own for each",
                )
        kind = kind_of(str(context.command.name), str(option.name))
        if kind is not None and replaces_another_kind(kind, path):
            raise ExportError(
                f"found something else than {kind}, which would be replaced",
                where=f"file {path}",
                expected=f"a new name for {_name(option)}, or one of an earlier result",
            )


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path) or (isinstance(value, str) and _is_there(value)):
        yield Path(value)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _paths(part)


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long for a name, a zero byte in it
        return False


def _is_part(output: Path, folder: Path, given: Any) -> bool:
    """Whether an output would replace a file of a folder of data."""
    return (
        isinstance(given, str) and folder.is_dir() and output.is_file() and folder.resolve() in output.resolve().parents
    )


def _same(one: Path, other: Path) -> bool:
    """Whether two names lead to one file: by their paths, or through links to what is there."""
    try:
        if one.resolve() == other.resolve():
            return True
        return one.is_file() and other.is_file() and os.path.samefile(one, other)
    except (OSError, ValueError, RuntimeError):  # unreadable, a zero byte in the name, a loop of links
        return False


def _name(parameter: click.Parameter) -> str:
    return parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.metavar or parameter.name)
