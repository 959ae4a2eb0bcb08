"""The command ``lungwise``: every command is registered here, and every error becomes one sentence here."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

import lungwise
from lungwise.cli import data, demo, doctor, evaluation, hub, prediction, serve, training, tuning
from lungwise.cli.console import console
from lungwise.errors import LungwiseError, printable

Command = Callable[..., None]


def guarded(command: Command) -> Command:
    """The same command, with every error of a user and every interruption as one sentence and an exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except LungwiseError as error:
            console().print(f"Error: {printable(str(error))}", markup=False)
            raise typer.Exit(2) from error
        except ModuleNotFoundError as absent:
            said = f"This command needs '{absent.name}', which is not installed: pip install 'lungwise[train]'."
            console().print(f"Error: {said}", markup=False)
            raise typer.Exit(2) from absent
        except KeyboardInterrupt as stop:
            console().print("Interrupted; what is finished is kept, and the same command continues after it.")
            raise typer.Exit(130) from stop
        except BrokenPipeError as gone:
            # The reader of our output has left (for example ``| head``); nothing more can be said to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from gone
        except OSError as refusal:
            place = f" ({refusal.filename})" if refusal.filename else ""
            reason = refusal.strerror or str(refusal)
            console().print(
                f"Error: The operating system refused: {reason}{place}; check the place and try again.", markup=False
            )
            raise typer.Exit(2) from refusal

    return run


app = typer.Typer(
    name="lungwise",
    help="Chest X-ray classifiers that can be believed. Research use only; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Typer's formatted help imports the whole of Rich, which doubles the time of --help.
    rich_markup_mode=None,
)
for _command in (
    demo.demo, data.prepare, data.audit, training.train, tuning.tune, evaluation.evaluate, evaluation.compare,
    prediction.export, prediction.predict, hub.push, hub.pull,
    serve.serve, doctor.doctor,
):  # fmt: skip
    app.command()(guarded(_command))


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"lungwise {lungwise.__version__}\n")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options that stand before a command."""


def main() -> None:
    """Run the command line; exit code 0 done, 1 a check failed, 2 bad usage or input, 130 interrupted."""
    app()
