"""From the findings of an image to its one label: which images of a many-labelled collection take part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lungwise.data.sources.listing import Listing
from lungwise.errors import DataError, some

_NAMED = 5


def choose_labels(
    findings: Sequence[tuple[str, ...]], wanted: tuple[str, ...], usual: Mapping[str, str], where: str
) -> tuple[list[str], list[str]]:
    """The label of each image, "" for an image that is left out.

    An image takes part when exactly one of the chosen findings is among its own. Others that were not chosen may be
    there as well: a film with pneumonia and an effusion is one of pneumonia.

    Args:
        findings: what each image shows.
        wanted: findings to keep, in any case; none keeps those of ``usual``.
        usual: the source's own choice: finding to label. The labels may be wanted by name, too.
        where: what to call the source in an error.

    Returns:
        Labels, one an image, and notes that count what was left out.

    Raises:
        DataError: a wanted finding is unknown, or no image has it.
    """
    targets = _targets(wanted, usual, sorted({name for shown in findings for name in shown}), where)
    labels: list[str] = []
    none: Counter[str] = Counter()
    several = 0
    for shown in findings:
        found = {targets[name] for name in shown if name in targets}
        labels.append(found.pop() if len(found) == 1 else "")
        if len(found) > 1:
            several += 1
        elif not labels[-1]:
            none["|".join(shown)] += 1
    lost = [name for name in targets.values() if name not in set(labels)]
    if lost:
        raise DataError(f"Every class must have images, but {where} has none of '{lost[0]}'; choose others with --class.")
    return labels, _notes(none, several, list(targets.values()))


def _targets(wanted: tuple[str, ...], usual: Mapping[str, str], known: list[str], where: str) -> dict[str, str]:
    if not wanted:
        return dict(usual)
    names = {name.casefold(): name for name in [*usual, *known]}
    names |= {label.casefold(): finding for finding, label in usual.items()}
    targets = {}
    for name in wanted:
        finding = names.get(name.strip().casefold())
        if finding is None:
            raise DataError(f"--class must name findings of {where}, which are {some(known, 20)}; got '{name}'.")
        targets[finding] = usual.get(finding, finding)
    return targets


def _notes(none: Counter[str], several: int, chosen: list[str]) -> list[str]:
    notes = []
    if none:
        parts = some([f"{name or 'nothing'} {number}" for name, number in none.most_common()], _NAMED)
        notes.append(f"{none.total()} images that show none of {some(chosen)} were left out ({parts}).")
    if several:
        notes.append(f"{several} images that show more than one of {some(chosen)} were left out.")
    return notes


def only(listing: Listing, wanted: tuple[str, ...]) -> Listing:
    """The rows of a listing whose label is wanted, for sources with one label an image.

    Raises:
        DataError: no image has a wanted label.
    """
    if not wanted:
        return listing
    labels = listing.rows["label"].to_list()
    chosen, notes = choose_labels([(label,) for label in labels], wanted, {}, f"this {listing.kind} source")
    kept = listing.rows.filter([bool(label) for label in chosen])
    return replace(listing, rows=kept, notes=(*listing.notes, *notes))
