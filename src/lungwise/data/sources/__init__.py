"""Where X-rays come from: each source becomes a listing of files with label, patient, source and split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lungwise.data.sources import covidx, darkcovidnet, kaggle, kermany, medmnist, nih, radiography, rsna
from lungwise.data.sources.findings import only
from lungwise.data.sources.folder import list_folder
from lungwise.data.sources.listing import Listing, SourceOptions
from lungwise.data.sources.table import SUFFIXES as TABLE_SUFFIXES
from lungwise.data.sources.table import list_table
from lungwise.data.sources.tree import entries
from lungwise.errors import DataError

__all__ = ["KINDS", "Kind", "Listing", "SourceOptions", "list_source"]


@dataclass(frozen=True)
class Kind:
    """A kind of source.

    Args:
        name: what it is called in an error.
        recognises: whether a file or folder is of this kind; looks at names and first lines only.
        list: lists it.
        many: whether images have several findings, so that ``classes`` is used while listing.
    """

    name: str
    recognises: Callable[[Path], bool]
    list: Callable[[Path, SourceOptions], Listing]
    many: bool = False


def _is_table(source: Path) -> bool:
    return source.is_file() and source.suffix.lower() in TABLE_SUFFIXES


KINDS = (
    Kind("a table", _is_table, list_table),
    Kind("COVIDx", covidx.recognises, covidx.list_covidx),
    Kind("Kermany", kermany.recognises, kermany.list_kermany),
    Kind("DarkCovidNet", darkcovidnet.recognises, darkcovidnet.list_darkcovidnet),
    Kind("COVID-19 Radiography Database", radiography.recognises, radiography.list_radiography),
    Kind("NIH ChestX-ray14", nih.recognises, nih.list_nih, many=True),
    Kind("RSNA Pneumonia Detection Challenge", rsna.recognises, rsna.list_rsna, many=True),
    Kind("MedMNIST", medmnist.recognises, medmnist.list_medmnist, many=True),
)
"""All kinds but the plain folder of class folders, which is what a folder is that nothing here recognises."""
_FOLDER = Kind("a folder of classes", Path.is_dir, list_folder)
_WRAPPINGS = 3
"""How many folders with nothing but one folder in them are looked through; archives bring them."""


def list_source(source: Path | str, options: SourceOptions = SourceOptions()) -> Listing:
    """List a source, whatever its kind; see ``KINDS``.

    Args:
        source: a table, an ``.npz`` file of MedMNIST, a folder, or ``kaggle:owner/dataset``.
        options: what the user says of it.

    Raises:
        DataError: the source does not exist, cannot be opened, is of no known kind or of two.
    """
    try:
        root = kaggle.fetch(source) if kaggle.is_kaggle(source) else Path(source)
        root, kind = _recognise(root, options)
        listing = kind.list(root, options)
    except OSError as cause:
        raise DataError(f"{cause.filename or source} cannot be opened: {cause.strerror}; check its permissions.") from cause
    listing = listing if kind.many else only(listing, options.classes)
    return replace(listing, secondary=listing.secondary or options.secondary)


def _recognise(source: Path, options: SourceOptions) -> tuple[Path, Kind]:
    """The kind of a source, and the folder it begins at, behind folders that only wrap it."""
    if options.images is not None and not options.images.is_dir():
        raise DataError(f"--images must be a folder, but {options.images} is none; correct the path.")
    if not source.exists():
        raise DataError(f"A source must be a folder or a table, but {source} does not exist; correct the path.")
    if options.covidx and source.is_dir():
        return source, next(kind for kind in KINDS if kind.name == "COVIDx")
    place: Path | None = source
    for _ in range(_WRAPPINGS):
        if place is None:
            break
        fitting = [kind for kind in KINDS if kind.recognises(place)]
        if len(fitting) > 1:
            names = " and ".join(kind.name for kind in fitting)
            raise DataError(f"A source must be of one kind, but {place} looks like {names}; give each a folder of its own.")
        if fitting:
            return place, fitting[0]
        place = _wrapped(place)
    if source.is_file():
        raise DataError(f"A source must be a folder or one of {[*TABLE_SUFFIXES, '.npz']}, got {source.name}.")
    return source, _FOLDER


def _wrapped(folder: Path) -> Path | None:
    """The only folder in a folder that holds no file, else None."""
    folders, files = entries(folder) if folder.is_dir() else ([], [])
    return folder / folders[0] if len(folders) == 1 and not files else None
