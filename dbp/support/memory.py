"""How much memory this process may still take, limits of its control groups included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return the bytes that are free here: the machine's, or what a control group leaves if less.

    Pages that the system can drop at once count as free. None where the system does not say.
    ``proc``, ``cgroups``: where the two file systems are mounted.
    """
    free = [limit for limit in (_of_machine(proc), *_of_groups(proc, cgroups)) if limit is not None]
    return max(0, min(free)) if free else None


def _of_machine(proc: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(proc / "meminfo"), re.MULTILINE)
    return 1024 * int(found[1]) if found else None


def _of_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What each control group above this process leaves; version 2 and version 1 of their files."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            root, limit, usage, dropped = cgroups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, limit, usage = (
                cgroups / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
            dropped = "total_inactive_file"
        else:
            continue
        # In a container the path is that of the host, and the group itself is at the root.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            folder = root.joinpath(*parts[:depth])
            most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
            if most.isdigit() and used.isdigit():
                cached = re.search(
                    rf"^{dropped} (\d+)", _text(folder / "memory.stat"), re.MULTILINE
                )
                yield int(most) - int(used) + (int(cached[1]) if cached else 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
