"""TensorFlow's greetings at start-up: kept off the terminal, while anything else that it says still gets through."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from lungwise.errors import require

_GREETING = re.compile(
    r"^(WARNING: All log messages before absl::InitializeLog|I\d{4} .*(oneDNN custom operations|cpu_feature_guard))"
)


def import_keras(purpose: str) -> None:
    """Import Keras on TensorFlow without its greetings.

    TensorFlow writes them straight to the process's standard error before its own log level is in force, so that file
    descriptor is set aside for the import, and every line that is not a known greeting is passed on.

    Args:
        purpose: what needs it, for the error when it is not installed.

    Raises:
        MissingExtraError: Keras or TensorFlow is not installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_greetings():
        keras = require("keras", "train", purpose)
        if keras.config.backend() == "tensorflow":
            require("tensorflow", "train", purpose)
            # The second greeting comes with the first computation.
            keras.ops.convert_to_numpy(keras.ops.matmul(keras.ops.ones((2, 2)), keras.ops.ones((2, 2))))


@contextmanager
def _without_greetings() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            aside.seek(0)
            for line in aside.read().decode(errors="replace").splitlines():
                if not _GREETING.match(line):
                    sys.stderr.write(line + "\n")
