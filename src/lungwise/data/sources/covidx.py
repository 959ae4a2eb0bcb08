"""COVIDx label lists beside the folders that hold their images.

Licence: none of its own; the images come from several collections with terms of their own, which the column ``source``
names. Citation: Wang, Lin, Wong, "COVID-Net", Scientific Reports 10 (2020) 19549.
"""

from __future__ import annotations

import re
from pathlib import Path

from lungwise.data.sources.covidx_line import parse_line
from lungwise.data.sources.listing import Listing, Record, SourceOptions, check_text, to_rows
from lungwise.data.sources.places import Places
from lungwise.data.sources.tree import entries, suffix
from lungwise.errors import DataError, some
from lungwise.files import read_text

LICENCE = "mixed: the terms of each collection in the column 'source' (cohen, fig1, actmed, sirm, rsna, ricord, bimcv, ...)"
CITATION = (
    "Wang L, Lin ZQ, Wong A. COVID-Net: a tailored deep convolutional neural network design for detection of COVID-19 cases "
    "from chest X-ray images. Scientific Reports 10 (2020) 19549, doi:10.1038/s41598-020-76550-z"
)

_LIST = re.compile(r"^(train|val|test)(?:_(COVIDx)_?([\w-]*)|_(split\w*)|)\.txt$")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_CLASSES = {"A": ("COVID-19", "normal", "pneumonia"), "B": ("positive", "negative")}
"""Classes of the versions whose name ends in a number and one of these letters."""
_PLAIN = "kaggle"
"""What the lists train.txt, val.txt and test.txt of the Kaggle download are called."""


def recognises(root: Path) -> bool:
    """Whether a folder holds label lists of COVIDx."""
    return root.is_dir() and bool(covidx_versions(root))


def covidx_versions(root: Path) -> dict[str, list[Path]]:
    """The versions, such as "9A", whose label lists lie in ``root``, each with its lists.

    Lists called ``train_split.txt`` are the version "split", ``train.txt`` is "kaggle"; as any text may have such a
    name, their first line must be one of COVIDx.
    """
    found: dict[str, list[Path]] = {}
    for name in entries(root)[1] if root.is_dir() else []:
        if (match := _LIST.match(name)) and (match[2] or _looks_like_a_list(root / name)):
            found.setdefault(match[3] or match[4] or match[2] or _PLAIN, []).append(root / name)
    return found


def list_covidx(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List the images that one version of COVIDx names.

    Args:
        root: the folder with ``train_COVIDx9A.txt`` and the like.
        options: ``covidx`` says which lists, for example "9A", and may be left out when there is only one version;
            ``images`` is the folder with the images, by default ``root``. They may lie anywhere below it; see
            :class:`lungwise.data.sources.places.Places` for names that lie in several places.

    Raises:
        DataError: the version is not there or not said, or a line is not one of COVIDx (it is named).
    """
    versions, version = covidx_versions(root), options.covidx
    if version is None and len(versions) == 1:
        version = next(iter(versions))
    if version is None or version not in versions:
        wanted = f"'{version}'" if version else "none"
        raise DataError(f"{root} has lists of COVIDx {some(list(versions))}, {wanted} was named; name one: --covidx VERSION.")
    base = options.images or root
    places = Places(base)
    records: list[Record] = []
    seen: dict[str, str] = {}
    for path in versions[version]:
        records += _read_list(path, _classes(version), places, seen)
    secondary = any(suffix(record[0]) in (".dcm", ".dicom") for record in records)
    return Listing("covidx", base, to_rows(records), places.notes(), LICENCE, CITATION, secondary)


def _read_list(path: Path, classes: tuple[str, ...], places: Places, seen: dict[str, str]) -> list[Record]:
    """The records of one list; ``seen`` says where each file was listed before, over all lists."""
    split = _SPLITS[path.name.split("_")[0].partition(".")[0]]
    records = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        patient, file, label, source = parse_line(line, where, places)
        if classes and label not in classes:
            raise DataError(f"{where}: the class must be one of {some(classes)}, got '{label}'; correct the list.")
        if file in seen:
            raise DataError(f"{where}: {file} is listed already in {seen[file]}; keep one of the two lines.")
        seen[file] = where
        records.append((places.find(file, split, where), label, patient, source, split))
    if not records:
        raise DataError(f"{path.name} must name one image a line, but it is empty; fetch the list again.")
    return records


def _classes(version: str) -> tuple[str, ...]:
    return _CLASSES.get(version[-1], ()) if version[-2:-1].isdigit() else ()


def _looks_like_a_list(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        line = file.readline(4096)
    try:
        check_text(line)
        parse_line(line, path.name)
    except DataError:
        return False
    return True
