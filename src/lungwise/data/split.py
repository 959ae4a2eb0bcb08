"""Who may learn from which image: train, validation and test, by patient, stratified by label and source, seeded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from lungwise.data.groups import units
from lungwise.errors import DataError


@dataclass(frozen=True)
class Fractions:
    """Shares of the patients that go to validation and test; the rest is for training.

    Args:
        validation: in (0, 1).
        test: in (0, 1); together less than 1.
    """

    validation: float = 0.15
    test: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.validation < 1 and 0 < self.test < 1 and self.validation + self.test < 1):
            raise DataError(
                "The shares of validation and test must lie between 0 and 1 and leave some for training, "
                f"got {self.validation} and {self.test}; lower them."
            )


def split_patients(
    table: pl.DataFrame, fractions: Fractions, seed: int = 0, previous: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Fill the column ``split`` where it is empty.

    A source that brings its own test or validation part keeps it; only what is missing is taken from the rest, and
    always whole patients, or whole groups of patients where the table has a column ``group``. Other images of a patient
    (or group) of a given part stay in training, where the audit reports them. Within each label and source patients are
    ordered by a seeded hash of their identifier and the first ones are taken, so that added rows move few of them (at most
    three for each patient added to a label of one source), and none of those in ``previous``. Sources of which some part
    would get no patient are taken together; every class stands in every part all the same.

    Args:
        table: columns ``label``, ``patient`` and ``split`` ("" where open), optionally ``source`` and ``group`` (String;
            patients who share pictures, see :func:`lungwise.data.groups.groups`); readable images only.
        fractions: shares of the patients of each label and source.
        seed: another seed gives another split.
        previous: patient to split, from an earlier preparation, kept as it was. A group follows its members; where these
            stood in different parts it goes to test, else to validation: an image once tested on is never learnt from.
            A model of the earlier preparation has then seen the members that come from training.

    Returns:
        The same rows in the same order with ``split`` filled.

    Raises:
        DataError: a class has too few patients to appear in every part.
    """
    given = {name for name in table["split"].unique() if name in ("validation", "test")}
    wanted = {
        name: share for name, share in (("test", fractions.test), ("validation", fractions.validation)) if name not in given
    }
    if "train" in table["split"]:
        # A given training part only ever lends a validation part; a test part would not be comparable with others'.
        wanted.pop("test", None)
    unit = units(table)
    fixed = set(unit.filter(table["split"].is_in(["validation", "test"])))
    free = table.filter(pl.col("split").is_in(["", "train"]))
    members = strata(free).filter(~pl.col("unit").is_in(fixed))
    before = _previous_units(table["patient"], unit, previous or {}, {"train", *wanted})
    chosen = assign(members, free["label"], wanted, str(seed), before)
    part = unit.replace_strict(chosen, default="train", return_dtype=pl.String)
    return table.with_columns(split=pl.when(pl.col("split").is_in(["", "train"])).then(part).otherwise(pl.col("split")))


def strata(table: pl.DataFrame) -> pl.DataFrame:
    """The patients or groups of a table, each once, under the rarest of their labels and its rarest source.

    Args:
        table: columns ``label`` and ``patient``, optionally ``source`` and ``group``.

    Returns:
        Columns ``unit``, ``label``, ``source`` (String) and ``films`` (number of images), sorted by unit.
    """
    source = pl.col("source") if "source" in table.columns else pl.lit("")
    rows = table.select(unit=units(table), label=pl.col("label"), source=source).with_columns(
        of_label=pl.len().over("label"), of_source=pl.len().over("label", "source")
    )
    rows = rows.sort("unit", "of_label", "label", "of_source", "source")
    return rows.group_by("unit", maintain_order=True).agg(
        pl.col("label").first(), pl.col("source").first(), pl.len().alias("films")
    )


def in_hash_order(names: list[str], salt: str) -> list[str]:
    """Names in an order that looks random, that ``salt`` decides, and in which added names move no other."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{salt}:{name}".encode()).digest())


def assign(
    members: pl.DataFrame,
    labels: Iterable[str],
    wanted: Mapping[str, float],
    salt: str,
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Part of every patient or group, by label and source.

    Args:
        members: as :func:`strata` gives them.
        labels: the classes, each of which must stand in every part.
        wanted: share of each part beside "train".
        salt: decides the order in which places are filled.
        previous: unit to part, kept.

    Raises:
        DataError: a class has fewer members than there are parts.
    """
    chosen: dict[str, str] = {}
    for label in sorted(set(labels)):
        rows = members.filter(pl.col("label") == label)
        of_source = dict(rows.select("unit", "source").iter_rows())
        if wanted and len(of_source) < len(wanted) + 1:
            raise DataError(
                f"Each class needs at least {len(wanted) + 1} patients, one for each of train, {', '.join(wanted)}, but class "
                f"'{label}' has {len(of_source)}; add patients or remove the class."
            )
        ordered = in_hash_order(list(of_source), salt)
        found: dict[str, str] = {}
        for names in _by_source(ordered, of_source, wanted):
            found |= _share_out(names, wanted, previous or {})
        if set(found.values()) != {"train", *wanted}:
            # Earlier parts can fill a source; the class as a whole may still have room for every part.
            found = _share_out(ordered, wanted, previous or {})
        chosen |= found
    return chosen


def _by_source(ordered: list[str], of_source: Mapping[str, str], wanted: Mapping[str, float]) -> list[list[str]]:
    """The members of a label by source; sources too small for every part are taken together, or join the largest."""

    def fits(names: list[str]) -> bool:
        places = [round(share * len(names)) for share in wanted.values()]
        return min(places, default=1) >= 1 and sum(places) < len(names)

    sources: dict[str, list[str]] = {name: [] for name in sorted(set(of_source.values()))}
    for name in ordered:
        sources[of_source[name]].append(name)
    large = {source: names for source, names in sources.items() if fits(names)}
    rest = [name for name in ordered if of_source[name] not in large]
    if large and not fits(rest):
        largest = max(large, key=lambda source: len(large[source]))
        large[largest] = [name for name in ordered if of_source[name] == largest or of_source[name] not in large]
        return list(large.values())
    return [*large.values(), rest]


def _share_out(names: list[str], wanted: Mapping[str, float], previous: Mapping[str, str]) -> dict[str, str]:
    """Part of each name: earlier assignments first, then the open places in the given order."""
    chosen = {name: previous[name] for name in names if previous.get(name) in ("train", *wanted)}
    open_names = [name for name in names if name not in chosen]
    for part, share in wanted.items():
        empty = {"train", *wanted} - {part, *chosen.values()}
        places = max(1, round(share * len(names))) - sum(taken == part for taken in chosen.values())
        places = max(0, min(places, len(open_names) - len(empty)))
        chosen |= dict.fromkeys(open_names[:places], part)
        open_names = open_names[places:]
    return chosen | dict.fromkeys(open_names, "train")


def _previous_units(patients: pl.Series, unit: pl.Series, previous: Mapping[str, str], allowed: set[str]) -> dict[str, str]:
    """Earlier part of each patient or group; of several parts the one that is learnt from least."""
    found: dict[str, str] = {}
    rank = {"test": 0, "validation": 1, "train": 2}
    for patient, name in set(zip(patients, unit, strict=True)):
        part = previous.get(patient)
        if part in allowed and rank[part] < rank.get(found.get(name, ""), 3):
            found[name] = part
    return found
