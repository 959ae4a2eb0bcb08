"""COVIDx label lists beside the folders that hold their images.

COVIDx: Wang, Lin, Wong, "COVID-Net", Scientific Reports 2020. The images come from several collections with licences of
their own, which the column ``source`` names.
"""

from __future__ import annotations

import re
from pathlib import Path

from lungwise.data.sources.listing import Listing, to_rows
from lungwise.errors import DataError, some

_LIST = re.compile(r"^(train|val|test)_COVIDx(\w+)\.txt$")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_SOURCE_TYPOS = {"rnsa": "rsna"}
_IMAGE_FOLDERS = ("images", "train", "test", "val", "data/train", "data/test", ".")


def covidx_versions(root: Path) -> dict[str, list[Path]]:
    """The versions, such as "9A", whose label lists lie in ``root``, each with its lists."""
    found: dict[str, list[Path]] = {}
    for file in sorted(root.iterdir()) if root.is_dir() else []:
        if match := _LIST.match(file.name):
            found.setdefault(match[2], []).append(file)
    return found


def list_covidx(root: Path, version: str | None = None, images: Path | None = None) -> Listing:
    """List the images that one version of COVIDx names.

    Args:
        root: the folder with ``train_COVIDx9A.txt`` and the like.
        version: which lists, for example "9A"; may be left out when there is only one version.
        images: the folder with the images; by default ``images``, ``train`` and ``test`` beside the lists.

    Raises:
        DataError: the version is not there or not said, or a line cannot be parsed (it is named).
    """
    versions = covidx_versions(root)
    if version is None and len(versions) == 1:
        version = next(iter(versions))
    if version is None or version not in versions:
        wanted = f"'{version}'" if version else "none"
        raise DataError(f"{root} has lists of COVIDx {some(list(versions))}, {wanted} was named; name one: --covidx VERSION.")
    base = images or root
    places = [base / name for name in _IMAGE_FOLDERS if (base / name).is_dir()]
    on_disk = {file.name: file for place in reversed(places) for file in place.iterdir() if file.suffix != ".txt"}
    records = []
    for path in versions[version]:
        split = _SPLITS[path.name.split("_")[0]]
        for number, line in enumerate(_lines(path), start=1):
            if line.strip():
                patient, file, label, source = parse_line(line, f"{path.name}:{number}")
                place = on_disk.get(file)
                records.append((place.relative_to(base).as_posix() if place else file, label, patient, source, split))
    return Listing("covidx", base, to_rows(records))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as cause:
        raise DataError(f"{path.name} must be UTF-8 text, but byte {cause.start} is not; save it as UTF-8.") from cause


def parse_line(line: str, where: str) -> tuple[str, str, str, str]:
    """Patient, file, class and source of one line.

    Lines are parsed from the right, because some patient ids and some file names' ids hold a blank
    (``COVID 1 COVID(1).png COVID-19 sirm``). The source "rnsa" is a typo for "rsna".

    Args:
        line: ``patient file class source``.
        where: file and line number, for the error.
    """
    fields = line.split()
    if len(fields) < 4:
        raise DataError(f"{where}: a COVIDx line must be 'patient file class source', got '{line.strip()}'; correct the list.")
    *patient, file, label, source = fields
    return " ".join(patient), file, label, _SOURCE_TYPOS.get(source, source)
