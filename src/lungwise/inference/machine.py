"""What this machine offers to a network: instructions of its processor, cores and memory that a process may really use."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from lungwise.inference.cores import ROOT

FEATURES = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "AMX": ("amx_tile",),
    "NEON": ("asimd",),
    "I8MM": ("i8mm",),
}
"""Names that people know, and the words of Linux for them, one of which is enough."""


def processor(root: Path = ROOT) -> tuple[str, list[str]]:
    """The processor's name and those of ``FEATURES`` that it has; none where the system does not say.

    Args:
        root: where ``proc`` lies.
    """
    text = _read(root / "proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    words = set(" ".join(re.findall(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)[:1]).split())
    found = [feature for feature, any_of in FEATURES.items() if words & set(any_of)]
    return name.group(1).strip() if name else platform.processor() or platform.machine(), found


def memory(root: Path = ROOT) -> tuple[int, int]:
    """Bytes of memory that this process may have, and of those how many are free; 0 where the system does not say.

    The limits of control groups count (Linux: Control Group v2, "Memory Interface Files"; v1 alike).

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    told = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE))
    total, free = (1024 * int(told.get(key, 0)) for key in ("MemTotal", "MemAvailable"))
    if not total and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit, used in _groups(root):
        if limit < total:
            total, free = limit, min(free, max(0, limit - used))
    return total, free


def _groups(root: Path) -> list[tuple[int, int]]:
    """Limit and use, in bytes, of each control group around the process that has a limit."""
    mount, found = root / "sys/fs/cgroup", []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, inside = line.split(":", 2)
        below = [part for part in inside.split("/") if part not in ("", "..")]
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mount / "memory" if controllers else mount
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        for depth in range(len(below) + 1):
            limit, used = (_read(top.joinpath(*below[:depth]) / name) for name in names)
            if limit.isdigit():
                found.append((int(limit), int(used) if used.isdigit() else 0))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
