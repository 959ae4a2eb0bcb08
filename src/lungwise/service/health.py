"""Alive is not ready: ready is a model whose files still are those that were verified, a warm network and a place to write."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lungwise.bundle.store import read_bundle
from lungwise.errors import BundleError
from lungwise.inference.predictor import Predictor
from lungwise.service.settings import Settings

Stamp = tuple[tuple[str, int, int, int], ...]


class Health:
    """Whether the service can answer.

    Args:
        settings: where the model and the data are.
        predictor: the loaded bundle.
    """

    def __init__(self, settings: Settings, predictor: Predictor) -> None:
        self._model, self._data = settings.model, settings.data
        self._sha256 = predictor.bundle.sha256
        self._verified = _stamp(self._model) if self._model else ()
        self.warm = self.stopping = False

    def problem(self) -> str | None:
        """Why the service is not ready, in one sentence; None when it is. May read files."""
        if self.stopping:
            return "The service is being stopped."
        if not self.warm:
            return "The network has not been warmed up."
        return self._model_problem() or self._store_problem()

    def _model_problem(self) -> str | None:
        if self._model is None:
            return None
        stamp = _stamp(self._model)
        if stamp == self._verified:
            return None
        try:  # the files were touched: are they still the same?
            same = read_bundle(self._model).sha256 == self._sha256
        except BundleError:
            return "The model's files are gone or damaged; the service must be started again with a whole bundle."
        if not same:
            return "The model's files are those of another model; the service must be started again."
        self._verified = stamp
        return None

    def _store_problem(self) -> str | None:
        if self._data is None:
            return None
        try:
            with tempfile.TemporaryFile(dir=self._data) as file:
                file.write(b"\0")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            return "The folder for data cannot be written to."
        return None


def _stamp(model: Path) -> Stamp:
    """What changes when a file is touched: name, inode, size and time of each file of a bundle; nothing where it is gone."""
    try:
        files = sorted(model.iterdir()) if model.is_dir() else [model]
        return tuple((file.name, (found := file.stat()).st_ino, found.st_size, found.st_mtime_ns) for file in files)
    except OSError:
        return ()
