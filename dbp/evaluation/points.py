"""The points of an evaluation: a sequence that can be drawn, written and shown in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from dbp.records.schemas import Point, best_points
from dbp.support.files import write_csv
from dbp.support.text import html_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Points(Sequence[Point]):
    """All points of an evaluation, immutable: each launch power with all its receivers in turn."""

    __slots__ = ("_points",)
    _points: tuple[Point, ...]

    def __init__(self, points: Iterable[Point] = ()) -> None:
        object.__setattr__(self, "_points", tuple(points))

    def __reduce__(self) -> tuple[type[Points], tuple[tuple[Point, ...]]]:
        return Points, (self._points,)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"points do not change: {name} cannot be set")

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Points: ...
    def __getitem__(self, index: int | slice) -> Point | Points:
        return Points(self._points[index]) if isinstance(index, slice) else self._points[index]

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Points) and self._points == other._points

    def __hash__(self) -> int:
        return hash(tuple((p.design, p.arithmetic, p.launch_power_dbm, p.bits) for p in self))

    def best(self) -> dict[tuple[Any, ...], Point]:
        """Return the point of least BER of each (design, arithmetic), and of each link if several.

        The values of the link's keys that were swept stand behind the two in the key.
        """
        return best_points(self)

    def link_keys(self) -> tuple[str, ...]:
        """Return the keys of the link that were swept, in the order of the sweep."""
        return tuple(dict.fromkeys(key for point in self for key in point.model_extra or ()))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the BER of each design with its interval into ``ax``, or into a new figure."""
        from dbp.evaluation.plot import plot_ber

        return plot_ber(self, ax)

    def plot_snr(self, ax: Axes | None = None) -> Axes:
        """Draw the effective SNR (dB) of each design into ``ax``, or into a new figure."""
        from dbp.evaluation.plot import plot_snr

        ax = plot_snr(self, ax)
        ax.legend(fontsize=8)
        return ax

    def to_csv(self, path: str | Path) -> None:
        """Write the points as ``dbp ber`` writes ``ber.csv``, a line each."""
        write_csv(path, [point.row() for point in self])

    def __repr__(self) -> str:
        designs = list(dict.fromkeys(point.design for point in self))
        named = ", ".join(designs[:3]) + (", ..." if designs[3:] else "")
        return f"Points({len(self)} of {named})" if self else "Points(none)"

    def _repr_html_(self) -> str:
        keys = self.link_keys()
        header = [*keys, "design", "arithmetic", "launch power (dBm)", "BER", "95 % interval"]
        lines = [[*header, "SNR (dB)", "GMI (bits)"]]
        for point in self:
            line = [str(getattr(point, key, "")) for key in keys]
            line += [point.design, point.arithmetic, f"{point.launch_power_dbm:+g}"]
            line += [f"{point.ber:.2e}", f"{point.ber_low:.2e} .. {point.ber_high:.2e}"]
            line.append(f"{point.snr_db:.2f}")
            line.append("" if point.gmi_bits is None else f"{point.gmi_bits:.3f}")
            lines.append(line)
        return html_table(lines, header_row=True)
