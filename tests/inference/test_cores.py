"""How many cores a process may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.inference.cores import hardware_threads, usable_cores


@pytest.fixture(autouse=True)
def eight_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def test_each_thread_is_a_core_where_the_system_says_nothing(tmp_path: Path) -> None:
    assert (usable_cores(tmp_path), hardware_threads(tmp_path)) == (8, 8)


def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    place = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    root = system(tmp_path, {place.format(thread): f"{thread % 4},{thread % 4 + 4}" for thread in range(8)})
    assert (usable_cores(root), hardware_threads(root)) == (4, 8)


def test_the_affinity_mask_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {2, 5, 7}, raising=False)
    assert usable_cores(tmp_path) == 3


def test_without_affinity_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert usable_cores(tmp_path) == 6
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usable_cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", 8), ("400000 100000", 4), ("350000 100000", 3), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_a_control_group_of_version_2_limits(tmp_path: Path, limit: str, cores: int) -> None:
    root = system(tmp_path, {"proc/self/cgroup": "0::/jobs/mine", "sys/fs/cgroup/jobs/mine/cpu.max": limit})
    assert (usable_cores(root), hardware_threads(root)) == (cores, cores)


def test_the_limit_of_an_outer_group_holds_for_the_inner(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/jobs/mine", "sys/fs/cgroup/jobs/cpu.max": "200000 100000"}
    root = system(tmp_path, {**files, "sys/fs/cgroup/jobs/mine/cpu.max": "600000 100000"})
    assert usable_cores(root) == 2


def test_in_a_container_the_mounted_root_is_the_group(tmp_path: Path) -> None:
    root = system(tmp_path, {"proc/self/cgroup": "0::/../..", "sys/fs/cgroup/cpu.max": "300000 100000"})
    assert usable_cores(root) == 3


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("250000", 2)])
def test_a_control_group_of_version_1_limits(tmp_path: Path, quota: str, cores: int) -> None:
    groups = "5:cpu,cpuacct:/box\n4:memory:/box\n0::/"
    files = {"sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": quota, "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000"}
    assert usable_cores(system(tmp_path, {"proc/self/cgroup": groups, **files})) == cores
