"""How many cores this process may use: fewer than the machine has, in a container or under a batch system."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Whole cores that the process may run on, at least 1.

    The affinity mask counts, and the quota of control groups (Linux: Control Group v2, "CPU Interface Files"; v1 alike). The
    hardware threads of a core count once: matrix products keep its units busy with one.

    Args:
        root: where ``sys`` and ``proc`` lie.
    """
    return max(1, int(min(_physical(_affinity(), root), _quota(root))))


def hardware_threads(root: Path = ROOT) -> int:
    """The same with each hardware thread counted, of which a core may have two."""
    return max(1, int(min(len(_affinity()), _quota(root))))


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _physical(threads: Iterable[int], root: Path) -> int:
    """Distinct cores among hardware threads; each counts where the system does not say."""
    topology = root / "sys/devices/system/cpu"
    return len({_read(topology / f"cpu{thread}/topology/thread_siblings_list") or str(thread) for thread in threads})


def _quota(root: Path) -> float:
    """Cores that the control groups of the process allow together; infinite without a limit."""
    mount, limits = root / "sys/fs/cgroup", [float("inf")]
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, inside = line.split(":", 2)
        below = [part for part in inside.split("/") if part not in ("", "..")]
        for depth in range(len(below) + 1):  # a limit of an outer group holds for the inner ones
            group = mount.joinpath(*below[:depth])
            if not controllers:
                limits.append(_share(*(_read(group / "cpu.max").split() or ("max", "1"))))
            elif "cpu" in controllers.split(","):
                group = (mount / "cpu").joinpath(*below[:depth])
                limits.append(_share(_read(group / "cpu.cfs_quota_us") or "-1", _read(group / "cpu.cfs_period_us") or "1"))
    return min(limits)


def _share(quota: str, period: str = "100000") -> float:
    """Cores from microseconds of processor time in a period; "max" and negative numbers are no limit."""
    return float("inf") if quota == "max" or int(quota) <= 0 else int(quota) / int(period)


def _read(path: Path) -> str:
    """A small file of the system; empty where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
