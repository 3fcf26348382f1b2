"""The objects of `import dbp`: equality, immutability, copies, and what they refuse."""

import copy
import dataclasses

import numpy as np
import pytest

import dbp
from dbp import config
from dbp.datapath import shipped
from dbp.learning.least_squares import unlearned_filters

NAME = "learned-c6-s9"
SMALL = {"spans": 1, "block_symbols": 256, "steps_per_span": 4}


@pytest.fixture(scope="module")
def link():
    return dbp.Link(**SMALL)


@pytest.fixture(scope="module")
def received(link):
    return link.transmit(0.0, symbols=8192, seed=1, progress=False)


@pytest.fixture(scope="module")
def design():
    return dbp.Design.load(NAME)


@pytest.fixture(scope="module")
def learned(design):
    fields = {field.name: getattr(design, field.name) for field in dataclasses.fields(dbp.Design)}
    floats = unlearned_filters(config.Learned(), config.Link(spans=2))
    return dbp.LearnedDesign(
        **fields,
        float_filters=floats,
        history=(),
        launch_power_dbm=0.5,
        snr_db_float=18.0,
        snr_db_quantized=17.5,
    )


def test_equal_content_is_an_equal_object_whatever_the_class(design, learned, tmp_path):
    bare = shipped.designs()[NAME]
    learned.save(tmp_path / "design.json")
    again = dbp.Design.load(tmp_path / "design.json")
    assert bare == design == learned == again
    assert len({bare, design, learned, again}) == 1
    assert learned.hash == bare.hash and learned.to_json() == bare.to_json()
    other = dataclasses.replace(design, adc_rms_permille=design.adc_rms_permille + 1)
    assert other != design
    assert dbp.Link(**SMALL) == config.Link(**SMALL)
    assert hash(dbp.Link(**SMALL)) == hash(config.Link(**SMALL))
    assert dbp.Link(**SMALL) != dbp.Link()


def test_the_link_of_a_transmission_is_the_link(link, received):
    assert received.link == link and received.seed == 1
    assert repr(received) == "Received(32 blocks of 256 symbols, 16qam, +0 dBm)"


def test_objects_are_frozen(design, learned, link):
    for target, name in ((design, "signal_bits"), (learned, "history"), (design, "nothing")):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
            setattr(target, name, 1)
    with pytest.raises(ValueError, match="frozen"):
        link.spans = 2


def test_what_was_learned_survives_copies(learned):
    for again in (
        copy.copy(learned),
        copy.deepcopy(learned),
        dataclasses.replace(learned, name="other"),
    ):
        assert type(again) is dbp.LearnedDesign
        assert again.snr_db_float == 18.0 and again.history == ()
        assert again.float_filters.hash == learned.float_filters.hash


def test_results_are_one_line(design, learned):
    assert repr(design).count("\n") == repr(learned).count("\n") == 0
    assert len(repr(design)) < 120


@pytest.mark.slow
def test_a_notebook_shows_tables(design, received, link):
    measured = dbp.measure(received, design.receive(received))
    points = dbp.evaluate(design, link, 0.0, max_bits=1, progress=False)
    for result, cell in (
        (design, "<tr><td>rotation 31</td><td>1</td><td>10</td><td>9</td></tr>"),
        (measured, f"<tr><th>bits</th><td>{measured.bits}</td></tr>"),
        (points, "<th>GMI (bits)</th>"),
    ):
        assert cell in result._repr_html_()


def test_measures_and_points_of_the_same_waveform_agree(design, link, received):
    measured = dbp.measure(received, design.receive(received))
    (point,) = dbp.evaluate(design, link, 0.0, min_errors=10**9, max_bits=1, progress=False)
    assert (measured.bits, measured.errors, measured.snr_db) == (
        point.bits, point.errors, point.snr_db,
    )  # fmt: skip
    assert (
        dbp.evaluate([design], link, [0.0], min_errors=10**9, max_bits=1, progress=False)[0]
        == point
    )


@pytest.mark.slow
def test_two_polarizations_are_measured_together():
    link = dbp.Link(**SMALL, impairments={"dual_polarisation": True})
    received = link.transmit(0.0, symbols=8192, progress=False)
    assert received.waveform.shape == (32, 2, 512)
    measured = dbp.measure(received, received.waveform)
    assert measured.bits == 2 * 8192 * 4
    with pytest.raises(dbp.InputError, match="of polarizations = 1"):
        dbp.Design.load(NAME).receive(received)


def test_designs_of_one_name_are_told_apart(design, link):
    points = dbp.evaluate([design, design, "linear"], link, 0.0, max_bits=1, progress=False)
    assert [point.design for point in points] == [NAME, f"{NAME} (2)", "linear"]


def test_numbers_of_numpy_are_numbers(link, received):
    same = link.transmit(np.float32(0.0), symbols=np.int64(8192), seed=np.int64(1), progress=False)
    assert (same.waveform == received.waveform).all()
    assert dbp.Link(spans=np.int64(5)) == dbp.Link(spans=5)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda link, *_: link.transmit(0.0, seed=None), "seed = None: must be an integer"),
        (lambda link, *_: link.transmit(0.0, seed=-1), "seed = -1: must be in 0"),
        (lambda link, *_: link.transmit(0.0, seed=1.5), "seed = 1.5: must be an integer"),
        (lambda link, *_: link.transmit(0.0, symbols=1.5), "symbols = 1.5: must be an integer"),
        (lambda link, *_: link.transmit(0.0, symbols=0), "symbols = 0: must be in 1"),
        (lambda link, *_: link.transmit(float("nan")), "launch_power_dbm = nan: must be within"),
        (lambda link, *_: link.transmit(1000), "launch_power_dbm = 1000: must be within -30..20"),
        (lambda link, *_: link.transmit([0.0, 1.0]), "must be one launch power"),
        (lambda *_: dbp.Link(spans=0), "link.spans = 0"),
        (lambda *_: dbp.Link(nothing=0), "link.nothing: unknown key"),
        (lambda *_: dbp.Link(impairments=None), "link.impairments = None: must be a table of"),
        (lambda *_: dbp.Link(impairments={"spans": 2}), "must be a table of transmitter_line"),
        (lambda *_: dbp.Link(impairments={"adc_bits": 99}), "link.impairments.adc_bits = 99"),
        (lambda link, rx, d: d.receive(None), "received: object of shape"),
        (lambda link, rx, d: d.receive([1.0]), "received: float64 of shape"),
        (lambda link, rx, d: d.receive(np.zeros(0, complex), 0.0), r"shape \(0,\): must be compl"),
        (lambda link, rx, d: d.receive(np.zeros(64, complex), 0.0), "must be finite, and not all"),
        (lambda link, rx, d: d.receive(rx.waveform), "launch_power_dbm: must be given"),
        (lambda link, rx, d: dbp.measure(None, rx.waveform), "received = None: must be what"),
        (lambda link, rx, d: dbp.measure(rx, [1]), "equalized: int64 of shape"),
        (lambda link, rx, d: dbp.measure(rx, rx.waveform[0]), "must be .* as received.waveform"),
        (lambda link, rx, d: dbp.evaluate([], link, 0.0), "receivers: must be one at least"),
        (lambda link, rx, d: dbp.evaluate("nothing", link, 0.0), "design 'nothing': neither"),
        (lambda link, rx, d: dbp.evaluate(d, None, 0.0), "link = None: must be a dbp.Link"),
        (lambda link, rx, d: dbp.evaluate(d, link, "x"), "launch_power_dbm = 'x': must be within"),
        (lambda link, rx, d: dbp.evaluate(d, link, []), r"launch_power_dbm = \[\]: must be within"),
        (lambda link, rx, d: dbp.evaluate(d, link, 0, min_errors=2.5), "min_errors = 2.5: must be"),
        (
            lambda link, rx, d: dbp.evaluate(d, link, 0, seed=None),
            "seed = None: must be an integer",
        ),
        (
            lambda link, rx, d: dbp.evaluate(lambda w, p: w, link, 0.0),
            "receiver .*: must be a text",
        ),
        (lambda link, rx, d: dbp.learn(link, settings="paper"), "settings = 'paper': must be a"),
        (lambda link, rx, d: dbp.learn(link, tap=3), "tap: unknown key; the keys here are"),
        (lambda link, rx, d: dbp.learn(link, taps=4), "learned.taps = 4: must be odd"),
        (lambda link, rx, d: dbp.synthesize(d, stimulus=None), "stimulus = None: must be what"),
        (lambda link, rx, d: dbp.synthesize(d, stimulus=rx, kit="foo"), "pdk = 'foo'"),
        (lambda link, rx, d: dbp.synthesize(d, stimulus=rx, step=99), "step = 99: must be"),
        (lambda link, rx, d: dbp.synthesize(d, stimulus=rx, lanes=1024), "must be at least"),
        (lambda link, rx, d: d.to_verilog("rtl", lanes=0), "lanes = 0: must be an integer"),
        (lambda link, rx, d: dbp.prove("nowhere", d), "nowhere"),
        (lambda link, rx, d: dbp.load_waveform("nothing.npz"), "nothing.npz"),
    ],
)
def test_what_does_not_fit_is_one_line(call, complaint, link, received, design):
    with pytest.raises(dbp.InputError, match=complaint) as caught:
        call(link, received, design)
    assert "\n" not in str(caught.value)


def test_a_stimulus_of_another_design_is_refused(design, received):
    from dbp.api.hardware import source

    stimulus = source(received, design)(1)
    assert source(stimulus, design)(100) is stimulus
    with pytest.raises(dbp.InputError, match="belongs to the design"):
        source(stimulus, dataclasses.replace(design, adc_rms_permille=100))
