"""Run as a program: how much memory reading each file takes, measured in a process of its own that has all imported."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import cv2
from PIL import Image

import lungwise.imaging.dicom  # noqa: F401 - so that its memory does not count
from lungwise.errors import ImageError
from lungwise.imaging.read import read


def peak() -> float:
    """Most memory that was ever resident, in MB (Linux counts in kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def appetite(path: Path) -> tuple[str, float]:
    """What became of the file, and MB that it took."""
    before = peak()
    try:
        read(path)
        outcome = "read"
    except ImageError as error:
        outcome = str(error)
    return outcome, peak() - before


def main() -> None:
    """Fork for each file: a child begins at what is resident now, and its death is its own."""
    cv2.setNumThreads(1)
    Image.init()
    for name in sys.argv[1:]:
        source, sink = os.pipe()
        child = os.fork()
        if not child:
            os.write(sink, json.dumps(appetite(Path(name))).encode())
            os._exit(0)
        os.close(sink)
        with os.fdopen(source, "rb") as answer:
            told = answer.read().decode()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(told or json.dumps([f"died ({code})", 0]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
