"""Files put in their place all together: a draft beside it is filled, made durable and moved there in one step."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from lungwise.bundle.container import KNOWN, SPEC
from lungwise.errors import BundleError, writing


def place(out: Path, files: Mapping[str, Iterable[bytes]]) -> None:
    """Put files in their place as a directory, or as a zip where ``out`` ends so: all of them or none.

    Args:
        out: the place, already checked by :func:`check_place`.
        files: name to contents, in pieces, so that large files need not be held in memory.

    Raises:
        LungwiseError: they cannot be written.
    """
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fill(draft, files, zipped=out.suffix == ".zip")
            _replace(draft, out)
        finally:
            _remove(draft)


def check_place(out: Path, overwrite: bool) -> None:
    """Refuse a place that is taken; what is more than a bundle is never replaced."""
    if out.name in ("", ".."):
        raise BundleError(f"A bundle needs a name of its own, but --out is {out}; name a new directory or zip file.")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (overwrite and _is_bundle(out)):
        what = "another bundle; add --overwrite or choose" if _is_bundle(out) else "something else; choose"
        raise BundleError(f"A bundle needs a free place, but {out} holds {what} another --out.")


def _is_bundle(path: Path) -> bool:
    """Whether a bundle's files are there and nothing else."""
    if path.is_dir():
        names = {child.name for child in path.iterdir()}
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    else:
        return False
    return SPEC in names and names <= set(KNOWN)


def _fill(draft: Path, files: Mapping[str, Iterable[bytes]], *, zipped: bool) -> None:
    if zipped:
        with draft.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, pieces in files.items():
                    # A fixed time, so that the same bundle has the same bytes.
                    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    with archive.open(entry, "w", force_zip64=True) as inside:
                        inside.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        return
    draft.mkdir()
    for name, pieces in files.items():
        with (draft / name).open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())


def _replace(draft: Path, out: Path) -> None:
    """Move the draft to its place; an old bundle is only removed once the new one is there, else put back."""
    if out.is_dir():
        old = out.with_name(f".{out.name}.old.{os.getpid()}")
        os.replace(out, old)
        try:
            os.replace(draft, out)
        finally:
            if not out.exists():
                os.replace(old, out)
        _remove(old)
    else:
        os.replace(draft, out)


def _remove(draft: Path) -> None:
    if draft.is_dir() and not draft.is_symlink():
        shutil.rmtree(draft)
    else:
        draft.unlink(missing_ok=True)
