"""Receivers of strangers: the documented twelve lines, and what `check_receiver` says of others."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.awgn import AWGN, Plain, power_for
from helpers.designs import DESIGN

from dbp import config
from dbp.errors import InputError
from dbp.evaluation import counting
from dbp.evaluation.receivers import FixedReceiver, Reference, check_receiver

LIMITS = {"min_errors": 10**9, "max_bits": 40_000, "seed": 3}
LINEAR = AWGN.model_copy(update={"spans": 4, "dispersion_ps_per_nm_km": 17.0})


@dataclass(frozen=True)
class Mine:
    """That of `Receiver`'s docstring: undoes the dispersion of a link."""

    link: config.Link
    name: str = "mine"
    arithmetic: str = "float"
    key: str = "mine, version 1"

    def __call__(self, waveform, launch_power_dbm):
        hertz = np.fft.fftfreq(waveform.shape[-1], 0.5 / (1e9 * self.link.symbol_rate_gbd))
        slope = np.pi * (1e-9 * self.link.wavelength_nm) ** 2 / 299_792_458
        slope *= 1e-3 * self.link.dispersion_ps_per_nm_km * self.link.span_km
        undo = np.exp(1j * slope * self.link.spans * hertz**2)
        return np.fft.ifft(np.fft.fft(waveform) * undo)


class Forgetful(Plain):
    """Has another answer at every call."""

    calls = 0

    def __call__(self, waveform, launch_power_dbm):
        self.calls += 1
        return waveform + self.calls


def fails(waveform):
    raise IndexError("out of\nrange")


def in_place(waveform):
    waveform *= 2
    return waveform


def share_the_gain(waveform):
    return waveform / np.abs(waveform).max()


def test_the_documented_receiver_fits_and_is_evaluated_beside_ours():
    mine, ideal = Mine(LINEAR), Reference("linear", LINEAR)
    check_receiver(mine, LINEAR)
    points = counting.evaluate([mine, ideal], LINEAR, [power_for(LINEAR, 13.0)], **LIMITS)
    assert [point.design for point in points] == ["mine", "linear"]
    assert points[0].snr_db == pytest.approx(points[1].snr_db, abs=0.01)
    assert points[0].design_hash is None and points[0].errors > 0


@pytest.mark.parametrize("name", ["linear", "dbp1"])
@pytest.mark.parametrize("changes", [{}, {"dual_polarisation": True}])
def test_our_references_fit(name, changes):
    link = config.link_with(AWGN.model_copy(update={"block_symbols": 256}), changes)
    check_receiver(Reference(name, link), link)


def test_a_design_in_fixed_point_fits():
    check_receiver(FixedReceiver("design", DESIGN), AWGN)
    # Its blocks share one gain control, which others may not.
    shared = Plain("shared", share_the_gain)
    shared.arithmetic = "fixed"
    check_receiver(shared, AWGN)


def local_receiver():
    class Local(Plain):
        pass

    return Local()


def without(attribute, value):
    receiver = Plain()
    setattr(receiver, attribute, value)
    return receiver


class NotCallable:
    name, key, arithmetic = "mute", "mute", "float"


@pytest.mark.parametrize(
    ("receiver", "message"),
    [
        (without("name", None), "Plain: name = None: must be a text, not empty"),
        (without("key", ""), "key = '': must be a text"),
        (without("arithmetic", "double"), "arithmetic = 'double': must be 'float' or 'fixed'"),
        (object(), "name = None.*; key = None.*; arithmetic = None.*; must be callable"),
        (NotCallable(), "NotCallable: must be callable with a waveform and a launch power"),
        (local_receiver(), "defined at the top of its module"),
        (Plain("x", fails), r"of shape \(2, 2048\) it raises IndexError: out of range$"),
        (Plain("x", lambda w: w.tolist()), "returns list: must return a numpy array"),
        (Plain("x", lambda w: w[:, ::2]), r"shape \(2, 1024\) for \(2, 2048\)"),
        (Plain("x", np.abs), "returns float32: must be complex"),
        (Plain("x", lambda w: w * np.nan), "must be finite"),
        (Plain("x", in_place), "must not change the waveform"),
        (Forgetful(), "must give the same numbers"),
        (Plain("x", share_the_gain), "must not depend on the blocks that are passed with it"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(receiver, message):
    with pytest.raises(InputError) as raised:
        check_receiver(receiver, AWGN)
    assert re.search(message, str(raised.value)), str(raised.value)
    assert "\n" not in str(raised.value) and str(raised.value).startswith("receiver ")


def test_an_unknown_arithmetic_is_refused_before_counting():
    with pytest.raises(InputError, match="receiver plain: arithmetic = 'double': must be"):
        counting.evaluate([without("arithmetic", "double")], AWGN, [0.0], **LIMITS)
