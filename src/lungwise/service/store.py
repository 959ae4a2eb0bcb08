"""Workspaces: images that somebody is looking at, in memory only, and forgotten soon."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from lungwise.inference.result import Result
from lungwise.service.problems import Problem
from lungwise.service.settings import MB, Settings

_SWEEP_SECONDS = 15


@dataclass(frozen=True, eq=False)
class Film:
    """One image of a workspace.

    Args:
        id: within its workspace.
        name: as the client called it.
        result: the answer.
        width: pixels of the file's picture.
        height: pixels of the file's picture.
        square: uint8 [stored, stored], what the network saw; None where the image could not be read, as the next two.
        picture: the radiograph as PNG.
        thumbnail: a small one.
        added: when it came.
    """

    id: str
    name: str
    result: Result
    width: int = 0
    height: int = 0
    square: NDArray[np.uint8] | None = None
    picture: bytes = b""
    thumbnail: bytes = b""
    added: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self.picture) + len(self.thumbnail) + (0 if self.square is None else self.square.nbytes) + 4096


@dataclass(eq=False)
class Workspace:
    """The images of one reader.

    Args:
        id: 128 random bits; whoever knows them may see the images.
        ends: time of the store's clock when it is forgotten.
        films: id to image, in the order in which they came.
    """

    id: str
    ends: float
    films: dict[str, Film] = field(default_factory=dict)

    def film(self, name: str) -> Film:
        """An image by its id.

        Raises:
            Problem: "not-found".
        """
        if name not in self.films:
            raise Problem("not-found", "There is no such image in this workspace; it was deleted, or never was.")
        return self.films[name]


class Workspaces:
    """All workspaces of a service.

    Args:
        settings: how many, how large, and for how long.
        clock: seconds that only grow.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._seconds = settings.workspace_minutes * 60
        self._all: dict[str, Workspace] = {}
        self.used = 0

    def __len__(self) -> int:
        return len(self._all)

    def make(self) -> Workspace:
        """A new workspace.

        Raises:
            Problem: "too-many-workspaces".
        """
        self.forget()
        if len(self._all) >= self._settings.workspaces:
            detail = f"There may be {self._settings.workspaces} workspaces at one time; close one or wait until one ends."
            raise Problem("too-many-workspaces", detail, retry_after=60)
        made = Workspace(secrets.token_hex(16), self._clock() + self._seconds)
        self._all[made.id] = made
        return made

    def get(self, name: str) -> Workspace:
        """A workspace by its id; its time begins anew.

        Raises:
            Problem: "not-found".
        """
        self.forget()
        found = self._all.get(name)
        if found is None:
            minutes = f"{self._settings.workspace_minutes:g}"
            raise Problem("not-found", f"There is no such workspace; it ends {minutes} minutes after its last request.")
        found.ends = self._clock() + self._seconds
        return found

    def expires_at(self, workspace: Workspace) -> datetime:
        """When it is forgotten if nobody asks for it."""
        return datetime.now(UTC) + timedelta(seconds=workspace.ends - self._clock())

    def check_room(self, workspace: Workspace) -> None:
        """Refuse an image before it is worked on, if there is no place for it.

        Raises:
            Problem: "out-of-space".
        """
        most = self._settings.workspace_images
        if len(workspace.films) >= most:
            raise Problem("out-of-space", f"A workspace may have {most} images; delete one first.")
        if self.used >= self._settings.workspaces_mb * MB:
            raise Problem("out-of-space", "The workspaces have no memory left; delete images or close a workspace first.")

    def add(self, workspace: Workspace, film: Film) -> None:
        """Keep an image.

        Raises:
            Problem: "out-of-space", or the workspace was closed meanwhile.
        """
        if workspace.id not in self._all:
            raise Problem("not-found", "The workspace was closed while the image was read.")
        self.check_room(workspace)
        if self.used + film.size > self._settings.workspaces_mb * MB:
            raise Problem("out-of-space", "The workspaces have no memory left for this image; delete images first.")
        workspace.films[film.id] = film
        self.used += film.size

    def remove(self, workspace: Workspace, name: str) -> None:
        """Forget one image.

        Raises:
            Problem: "not-found".
        """
        self.used -= workspace.film(name).size
        del workspace.films[name]

    def close(self, name: str) -> None:
        """Forget a workspace and all that is in it; one that is gone is no mistake."""
        closed = self._all.pop(name, None)
        if closed:
            self.used -= sum(film.size for film in closed.films.values())
            closed.films.clear()

    def clear(self) -> None:
        """Forget everything."""
        for name in list(self._all):
            self.close(name)

    def forget(self) -> None:
        """Forget workspaces whose time is over."""
        now = self._clock()
        for name in [name for name, workspace in self._all.items() if workspace.ends <= now]:
            self.close(name)

    async def sweep(self) -> None:
        """Forget them for ever, also when nobody asks."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.forget()
