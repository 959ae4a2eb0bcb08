"""A long batch that survives its end: answers are appended to a journal, which becomes the file of answers when all are there.

``results.parquet`` has ``results.parquet.partial.jsonl`` beside it while it is being made. A killed process loses what it had
not yet appended; a torn last line is cut off. The journal's first line says with which bundle and settings it was begun.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from lungwise import __version__
from lungwise.errors import LungwiseError, writing
from lungwise.files import write_whole
from lungwise.inference.archive import Member
from lungwise.inference.inputs import Item, Stamp
from lungwise.inference.output import format_of, read_parquet, write_lines, write_parquet
from lungwise.inference.result import Result

if TYPE_CHECKING:
    from lungwise.inference.predictor import Predictor

_EACH = 512
"""Answers after which the disk is asked to keep what it was given, so that a power cut costs no more."""


def stamp(item: Item) -> Stamp:
    """What tells a file from a changed one of the same name; None for what is no file."""
    if isinstance(item.source, Member):
        return item.source.info.file_size, item.source.info.CRC
    try:
        status = Path(item.source).stat() if isinstance(item.source, Path) else None
    except (OSError, ValueError):  # the latter for a name that none can have
        return None
    return (status.st_size, status.st_mtime_ns) if status else None


def settings_of(predictor: Predictor, heatmaps: Path | None) -> dict[str, Any]:
    """What decides a predictor's answers besides the images; a batch cannot go on with other ones."""
    return {
        "lungwise": __version__,
        "bundle_sha256": predictor.bundle.sha256,
        "precision": predictor.bundle.precision,
        "views": predictor.views,
        "assess_anyway": predictor.assess_anyway,
        "heatmaps": None if heatmaps is None else str(heatmaps),
    }


def journal_of(out: Path) -> Path:
    """The journal of a file of answers."""
    return out.with_name(f"{out.name}.partial.jsonl")


class Journal:
    """The answers of one batch, to be used as a context manager.

    Args:
        out: the file of answers that it shall become.
        settings: what decides the answers besides the images: the bundle's hash, views and so on.
        resume: go on with the answers that are there: those of a journal, or of a finished parquet file.

    Raises:
        LungwiseError: answers are there and are not to be gone on with, or were made with other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], *, resume: bool = False) -> None:
        self.out, self.path, self._settings = out, journal_of(out), dict(settings)
        self.kept = 0
        """Images whose answers were there before."""
        format_of(out)  # refuses an ending before anything is done
        if self.path.exists() and not resume:
            raise LungwiseError(
                f"{self.path} holds the answers of an interrupted batch; go on with --resume {out}, or delete it to begin anew."
            )
        if resume and not self.path.exists() and out.exists():
            self._reopen()
        self._starts = array("q")  # where each answer's line begins
        self._order = array("q")  # the line of each image, in the order of the images
        self._known: dict[tuple[str, Stamp], int] = {}
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self._recover()
            self._file: BinaryIO = self.path.open("ab")
            if not self._file.tell():
                self._line({"settings": self._settings})
                self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if not self._starts:
            self.path.unlink(missing_ok=True)  # nothing to go on with

    def __len__(self) -> int:
        """Answers in the journal."""
        return len(self._starts)

    def left(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items that have no answer yet, with the stamps that they have before they are read.

        An item is known by its name and stamp. One that could not be read is tried again. What is left is numbered as the lines
        will be, so that heat maps keep names of their own.
        """
        ahead = len(self)
        for item in items:
            mark = stamp(item)
            line = self._known.get((item.name, mark))
            if line is None:
                self._order.append(ahead)
                yield replace(item, index=ahead, stamp=mark)
                ahead += 1
            else:
                self._order.append(line)
                self.kept += 1

    def append(self, item: Item, result: Result) -> None:
        """Add the answer for the next item of :meth:`left`; it is the operating system's when this returns."""
        with writing(self.out):
            self._starts.append(self._file.tell())
            self._line({"file": item.stamp, "result": result.to_dict()})
            self._file.flush()
            if len(self) % _EACH == 0:
                os.fsync(self._file.fileno())

    def fill(self, predictor: Predictor, items: Iterable[Item], heatmaps: Path | None = None) -> Generator[Result]:
        """Answer what has no answer yet and append it, giving each result; at the end the file of answers is made."""
        with closing(predictor.answers(self.left(items), heatmaps)) as answers:
            for item, result in answers:
                self.append(item, result)
                yield result
        self.finish(predictor.labels)

    def finish(self, labels: tuple[str, ...]) -> None:
        """Make the file of answers, in the order of the images, and remove the journal."""
        if self._order != array("q", range(len(self))):
            write_whole(self.path, self._arrange)
        if format_of(self.out) == "parquet":
            write_parquet(self.out, self.path, labels, self._settings)
        else:
            write_lines(self.out, (line["result"] for line in _lines(self.path) if "result" in line), labels)
        self.path.unlink()

    def _line(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value, allow_nan=False, ensure_ascii=False).encode() + b"\n")

    def _reopen(self) -> None:
        """Make a journal of a finished parquet file."""
        if format_of(self.out) != "parquet":
            raise LungwiseError(f"{self.out} is finished, and only a .parquet file can be gone on with; choose another --out.")
        settings, rows = read_parquet(self.out)
        self._check(settings)

        def fill(draft: Path) -> None:
            with draft.open("wb") as file:
                for value in ({"settings": settings}, *rows):
                    file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")

        write_whole(self.path, fill)

    def _recover(self) -> None:
        """Learn what the journal holds, and cut off what was being written when the process ended."""
        good = 0
        with self.path.open("rb+") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                line = self._parsed(raw)
                if good:
                    self._learn(line, good)
                else:
                    self._check(line.get("settings", {}))
                good += len(raw)
            file.truncate(good)

    def _check(self, begun: Mapping[str, Any]) -> None:
        """Refuse to mix the answers of one bundle or setting with those of another."""
        for key, value in self._settings.items():
            if begun.get(key) != value:
                raise LungwiseError(
                    f"A batch is gone on with as it was begun, but {self.out} has {key} {begun.get(key)} and this is {value}; "
                    "use the same, or choose another --out."
                )

    def _learn(self, line: Mapping[str, Any], start: int) -> None:
        result, mark = line["result"], line["file"]
        if result["status"] != "error":
            self._known[result["path"], tuple(mark) if mark else None] = len(self)
        self._starts.append(start)

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            return dict(json.loads(raw))
        except ValueError as cause:
            raise LungwiseError(f"{self.path} is damaged ({cause}); delete it and begin anew.") from cause

    def _arrange(self, draft: Path) -> None:
        """The journal once more, with one line for each image, in their order."""
        with self.path.open("rb") as source, draft.open("wb") as file:
            file.write(source.readline())
            for line in self._order:
                source.seek(self._starts[line])
                file.write(source.readline())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for raw in file:
            yield json.loads(raw)
