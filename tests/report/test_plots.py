"""Plots take axes and return them, and make a figure of their own without."""

import numpy as np
import pytest
from helpers.designs import DESIGN
from matplotlib.figure import Figure

from dbp.comparison import paper
from dbp.config import Link
from dbp.records.schemas import ComparisonRow
from dbp.report import plots, reproduction

SYMBOLS = np.array([1 + 1j, -1j, 0.5])
HISTORY = [{"phase": "float", "iteration": "1", "snr_db": "15.5"}]
ROWS = [
    ComparisonRow(
        design=design, filters="reconfigurable", pdk="nangate45", ber=1e-3, ber_low=9e-4,
        ber_high=2e-3, power_w={"total": watts}, area_mm2=1.0, pj_per_bit=1.0,
    )
    for design, watts in (("a", 2.0), ("b", 1.0))
]  # fmt: skip


@pytest.mark.parametrize(
    ("plot", "arguments"),
    [
        (plots.plot_constellation, (SYMBOLS,)),
        (plots.plot_learning_curve, (HISTORY,)),
        (plots.plot_comparison, (ROWS,)),
        (reproduction.plot_reproduction, (paper.ber_curves()[:1], [])),
    ],
)
def test_axes_are_taken_and_returned(plot, arguments):
    mine = Figure().subplots()
    assert plot(*arguments, mine) is mine and mine.lines
    own = plot(*arguments)
    assert own is not mine and own.lines
    assert own.get_xlabel() == mine.get_xlabel()


def test_filter_responses_take_three_axes():
    mine = Figure().subplots(1, 3)
    taps, gain, phase = plots.plot_filter_responses({"d": DESIGN}, Link(), mine)
    assert (taps, gain, phase) == tuple(mine)
    assert [ax.get_title() for ax in mine] == [
        "Middle filter: taps", "Gain", "Phase error in the signal band"
    ]  # fmt: skip
    assert len(plots.plot_filter_responses({"d": DESIGN}, Link())) == 3


def test_designs_of_a_comparison_are_in_the_legend():
    axes = plots.plot_comparison(ROWS)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
