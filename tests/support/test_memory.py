"""Free memory, of a machine and of its control groups: by files as Linux writes them."""

import pytest

from dbp.support.memory import available_bytes

GB = 10**9


@pytest.fixture
def machine(tmp_path):
    """A machine with 16 GB free; the returned function writes further files of it."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/meminfo", "MemTotal: 32000000 kB\nMemAvailable: 15625000 kB\n")

    def free():
        return available_bytes(tmp_path / "proc", tmp_path / "cgroup")

    return write, free


def test_without_groups_it_is_the_machines(machine):
    _, free = machine
    assert free() == 16 * GB


def test_the_tightest_group_above_counts_and_its_cache_is_free(machine):
    write, free = machine
    write("proc/self/cgroup", "0::/user/job\n")
    write("cgroup/user/memory.max", f"{3 * GB}\n")
    write("cgroup/user/memory.current", f"{2 * GB}\n")
    write("cgroup/user/memory.stat", f"anon 5\ninactive_file {GB // 2}\n")
    write("cgroup/user/job/memory.max", "max\n")
    write("cgroup/user/job/memory.current", f"{GB}\n")
    assert free() == 3 * GB // 2


def test_the_first_version_of_control_groups(machine):
    write, free = machine
    write("proc/self/cgroup", "9:name=systemd:/x\n5:cpu,memory:/docker/abc\n0::/\n")
    # In a container the group of the path is mounted at the root.
    write("cgroup/memory/memory.limit_in_bytes", f"{GB}\n")
    write("cgroup/memory/memory.usage_in_bytes", f"{GB // 4}\n")
    write("cgroup/memory/memory.stat", "inactive_file 7\ntotal_inactive_file 0\n")
    assert free() == 3 * GB // 4


def test_a_group_that_is_full_leaves_nothing_and_no_file_says_nothing(machine, tmp_path):
    write, free = machine
    write("proc/self/cgroup", "0::/\n")
    write("cgroup/memory.max", "1000\n")
    write("cgroup/memory.current", "2000\n")
    assert free() == 0
    assert available_bytes(tmp_path / "nothing", tmp_path / "nothing") is None
