"""What `import dbp` draws, and the symbols that it draws: in the axes given."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

import dbp
from dbp import config
from dbp.learning.checkpoint import Row
from dbp.learning.least_squares import unlearned_filters

LINK = dbp.Link(spans=1, block_symbols=256, steps_per_span=4)


@pytest.fixture(scope="module")
def design():
    return dbp.Design.load("learned-c6-s9")


@pytest.fixture(scope="module")
def floats():
    return unlearned_filters(config.Learned(), config.Link(spans=2))


@pytest.mark.parametrize("dual", [False, True])
def test_symbols_that_are_drawn_are_those_that_are_counted(dual):
    """Without fibre nonlinearity and noise the reference receives what was sent."""
    quiet = {"nonlinearity_per_w_km": 0.0, "noise_figure_db": -100.0}
    link = dbp.Link(
        spans=1,
        block_symbols=256,
        steps_per_span=1,
        impairments={"dual_polarisation": dual},
        **quiet,
    )
    received = link.transmit(0.0, symbols=256, progress=False)
    equalized = dbp.Reference("linear", link)(received.waveform, 0.0)
    # Any gain and phase of the receiver is taken out.
    symbols = dbp.detect(received, (0.2 - 3j) * equalized)
    assert symbols.shape == received.symbols.shape
    np.testing.assert_allclose(symbols, received.symbols, atol=1e-3)


def test_figures_are_drawn_into_the_axes_given(design, floats):
    figure = Figure()
    ax = figure.subplots()
    assert dbp.plot_constellation(np.ones((2, 3), complex), ax) is ax
    assert len(ax.lines[0].get_xdata()) == 6
    axes = figure.subplots(1, 3)
    assert dbp.plot_filters({"ours": design, "floats": floats}, LINK, axes=axes) is axes
    assert [line.get_label() for line in axes[0].lines] == ["ours, 15 taps", "floats, 15 taps"]
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), abs(design.taps(16)))
    taps, *_ = dbp.plot_filters(design, LINK, number=3)
    np.testing.assert_allclose(taps.lines[0].get_ydata(), abs(design.taps(3)))
    assert taps.get_title() == "Filter 3: taps"


def test_learning_is_drawn_by_phase(design, floats):
    fields = {field.name: getattr(design, field.name) for field in dataclasses.fields(dbp.Design)}
    history = Row(1, "float", 0.1, 10.0), Row(2, "float", 0.05, 13.0), Row(3, "taps", 0.06, 12.5)
    learned = dbp.LearnedDesign(
        **fields,
        float_filters=floats,
        history=history,
        launch_power_dbm=0.0,
        snr_db_float=13.0,
        snr_db_quantized=12.5,
    )
    ax = dbp.plot_learning(learned)
    assert {line.get_label(): list(line.get_ydata()) for line in ax.lines} == {
        "float": [10.0, 13.0], "taps": [12.5],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda d: dbp.plot_constellation([1.0]), "symbols: float64 of shape"),
        (lambda d: dbp.plot_filters([d], LINK), "must be a dbp.Design, dbp.FloatFilters or a dict"),
        (lambda d: dbp.plot_filters({"a": 3}, LINK), "filters\\['a'\\] = 3: must be"),
        (lambda d: dbp.plot_filters(d, LINK, number=0), r"number = 0: must be in 1\.\.31"),
        (lambda d: dbp.plot_filters(d, None), "link = None: must be a dbp.Link"),
        (lambda d: dbp.plot_learning(d), "must be what dbp.learn returned"),
        (lambda d: dbp.detect(None, np.ones(3, complex)), "received = None: must be what"),
        (lambda d: dbp.Reference("nothing", LINK), "must be one of linear, dbpN, essfmN"),
    ],
)
def test_what_does_not_fit_is_one_line(call, complaint, design):
    with pytest.raises(dbp.InputError, match=complaint) as caught:
        call(design)
    assert "\n" not in str(caught.value)
