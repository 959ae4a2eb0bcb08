"""How long a person waits before anything happens: start-up times as shares of their limits.

    .venv/bin/python benchmarks/startup.py [--model BUNDLE --image IMAGE]

Every figure is the median over several processes. A share above 1 breaks the budget of the design.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
BUDGETS = {"import lungwise": 0.3, "lungwise --help": 0.3, "lungwise predict": 1.5}
MEMORY_MB = 400.0


def seconds(command: list[str]) -> float:
    """Median wall time of a command, after one run that warms the file cache."""
    times = []
    for _ in range(RUNS + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def main() -> None:
    """Print one line a command: median, limit, share of the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image", type=Path)
    options = parser.parse_args()
    commands = {
        "import lungwise": [sys.executable, "-c", "import lungwise"],
        "lungwise --help": [sys.executable, "-m", "lungwise", "--help"],
    }
    if options.model and options.image:
        predict = [sys.executable, "-m", "lungwise", "predict", str(options.image), "--model", str(options.model)]
        commands["lungwise predict"] = predict
    bare = seconds([sys.executable, "-c", "pass"])
    print(f"{'python -c pass':<18} {bare:6.3f} s")
    for name, command in commands.items():
        took = seconds(command)
        print(f"{name:<18} {took:6.3f} s   limit {BUDGETS[name]:.1f} s   share {took / BUDGETS[name]:.2f}")
    if "lungwise predict" in commands:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{'peak memory':<18} {peak:6.0f} MB  limit {MEMORY_MB:.0f} MB  share {peak / MEMORY_MB:.2f}")


if __name__ == "__main__":
    main()
