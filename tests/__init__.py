"""One thread for OpenBLAS: its threads spin while they wait, which costs more than the small matrices of tests are worth.

It stands here because NumPy must not be there yet. Processes that tests start inherit it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
