"""Receivers of `import dbp` on a recorded waveform: where its symbols are, and what is wrong."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import dbp
from dbp.evaluation.receivers import FixedReceiver, Reference
from dbp.waveforms.recording import Recording

LINK = dbp.Link(spans=1, block_symbols=4096, steps_per_span=4)
DELAY_SAMPLES = 120


@dataclass(frozen=True)
class Mine:
    """A receiver of a user: the reference, under a name of its own."""

    name: str = "mine"
    arithmetic: str = "float"
    key: str = "mine"

    def __call__(self, waveform, launch_power_dbm):
        return 2j * Reference("linear", LINK)(waveform, launch_power_dbm)


@pytest.fixture(scope="module")
def received():
    return LINK.transmit(-25.0, symbols=4096, seed=1, progress=False)


@pytest.fixture(scope="module")
def recording(received):
    waveform = np.roll(3e-3j * received.waveform[0].astype(complex), DELAY_SAMPLES)
    return Recording(waveform, 2, 20e9, 0.1, -25.0, "16qam", received.symbols[0])


def test_points_are_as_good_as_those_of_the_link_and_say_where_the_symbols_were(
    received, recording
):
    points = dbp.evaluate_waveform(["linear", Mine()], recording, link=LINK)
    known = dbp.measure(received, Reference("linear", LINK)(received.waveform, -25.0))
    assert [point.design for point in points] == ["linear", "mine"]
    for point in points:
        assert point.snr_db == pytest.approx(known.snr_db, abs=0.2)
        assert 0 < point.errors < known.errors and point.bits < known.bits
        assert point.delay_samples == pytest.approx(DELAY_SAMPLES, abs=0.05)
    assert points[0].snr_db == pytest.approx(points[1].snr_db, abs=1e-6)


def test_sent_and_received_symbols_lie_side_by_side(recording):
    found = dbp.equalize_waveform("linear", recording, link=LINK)
    (point,) = dbp.evaluate_waveform("linear", recording, link=LINK)
    error = np.mean(np.abs(found.sent - found.received) ** 2)
    assert np.mean(np.abs(found.sent) ** 2) == pytest.approx(1, abs=0.05)
    # The gain without bias is not the one of least error: S against 1 + S.
    assert 10 * np.log10(1 + 1 / error) == pytest.approx(point.snr_db, abs=0.1)
    assert found.sent.size == 4096 - 2 * found.edge_symbols


def test_designs_and_filters_wait_for_their_own_memory(recording):
    from dbp.api import waveforms
    from dbp.evaluation import on_waveform
    from dbp.evaluation.receivers import FloatReceiver
    from dbp.runs import float_filters

    name = "learned-c6-s9"
    design, floats = dbp.Design.load(name), float_filters(name, None)
    memory = on_waveform.memory_symbols(design)
    assert waveforms.memory_symbols(FixedReceiver(name, design), LINK) == memory
    assert waveforms.memory_symbols(FloatReceiver(name, floats), LINK) == memory
    assert waveforms.memory_symbols(Mine(), LINK) == on_waveform.memory_symbols_of_link(LINK)


def test_a_design_on_what_it_is_not_made_for_is_a_warning(recording):
    odd = replace(recording, roll_off=0.2)
    with (
        pytest.warns(UserWarning, match=r"roll_off = 0\.2, for a link of 0\.1"),
        pytest.raises(dbp.InputError, match="learned-c6-s9: "),
    ):
        dbp.evaluate_waveform("learned-c6-s9", odd, link=LINK)


def test_what_does_not_fit_is_one_line(recording):
    blind = replace(recording, symbols=None)
    nameless = replace(recording, modulation=None)
    for call, complaint in (
        (lambda: dbp.evaluate_waveform("linear", None), "recording = None: must be what dbp.load"),
        (lambda: dbp.evaluate_waveform([], recording), "receivers: must be one at least"),
        (lambda: dbp.equalize_waveform(["linear"], recording), "receiver list: "),
        (lambda: dbp.evaluate_waveform("linear", blind, link=LINK), "linear: symbols or bits: "),
        (lambda: dbp.evaluate_waveform("linear", nameless, link=LINK), "linear: modulation: must"),
    ):
        with pytest.raises(dbp.InputError, match=complaint):
            call()
