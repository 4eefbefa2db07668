"""Text of others on a terminal: names in a file must neither style what is printed nor drive the terminal."""

from __future__ import annotations

from rich.markup import escape

__all__ = ["marked", "visible"]


def visible(text: str) -> str:
    r"""The text with every character that a terminal might obey written out.

    Example:
        >>> visible("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def marked(text: str) -> str:
    r"""The text for rich, which then shows it as it is.

    Example:
        >>> marked("[red]x[/red]")
        '\\[red]x\\[/red]'
    """
    return escape(visible(text))
