"""How commands speak: results on standard output, progress and remarks on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def console(quiet: bool = False) -> Console:
    """A console on standard error; ``quiet`` makes it silent."""
    from rich.console import Console

    # Where there is no terminal to measure (a log, a pipe), tables keep the width that they need.
    width = None if sys.stderr.isatty() else 160
    return Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True, width=width)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def table(title: str, columns: list[str], rows: list[list[str]]) -> Any:
    """A Rich table of texts; nothing in them is taken for markup."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
