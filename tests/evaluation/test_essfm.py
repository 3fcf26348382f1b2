"""Few-step backpropagation against what it must be in its limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.awgn import AWGN
from helpers.designs import DESIGN

from dbp import config
from dbp.errors import InputError
from dbp.evaluation import essfm
from dbp.evaluation.measures import effective_snr_db, matched_filter
from dbp.evaluation.receivers import Reference, check_receiver, is_reference
from dbp.link import closed_forms, transmission

LINK = config.Link(spans=4, span_km=60.0, steps_per_span=4, noise_figure_db=0.0, block_symbols=256)
POWER_DBM = 6.0


@pytest.fixture(autouse=True)
def few_symbols(monkeypatch):
    monkeypatch.setattr(essfm, "SYMBOLS", 4096)
    essfm._fitted.cache_clear()


@pytest.fixture(scope="module")
def received():
    return transmission.simulate(LINK, POWER_DBM, 16, seed=1, purpose="evaluate", progress=False)


def snr_db(received, waveform):
    return effective_snr_db(received.symbols, matched_filter(waveform, received.link.roll_off))


@pytest.mark.parametrize("count", [1, 3, 4, 8, 20])
def test_steps_are_of_equal_kerr_phase_and_rotated_at_its_mean_place(count):
    steps = essfm.Steps.of(LINK, count)
    alpha = closed_forms.span(LINK).attenuation_per_km
    z = (np.arange(200_000) + 0.5) / 200_000 * 240
    phase = np.exp(-alpha * (z % 60))
    step = np.minimum(np.cumsum(phase) / phase.sum() * count, count - 1e-9).astype(int)
    place = np.bincount(step, phase * z) / np.bincount(step, phase)
    np.testing.assert_allclose(steps.rotations_km, (240 - place)[::-1], atol=0.05)
    assert len(set(steps.kinds)) == {4: 1, 8: 2}.get(count, 1)


def test_many_steps_of_one_weight_are_the_split_step_method(received):
    steps = essfm.Steps.of(LINK, 4 * 20)
    phase = closed_forms.kerr_rad_per_w(LINK) * received.power_w * 4 / 80
    waveform = torch.from_numpy(received.waveform.astype(np.complex128))
    kinds = max(steps.kinds) + 1
    ours = steps.receive(waveform, np.full((kinds, 1), -phase), 0.0).numpy()
    theirs = Reference("dbp20", LINK)(waveform.numpy(), POWER_DBM)
    assert np.mean(np.abs(ours - theirs) ** 2) < 1e-4 * np.mean(np.abs(theirs) ** 2)


def test_fitted_weights_turn_back_and_beat_as_many_steps_without(received):
    four = Reference("essfm4", LINK)
    fitted = snr_db(received, four(received.waveform, POWER_DBM))
    linear, dbp1 = (
        snr_db(received, Reference(name, LINK)(received.waveform, POWER_DBM))
        for name in ("linear", "dbp1")
    )
    assert fitted > dbp1 > linear
    weights = essfm.fit(essfm.Steps.of(LINK, 4), POWER_DBM, 1, 4096)[:-1]
    expected = -closed_forms.kerr_rad_per_w(LINK) * received.power_w
    assert weights[0] + 2 * weights[1:].sum() == pytest.approx(expected, rel=0.2)


def test_without_kerr_effect_it_is_linear_compensation(received):
    link = LINK.model_copy(update={"nonlinearity_per_w_km": 0.0})
    ours = Reference("essfm2", link)(received.waveform, POWER_DBM)
    theirs = Reference("linear", link)(received.waveform, POWER_DBM)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"dual_polarisation": True}])
def test_it_is_a_receiver(changes):
    link = config.link_with(AWGN.model_copy(update={"block_symbols": 256}), changes)
    check_receiver(Reference("essfm2", link), link)


def test_names_of_references_are_no_designs_names():
    assert all(is_reference(name) for name in ("linear", "dbp1", "dbp50", "dbp7", "essfm16"))
    assert not any(is_reference(name) for name in ("dbp0", "essfm", "essfm08", "dbp12345", "xdbp1"))


def test_no_design_has_the_name_of_a_reference():
    with pytest.raises(InputError, match="dbpN, essfmN are no designs' names"):
        replace(DESIGN, name="dbp7")


def test_more_steps_of_the_split_step_method_come_nearer(received):
    two, eight, fifty = (
        Reference(f"dbp{n}", LINK)(received.waveform, POWER_DBM) for n in (2, 8, 50)
    )
    assert 4 * np.abs(eight - fifty).mean() < np.abs(two - fifty).mean()
