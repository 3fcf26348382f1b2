"""`dbp.plot_constellation`, `dbp.plot_filters`, `dbp.plot_learning`: what people want to see.

Each draws into axes of yours and returns them, or draws into a new figure where ``ax`` is None,
which is ``ax.figure``. No backend and no style is changed. The points of `dbp.evaluate` draw
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from dbp import config
from dbp.api import _checks
from dbp.datapath.design import Design
from dbp.errors import InputError, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dbp.api.learning import LearnedDesign
    from dbp.learning.float_filters import FloatFilters
    from dbp.link.modulation import Waveform


def plot_constellation(symbols: Waveform, ax: Axes | None = None) -> Axes:
    """Draw symbols as dots in the complex plane.

    ``symbols``: complex, any shape, in units of the rms symbol, as `dbp.detect` returns them and
    ``received.symbols`` of `dbp.Link.transmit` has them. Raises `InputError` for others.
    """
    from dbp.report import plots

    points = _checks.waveform("symbols", symbols, "any")
    drawn = plots.plot_constellation(points.ravel(), ax)
    drawn.set(xlabel="in-phase (rms symbols)", ylabel="quadrature (rms symbols)")
    return drawn


def plot_filters(
    filters: Design | FloatFilters | Mapping[str, Design | FloatFilters],
    link: config.Link,
    *,
    number: int | None = None,
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Draw one filter of each design: its taps, its gain (dB) and its phase error (rad) over GHz.

    ``filters``: a design, float filters, or several by name. ``link``: the fibre of which each
    filter between two rotations undoes a span; the phase error is that against the ideal.
    ``number``: which filter, the middle one by default, counted from 0 as samples pass them; the
    first and the last, which undo parts of a span, cannot be drawn. ``axes``: three, for taps, gain
    and phase error. Raises `InputError` for what does not fit.
    """
    from dbp.learning.float_filters import FloatFilters
    from dbp.report import plots

    named = {"": filters} if isinstance(filters, Design | FloatFilters) else filters
    if not isinstance(named, Mapping) or not named:
        raise InputError(
            f"filters = {shown(filters)}: must be a dbp.Design, dbp.FloatFilters or a dict of them"
        )
    taps = {}
    for name, each in named.items():
        if not isinstance(each, Design | FloatFilters):
            raise InputError(
                f"filters[{shown(name)}] = {shown(each)}: must be a dbp.Design or dbp.FloatFilters"
            )
        count = len(each.filters) if isinstance(each, Design) else len(each.taps)
        if count < 3:
            raise InputError(f"filters: {count}: must be 3 at least, of which the inner are drawn")
        k = count // 2 if number is None else _checks.integer("number", number, 1, count - 2)
        taps[str(name)] = each.taps(k) if isinstance(each, Design) else each.taps[k]
    rates = {str(name): each.samples_per_symbol for name, each in named.items()}
    drawn = plots.plot_taps(taps, _checks.link(link), axes, rates)
    if number is not None:
        drawn[0].set(title=f"Filter {number}: taps")
    return drawn


def plot_learning(design: LearnedDesign, ax: Axes | None = None) -> Axes:
    """Draw the effective SNR (dB) on unseen data over the iterations of `dbp.learn`, by phase."""
    from dbp.api.learning import LearnedDesign
    from dbp.report import plots

    if not isinstance(design, LearnedDesign):
        raise InputError(f"design = {shown(design)}: must be what dbp.learn returned")
    return plots.plot_learning_curve([asdict(row) for row in design.history], ax)
