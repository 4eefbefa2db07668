"""Tables on narrow terminals: names and verdicts stay whole, what matters less gives way.

1. A table that fits is printed as it is. Columns of text may wrap, down to a few words; names and numbers may not.
2. Columns that the caller does not ask to keep are left out, from the right; a line below says which.
3. Where even the others do not fit, every row becomes a few lines that the terminal may wrap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

__all__ = ["print_fitted"]

_LEAST_TEXT: Final = 16  # cells that a column of text is wrapped to
_FRAME: Final = 3  # cells that a column takes besides its own


def print_fitted(table: Table, console: Console, keep: Sequence[str]) -> None:
    """Print a table so that it fits.

    Args:
        table: The first column has the names; columns justified to the right have numbers.
        console: Where it goes.
        keep: Headings of columns that matter, the most important first.
    """
    columns, width = list(table.columns), console.width
    asked = (i for heading in keep for i, column in enumerate(columns) if column.header == heading)
    kept = list(dict.fromkeys((0, *asked)))
    order = kept + [i for i in range(len(columns)) if i not in kept]
    while len(order) > max(1, len(kept)) and _width(console, [columns[i] for i in order]) > width:
        order.pop()
    chosen = [columns[i] for i in sorted(order)]
    if _width(console, chosen) > width:
        for line in _stacked(console, table, [columns[i] for i in kept]):
            console.print(line, soft_wrap=True)
        return
    console.print(_part(table, chosen))
    left_out = [str(column.header) for i, column in enumerate(columns) if i not in order]
    if left_out:
        words = f"too narrow for {', '.join(left_out)}: a wider terminal, a pipe or --json has them"
        console.print(words, markup=False, style="dim")


def _cells(console: Console, column: Column) -> list[Text]:
    return [console.render_str(cell) if isinstance(cell, str) else Text(str(cell)) for cell in column.cells]


def _width(console: Console, columns: Sequence[Column]) -> int:
    return 1 + sum(_FRAME + _least(console, column, first=i == 0) for i, column in enumerate(columns))


def _least(console: Console, column: Column, first: bool) -> int:
    """Cells that a column needs at least."""
    texts = [*_cells(console, column), Text(str(column.header))]
    lines = [cell_len(line) for text in texts for line in text.plain.splitlines()]
    widest = max(lines, default=0)
    return widest if first or column.justify == "right" else min(widest, _LEAST_TEXT)


def _part(table: Table, columns: Sequence[Column]) -> Table:
    found = Table(title=table.title, title_justify="left")
    for i, column in enumerate(columns):
        whole = i == 0 or column.justify == "right"
        found.add_column(column.header, justify=column.justify, no_wrap=whole, overflow="fold", style=column.style)
    for row, *cells in zip(table.rows, *(column.cells for column in columns), strict=True):
        found.add_row(*cells, style=row.style, end_section=row.end_section)
    return found


def _stacked(console: Console, table: Table, columns: Sequence[Column]) -> Iterator[Text]:
    if table.title is not None:
        yield console.render_str(table.title) if isinstance(table.title, str) else table.title
    for name, *cells in zip(*(_cells(console, column) for column in columns), strict=True):
        yield name
        for column, cell in zip(columns[1:], cells, strict=True):
            if cell.plain:
                yield Text.assemble("  ", f"{column.header} " if column.header else "", cell)
