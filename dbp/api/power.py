"""`dbp.load_power`, `dbp.liberty_files`: watts of each instance, and the cells they come from."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dbp.api import _checks
from dbp.errors import InputError, shown
from dbp.records.schemas import PowerW
from dbp.support.files import read_gzip_or_plain
from dbp.support.text import html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "power.csv.gz"
KINDS = ("switching", "internal", "leakage")
COLUMNS = ["instance", "cell", "group", *(f"{kind}_w" for kind in (*KINDS, "total"))]
MAX_BYTES = 1 << 30
_UNITS = {"W": 1.0, "mW": 1e-3, "uW": 1e-6, "nW": 1e-9}

By = Literal["instance", "cell", "group"] | Callable[[str, str], str]


@dataclass(frozen=True, eq=False, repr=False)
class InstancePower:
    """The watts of each instance of a mapped netlist, in the order of the netlist.

    ``instances``, ``cells``, ``groups``: the name of each instance, its cell, and ``sequential``,
    ``combinational`` or ``clock``. ``switching_w`` (charging the net that it drives),
    ``internal_w`` (inside the cell), ``leakage_w``: watts, float64, shape ``(instances,)``.
    ``docs/concepts/power.md`` has the rules.
    """

    instances: tuple[str, ...]
    cells: tuple[str, ...]
    groups: tuple[str, ...]
    switching_w: NDArray[np.float64]
    internal_w: NDArray[np.float64]
    leakage_w: NDArray[np.float64]

    @property
    def total_w(self) -> NDArray[np.float64]:
        """The sum of the three."""
        return self.switching_w + self.internal_w + self.leakage_w

    def sums(self, by: By = "cell") -> dict[str, PowerW]:
        """Return the watts of instances that belong together, the largest total first.

        ``by``: "cell", "group", "instance", or a function of yours that is given the name of an
        instance and its cell, and returns to what it belongs. Raises `InputError` for another one.
        """
        names = np.array(self._names(by))
        order, members = np.unique(names, return_inverse=True)
        kinds = {
            kind: np.bincount(members, getattr(self, f"{kind}_w"), len(order)) for kind in KINDS
        }
        total = np.sum(list(kinds.values()), axis=0)
        return {
            str(order[k]): PowerW(
                **{kind: float(watts[k]) for kind, watts in kinds.items()}, total=float(total[k])
            )
            for k in np.argsort(-total, kind="stable")
        }

    def plot(
        self, ax: Axes | None = None, *, by: By = "cell", most: int = 12, unit: str = "mW"
    ) -> Axes:
        """Draw a bar for each sum of `sums`, the largest on top, by kind of power.

        ``most``: how many bars; what is left is the last one, "all other". ``unit``: "W", "mW",
        "uW" or "nW". Draws into ``ax``, which it returns, or into a new figure, ``ax.figure``.
        Raises `InputError` for what does not fit.
        """

        most = _checks.integer("most", most, 1)
        if unit not in _UNITS:
            raise InputError(f"unit = {shown(unit)}: must be one of {', '.join(_UNITS)}")
        from dbp.support.style import styled

        return styled(_draw)(_largest(self.sums(by), most), ax, unit)

    def _names(self, by: By) -> list[str]:
        if callable(by):
            names = [by(*pair) for pair in zip(self.instances, self.cells, strict=True)]
            odd = [name for name in names if not isinstance(name, str)]
            if odd:
                raise InputError(f"by: returns {shown(odd[0])}: must return a text")
            return names
        named = {"instance": self.instances, "cell": self.cells, "group": self.groups}
        if by not in named:
            raise InputError(f"by = {shown(by)}: must be {', '.join(named)}, or a function")
        return list(named[by])

    def __len__(self) -> int:
        return len(self.instances)

    def __repr__(self) -> str:
        return f"InstancePower({len(self)} instances, {1e3 * self.total_w.sum():.4g} mW)"

    def _repr_html_(self) -> str:
        rows = [["cell", *(f"{kind} (mW)" for kind in (*KINDS, "total"))]]
        for cell, watts in self.sums().items():
            rows.append(
                [cell, *(f"{1e3 * getattr(watts, kind):.4g}" for kind in (*KINDS, "total"))]
            )
        return html_table(rows, header_row=True)


def _draw(bars: dict[str, PowerW], ax: Axes | None, unit: str) -> Axes:
    """Draw a bar for each name, into a new figure where ``ax`` is None."""
    from matplotlib.figure import Figure

    from dbp.support import style

    if ax is None:
        ax = Figure(figsize=(6.5, 1.1 + 0.3 * len(bars))).subplots()
    left = np.zeros(len(bars))
    for kind, color in zip(KINDS, (*style.COLORS[:2], style.REFERENCE_COLOR), strict=True):
        length = np.array([getattr(watts, kind) / _UNITS[unit] for watts in bars.values()])
        ax.barh(list(bars), length, left=left, color=color, label=kind)
        left += length
    if not ax.yaxis_inverted():  # axes that share it may have done so
        ax.invert_yaxis()
    style.grid(ax)
    ax.yaxis.grid(False)
    ax.set(xlabel=f"power ({unit})")
    ax.legend(loc="lower right")
    return ax


def _largest(sums: dict[str, PowerW], most: int) -> dict[str, PowerW]:
    """Return the first ``most`` sums, the last of them all that are left where there are more."""
    if len(sums) <= most:
        return sums
    items = list(sums.items())
    rest = [watts for _, watts in items[most - 1 :]]
    left = {kind: sum(getattr(watts, kind) for watts in rest) for kind in (*KINDS, "total")}
    return dict(items[: most - 1]) | {f"all other ({len(rest)})": PowerW(**left)}


def load_power(path: str | Path) -> InstancePower:
    """Read the watts of each instance that ``dbp power`` and `dbp.synthesize` wrote.

    ``path``: their ``power.csv.gz``, or the folder that holds it. Raises `InputError` that names
    the line which does not fit.
    """
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    rows = _rows(file)
    names: list[tuple[str, ...]] = []
    watts: list[tuple[float, ...]] = []
    for line, row in rows:
        try:
            values = tuple(float(value) for value in row[3:])
            if len(row) != len(COLUMNS) or not np.isfinite(values).all():
                raise ValueError
        except ValueError:
            raise InputError(
                f"{file}: line {line}: {shown(','.join(row))}: must be {','.join(COLUMNS)}"
            ) from None
        names.append(tuple(row[:3]))
        watts.append(values)
    if not names:
        raise InputError(f"{file}: no instance: must have a line for each")
    instances, cells, groups = (tuple(column) for column in zip(*names, strict=True))
    switching, internal, leakage = np.array(watts, float).T[: len(KINDS)]
    return InstancePower(instances, cells, groups, switching, internal, leakage)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Return the rows below the header, with the number of each one's line."""
    content = read_gzip_or_plain(file, MAX_BYTES, "CSV")
    try:
        rows: list[Any] = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    if not rows or rows[0] != COLUMNS:
        raise InputError(f"{file}: must begin with the line {','.join(COLUMNS)}")
    return ((line, row) for line, row in enumerate(rows[1:], 2) if row)


def liberty_files(kit: str) -> list[Path]:
    """Return the Liberty files of a design kit, for Yosys, ``dbp power --liberty`` or yourself.

    ``kit``: as for `dbp.synthesize`. Raises `InputError` for a name that is not a kit's,
    `dbp.errors.MissingError` for a kit that is not there.
    """
    from dbp.synthesis.cells import kits

    return kits.find(kit)[1]
