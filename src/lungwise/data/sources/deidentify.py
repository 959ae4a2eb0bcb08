"""Who a DICOM file is of, without naming anyone: a pseudonym, sex and age from four elements of its header.

Elements are numbered as in PS3.6. Nothing else of the header is read, and values are never put into a message.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from lungwise.data.sources import demographics
from lungwise.data.sources.listing import SourceOptions
from lungwise.data.sources.pseudonyms import load_key, pseudonym
from lungwise.data.sources.tree import suffix
from lungwise.errors import ImageError
from lungwise.imaging.dicom_file import collecting, readable

PATIENT_ID, SEX, AGE, STUDY = 0x00100020, 0x00100040, 0x00101010, 0x0020000D
"""(0010,0020) Patient ID, (0010,0040) Patient's Sex, (0010,1010) Patient's Age, (0020,000D) Study Instance UID."""
TOP_AGE = 89
"""Higher ages are few enough to point at a person and are written as 90 (45 CFR 164.514 b 2 i C)."""
UNREADABLE, UNKNOWN = "p-unreadable", "p-unknown"
"""Patients of files whose header cannot be read, or names nobody; one for all, as grouping too much is the safe side."""

_ENDINGS = ("", ".dcm", ".dicom")
_NOBODY = {b"", b"0", b"na", b"n/a", b"none", b"unknown", b"anon", b"anonymous", b"anonymized", b"anonymised"}
"""What software that removes names writes into every file."""
_TRANSFER_SYNTAX = 0x00020010
_CHUNK = 64
_PREFIX = 2**22
"""Bytes of a deflated file that are inflated; the four elements come early, and many files are read at once."""


@dataclass(frozen=True)
class Person:
    """What a header says of a patient, as bytes that go no further than into a hash.

    Args:
        identity: what to hash; empty when the file names neither patient nor study.
        by_study: whether ``identity`` is the study's, because no patient is named.
        sex: "M", "F" or "".
        age: years as text, or "".
        reason: why the header cannot be read, or "".
    """

    identity: bytes = b""
    by_study: bool = False
    sex: str = ""
    age: str = ""
    reason: str = ""


def with_people(
    rows: pl.DataFrame, root: Path, options: SourceOptions, notes: list[str], *, patients: bool = True
) -> pl.DataFrame:
    """Rows with the pseudonym, sex and age of those that are DICOM files by content; unchanged when none is.

    Args:
        rows: the columns of ``COLUMNS``; files that do not exist stay as they are.
        root: the folder that paths are relative to.
        options: ``patient_key`` is used.
        notes: receives what the user should know.
        patients: whether to replace ``patient``; otherwise only sex and age are added.

    Raises:
        DataError: the key cannot be used.
    """
    paths = [path for path in rows["path"] if (ending := suffix(path)) in _ENDINGS or ending[1:].isdigit()]
    people = {path: person for path, person in zip(paths, read_people(root, paths), strict=True) if person}
    if not people:
        return rows
    if patients:
        key = load_key(options.patient_key)
        names = {path: _name(person, key) for path, person in people.items()}
        rows = rows.with_columns(
            patient=pl.Series([names.get(path, old) for path, old in rows.select("path", "patient").rows()])
        )
        notes += _notes(people)
    filled: dict[str, Callable[[Person], str]] = {"sex": lambda person: person.sex, "age": lambda person: person.age}
    for name, value in filled.items():
        before = rows[name] if name in rows.columns else [""] * rows.height
        after = [old or value(people.get(path, Person())) for path, old in zip(rows["path"], before, strict=True)]
        rows = rows.with_columns(pl.Series(name, after, dtype=pl.String()))
    return rows


def read_people(root: Path, paths: list[str]) -> Iterator[Person | None]:
    """For each file what its header says of the patient, or None when it is absent or no DICOM file."""
    chunks = [paths[at : at + _CHUNK] for at in range(0, len(paths), _CHUNK)]
    irregular: list[str] = []  # decoding says it again, with the file's name
    with collecting(irregular), ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:
        for people in pool.map(lambda chunk: [_read(root / path) for path in chunk], chunks):
            yield from people


def _read(file: Path) -> Person | None:
    try:
        with file.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return None
            with readable(file.name, "header"):
                return _person(_header(stream))
    except FileNotFoundError:
        return None
    except OSError as cause:
        return Person(reason=f"{file.name} cannot be opened: {cause.strerror}")
    except ImageError as cause:
        return Person(reason=str(cause))


def _header(stream: BinaryIO) -> Dataset:
    """The four elements, from a stream behind the preamble (PS3.10 7.1); reading ends behind the last of them."""
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = io.BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream.read(_PREFIX), _PREFIX))
    tags: list[BaseTag | int] = [PATIENT_ID, SEX, AGE, STUDY]
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    return read_dataset(stream, implicit, little, stop_when=lambda tag, vr, length: tag > STUDY, specific_tags=tags)


def _person(header: Dataset) -> Person:
    patient, study = _raw(header, PATIENT_ID), _raw(header, STUDY)
    named = patient.lower() not in _NOBODY
    years = demographics.age(_raw(header, AGE).decode("ascii", "replace"))
    return Person(
        identity=patient if named else b"study:" + study if study else b"",
        by_study=not named,
        sex=demographics.sex(_raw(header, SEX).decode("ascii", "replace")),
        age=str(min(int(years), TOP_AGE + 1)) if years else "",
    )


def _raw(header: Dataset, tag: int) -> bytes:
    """An element's bytes as they stand in the file, without padding; no character set can fail on them."""
    element = header.get_item(tag)
    value = element.value if element is not None else None
    return value.strip(b" \0\r\n\t") if isinstance(value, bytes) else b""


def _name(person: Person, key: bytes) -> str:
    if person.reason:
        return UNREADABLE
    return pseudonym(key, person.identity) if person.identity else UNKNOWN


def _notes(people: dict[str, Person]) -> list[str]:
    reasons = [person.reason for person in people.values() if person.reason]
    whole = [person for person in people.values() if not person.reason]
    studies = sum(person.by_study and bool(person.identity) for person in whole)
    nobody = sum(not person.identity for person in whole)
    notes = [f"Patients of {len(people)} DICOM files are pseudonyms, made of their headers with a key."]
    if studies:
        notes.append(f"{studies} DICOM files name no patient, so each study counts as one.")
    if nobody:
        notes.append(f"{nobody} DICOM files name neither patient nor study and count as one patient; see --patient-pattern.")
    if reasons:
        notes.append(f"{len(reasons)} DICOM files have no readable header and count as one patient, the first: {reasons[0]}")
    return notes
