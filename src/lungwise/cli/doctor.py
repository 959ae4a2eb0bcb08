"""``lungwise doctor``: what is installed, which engines and codecs work, and what to do about the rest."""

from __future__ import annotations

import io
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungwise.cli.console import Json, console, print_json
from lungwise.errors import LungwiseError

if TYPE_CHECKING:
    from lungwise.inference.doctor import Check

_WIDTH = 80
_MARKS = {"ok": "ok", "absent": "-", "broken": "BROKEN"}


def doctor(
    model: Annotated[Path | None, typer.Option("--model", help="A bundle to verify and try as well.")] = None,
    settle: Annotated[bool, typer.Option("--settle", help="Measure the bundle's speed on every engine.")] = False,
    json: Json = False,
) -> None:
    """Examine this installation: packages, machine, engines, codecs and a self-test. Exit code 1: something is broken."""
    from lungwise.inference.doctor import examine

    if settle and model is None:
        raise LungwiseError("--settle measures a bundle; name it with --model.")
    checks = list(examine(model, settle=settle))
    ill = [check for check in checks if check.state == "broken"]
    if json:
        print_json({"healthy": not ill, "checks": [asdict(check) for check in checks]})
    else:
        sys.stdout.write(_text(checks))
        for check in ill:
            console().print(f"Broken: {check.part}, {check.name}: {check.said}. {check.cure}", markup=False)
        sys.stdout.write("" if ill else "Healthy.\n")
    if ill:
        raise typer.Exit(1)


def _text(checks: list[Check]) -> str:
    """A table a part, at most 80 columns wide."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    buffer = io.StringIO()
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    printer = Console(file=buffer, highlight=False, width=width)
    for part in dict.fromkeys(check.part for check in checks):
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for least in (6, 26, 0):
            table.add_column(min_width=least, overflow="fold")
        for check in (check for check in checks if check.part == part):
            said = f"{check.said}: {check.cure}" if check.state == "absent" and check.cure else check.said
            table.add_row(*map(Text, (_MARKS[check.state], check.name, said)))
        printer.print(Text(part.capitalize(), style="bold"))
        printer.print(table)
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())
