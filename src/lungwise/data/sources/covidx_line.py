"""One line of a COVIDx label list: ``patient file class source``, blank-separated, with blanks inside the fields too."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import PurePosixPath

from lungwise.data.sources.patients import guess
from lungwise.errors import DataError

_LINE = re.compile(r"^(?P<head>\S.*\.(?:png|jpe?g|jpe|tiff?|bmp|dcm))\s+(?P<label>\S+)(?:\s+(?P<source>\S+))?$", re.IGNORECASE)
_TYPOS = {"rnsa": "rsna"}
"""Slips in the published lists."""


def parse_line(line: str, where: str, on_disk: Container[str] = ()) -> tuple[str, str, str, str]:
    """Patient, file, class and source of one line.

    A line is read from its right, because patients (``COVID 1 COVID(1).png COVID-19 sirm``) and files
    (``COVID-19 (7) COVID-19 (7).png COVID-19 sirm``) may hold blanks: the class and, in all but the earliest lists, the
    source are one word each, and the file ends like an image. Of the ways to part what stands before them, the one
    whose file exists is taken, else the one where the patient is the file's stem, else the file is one word. Where
    there is no source, the file's name may tell it, else it is "covidx". The source "rnsa" is a slip for "rsna".

    Args:
        line: ``patient file class [source]``.
        where: file and line number, for the error.
        on_disk: names of the files that exist.

    Raises:
        DataError: the line is of another form.
    """
    match = _LINE.match(line.strip())
    gaps = list(re.finditer(r"\s+", match["head"])) if match else []
    if match is None or not gaps:
        raise DataError(f"{where}: a COVIDx line must be 'patient file class source', got '{line.strip()}'; correct the list.")
    patient, file = _part(match["head"], gaps, on_disk)
    source = match["source"] or guess(PurePosixPath(file).stem)[1] or "covidx"
    return " ".join(patient.split()), file, match["label"], _TYPOS.get(source, source)


def _part(head: str, gaps: list[re.Match[str]], on_disk: Container[str]) -> tuple[str, str]:
    """Patient and file, the longest file last."""
    ways = [(head[: gap.start()], head[gap.end() :]) for gap in reversed(gaps)]
    existing = [way for way in ways if way[1] in on_disk]
    symmetric = [way for way in ways if way[0] == PurePosixPath(way[1]).stem]
    return (existing or symmetric or ways)[0]
