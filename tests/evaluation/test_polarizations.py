"""Designs of two polarisations counted beside those of one, each on the link that it is for."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.awgn import AWGN, power_for
from helpers.designs import DESIGN

import dbp
from dbp import config
from dbp.cli._requests import Request, resolve
from dbp.datapath import golden
from dbp.datapath.design import Design, Filter
from dbp.errors import InputError
from dbp.evaluation import counting, groups
from dbp.evaluation.receivers import FixedReceiver
from dbp.link import transmission

# A wire: what comes in goes out, with a bit less.
WIRE = Design("wire", 9, 250, (Filter(2, 0, 9, (1,), (0,)),), (), polarizations=2)


def test_each_design_is_counted_on_the_link_that_it_is_for():
    one = replace(WIRE, name="one", polarizations=1)
    receivers = [FixedReceiver("one", one), FixedReceiver("two", WIRE)]
    points = counting.evaluate(
        receivers, AWGN, [power_for(AWGN, 12.0)], min_errors=1, max_bits=1, seed=1
    )
    assert [point.model_extra["dual_polarisation"] for point in points] == [False, True]
    assert points[1].bits == 2 * points[0].bits
    # Half of the power in each: 3 dB less.
    assert points[0].snr_db - points[1].snr_db == pytest.approx(3.0, abs=0.4)
    both = config.link_with(AWGN, {"dual_polarisation": True})
    with pytest.raises(InputError, match=r"receiver one: polarizations = 1: must be 2"):
        counting.check(receivers[:1], both)
    counting.check(receivers[1:], both)
    with pytest.raises(InputError, match=r"receiver two: polarizations = 2: must be 1"):
        counting.check(receivers[1:], AWGN)


def test_blocks_pass_as_one_stream_of_pairs():
    link = config.link_with(AWGN, {"dual_polarisation": True})
    received = transmission.simulate(link, 0.0, 3, seed=1, purpose="evaluate", progress=False)
    waveform = received.waveform
    passed = FixedReceiver("w", WIRE)(waveform, 0.0)
    i, q = golden.convert(golden.one_stream(waveform), WIRE)
    np.testing.assert_array_equal(passed, golden.as_blocks(i + 1j * q, 3))
    dual = dbp.Design.of(replace(DESIGN, polarizations=2))
    np.testing.assert_array_equal(
        dual.receive(received), FixedReceiver("d", dual)(waveform, received.launch_power_dbm)
    )
    assert dual.receive(waveform[0], 0.0).shape == waveform[0].shape
    for wrong in (waveform[:, 0], waveform[:, :1], waveform[0, 0]):
        with pytest.raises(InputError, match="received: shape"):
            dual.receive(wrong, 0.0)
    with pytest.raises(InputError, match="receiver w: polarizations = 2: must be 1"):
        FixedReceiver("w", WIRE)(waveform[:, 0], 0.0)
    symbols = groups.detect(link, FixedReceiver("w", WIRE), received)
    assert symbols.shape == received.symbols.shape


def test_in_a_plan_the_link_follows_the_design(tmp_path):
    names = []
    for name, polarizations in (("one", 1), ("two", 2)):
        names.append(str(tmp_path / f"{name}.json"))
        replace(DESIGN, name=name, polarizations=polarizations).save(names[-1])
    plan = resolve(Request(designs=[*names, "linear"], config="demo"))
    assert plan.link_keys == ("dual_polarisation",)
    assert [told for told, _ in plan.links] == [
        {"dual_polarisation": False},
        {"dual_polarisation": True},
    ]
    assert [candidate.links for candidate in plan.candidates] == [(0,), (1,), None]
