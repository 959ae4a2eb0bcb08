"""DarkCovidNet: 125 films of COVID-19, 500 without findings, 500 of pneumonia, chosen by Ozturk et al.

Licence: No_findings and Pneumonia are of NIH ChestX-ray8 (free use with attribution), Covid-19 is of the collection of
Cohen et al. (a Creative Commons licence for each image). Citation: Ozturk et al., Comput Biol Med 121 (2020) 103792.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from lungwise.data.sources.folder import list_folder
from lungwise.data.sources.listing import Listing, SourceOptions
from lungwise.data.sources.tree import entries

LICENCE = "NIH ChestX-ray8: free use with attribution; Cohen et al. (Covid-19): a Creative Commons licence for each image"
CITATION = (
    "Ozturk T, Talo M, Yildirim EA, et al. Automated detection of COVID-19 cases using deep neural networks with X-ray images. "
    "Computers in Biology and Medicine 121 (2020) 103792, doi:10.1016/j.compbiomed.2020.103792"
)
SOURCES = {"covid-19": "cohen", "no_findings": "nih", "pneumonia": "nih"}
"""Class folders in lower case, and where their images were taken from."""


def recognises(root: Path) -> bool:
    """Whether a folder holds the three class folders of DarkCovidNet and no others."""
    return root.is_dir() and sorted(name.lower() for name in entries(root)[0]) == sorted(SOURCES)


def list_darkcovidnet(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List ``Covid-19``, ``No_findings`` and ``Pneumonia``; the source says which collection each was taken from.

    Args:
        root: the folder with the three class folders.
        options: see :func:`lungwise.data.sources.folder.list_folder`.

    Raises:
        DataError: there is no image.
    """
    listing = list_folder(root, options)
    source = pl.col("label").str.to_lowercase().replace_strict(SOURCES, return_dtype=pl.String)
    note = "Class and source are confounded here: every image of COVID-19 comes from one collection, all others from another."
    rows = listing.rows.with_columns(source=source)
    return replace(listing, kind="darkcovidnet", rows=rows, notes=(*listing.notes, note), licence=LICENCE, citation=CITATION)
