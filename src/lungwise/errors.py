"""What can go wrong, as one sentence a person can act on: the rule, what came, what to do."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


class LungwiseError(Exception):
    """A mistake in usage or input; its text is shown to the user without a traceback."""


class DataError(LungwiseError):
    """The collection of images, its table or its split cannot be used."""


class ImageError(LungwiseError):
    """One image cannot be read as a radiograph."""


class RecipeError(LungwiseError):
    """A recipe is unknown, or holds a key or value that is not allowed."""


class RunError(LungwiseError):
    """A run directory does not fit what is asked of it."""


class TrainingStoppedError(LungwiseError):
    """Training was asked to stop and has saved what is needed to go on."""


class WeightsError(LungwiseError):
    """Weights do not fit the model they are meant for, or cannot be had."""


class BundleError(LungwiseError):
    """A bundle cannot be written, or is not what it says it is."""


class MissingExtraError(LungwiseError):
    """An optional part of Lungwise is not installed."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: name of the module to import.
        extra: the extra of this package that installs it.
        purpose: what the user was doing, as the sentence's subject ("training").

    Raises:
        MissingExtraError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as cause:
        raise MissingExtraError(
            f"{purpose} needs '{module}', which is not installed: pip install 'lungwise[{extra}]'."
        ) from cause


def some(names: Sequence[object], limit: int = 5) -> str:
    """The first names of a list and how many more there are, for use in a sentence."""
    shown = ", ".join(str(name) for name in names[:limit])
    more = len(names) - limit
    return f"{shown} and {more} more" if more > 0 else shown


def several(number: int, one: str, more: str) -> str:
    """A number with the words that follow it: ``several(1, "film stands", "films stand")`` is "1 film stands"."""
    return f"{number} {one if number == 1 else more}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write ``path`` into one sentence each."""
    try:
        yield
    except OSError as cause:
        where = Path(cause.filename or path)
        if where.name.startswith("."):
            where = path  # the name of a draft would say nothing to the user
        # NumPy's tofile tells how much it could write, and keeps the system's number to itself.
        cut_short = cause.errno is None and "requested and" in str(cause)
        if cut_short or cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise LungwiseError(f"There is no room left to write {where}; free some space or choose another --out.") from cause
        if isinstance(cause, PermissionError) or cause.errno == errno.EROFS:
            raise LungwiseError(f"{where} must be writable, but it is read-only here; choose another --out.") from cause
        if isinstance(cause, NotADirectoryError | FileExistsError):
            raise LungwiseError(f"{where} must be a directory, but a file is in its place; choose another --out.") from cause
        raise


def printable(text: str) -> str:
    """A name or a decoder's words on one line, with "?" for what would act on a terminal or a log instead of being shown."""
    return "".join(character if character.isprintable() else "?" for character in text)
