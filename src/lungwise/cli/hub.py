"""``lungwise push`` and ``pull``: bundles on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungwise.cli.console import Quiet, console

Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hub.")]
Endpoint = Annotated[
    str | None, typer.Option(help="Another server that speaks as the Hugging Face Hub does; your token is sent there.")
]


def push(
    bundle: Annotated[Path, typer.Argument(help="A bundle, directory or zip.")],
    repository: Repository,
    endpoint: Endpoint = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    quiet: Quiet = False,
) -> None:
    """Upload a verified bundle, its own files and nothing else, to the Hugging Face Hub."""
    from lungwise.bundle.hub import push_bundle

    address = push_bundle(bundle, repository, endpoint=endpoint, private=private)
    console(quiet).print(f"Pushed: {address}. Next: lungwise pull {repository} --out DIR", markup=False)


def pull(
    repository: Repository,
    out: Annotated[Path, typer.Option("--out", help="The bundle: a new directory, or a name ending in .zip.")],
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit; the newest by default.")] = None,
    endpoint: Endpoint = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Download a bundle from the Hugging Face Hub, verify it, and put it in its place whole or not at all."""
    from lungwise.bundle.hub import pull_bundle

    spec = pull_bundle(repository, out, revision=revision, endpoint=endpoint, overwrite=overwrite)
    speaker = console(quiet)
    speaker.print(f"Bundle: {out} ({spec.name}). Next: lungwise predict IMAGE --model {out}", markup=False)
    speaker.print(spec.intended_use, markup=False)
