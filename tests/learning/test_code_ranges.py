"""Filters turned and scaled to fill the codes of their taps."""

import numpy as np
import pytest
import torch

from dbp import config
from dbp.learning import training
from dbp.learning.code_ranges import LEVEL_DB, filled
from dbp.learning.export import coefficient_shift
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Model, to_signal

RANDOM = np.random.default_rng(3)
HALVES = RANDOM.normal(0, 0.2, (9, 5, 2)).view(np.complex128)[..., 0]
TAPS = tuple(np.concatenate((half, half[-2::-1])) for half in HALVES)
FILTERS = FloatFilters(TAPS, RANDOM.normal(-0.02, 0.005, (8, 2)), 2)


def steps(filters, bits):
    """The step of each filter's codes, over the norm of its taps."""
    sizes = [max(np.abs(taps.real).max(), np.abs(taps.imag).max()) for taps in filters.taps]
    norms = [np.linalg.norm(taps) for taps in filters.taps]
    return [
        2.0 ** -coefficient_shift(size, bits) / norm
        for size, norm in zip(sizes, norms, strict=True)
    ]


@pytest.mark.parametrize("bits", [4, 6])
def test_filled_filters_receive_the_same_but_for_a_factor(bits):
    x = to_signal(RANDOM.normal(0, 0.5**0.5, (2, 64, 2)).view(np.complex128)[..., 0])
    with torch.no_grad():
        was, now = (
            torch.complex(*Model(filters)(x, 2.0)).flatten()
            for filters in (FILTERS, filled(FILTERS, bits))
        )
    factor = (torch.vdot(was, now) / torch.vdot(was, was)).item()
    assert torch.linalg.norm(now - factor * was) < 1e-4 * torch.linalg.norm(now)
    assert abs(20 * np.log10(abs(factor))) <= LEVEL_DB + 1e-3


@pytest.mark.parametrize("bits", [4, 5, 6])
def test_filled_filters_have_finer_steps_and_levels_within_the_limit(bits):
    new = filled(FILTERS, bits)
    ratio = np.array(steps(FILTERS, bits)) / steps(new, bits)
    assert np.log2(ratio).mean() > 0.4
    norms = [[np.linalg.norm(taps) for taps in f.taps] for f in (FILTERS, new)]
    levels_db = 20 * np.log10(np.cumprod(np.divide(norms[1], norms[0])))
    assert np.abs(levels_db).max() <= LEVEL_DB + 1e-9
    # Rotations undo the same phase of louder or softer signals.
    kerr = new.kerr_rad_per_mw * 10 ** (levels_db[:-1, None] / 10)
    np.testing.assert_allclose(kerr, FILTERS.kerr_rad_per_mw)


def test_no_other_levels_of_a_short_chain_have_finer_steps():
    two = FloatFilters(TAPS[:2], FILTERS.kerr_rad_per_mw[:1], 2)
    best = np.square(steps(filled(two, 4), 4) * np.array([np.linalg.norm(t) for t in TAPS[:2]]))
    turned = filled(two, 4, level_db=0.0).taps
    for first in 10 ** (np.linspace(-LEVEL_DB, LEVEL_DB, 15) / 20):
        for second in 10 ** (np.linspace(-LEVEL_DB, LEVEL_DB, 15) / 20):
            other = FloatFilters(
                (turned[0] * first, turned[1] * second / first), two.kerr_rad_per_mw, 2
            )
            norms = [np.linalg.norm(taps) for taps in TAPS[:2]]
            assert np.square(np.multiply(steps(other, 4), norms)).sum() >= best.sum() * (1 - 0.03)


def test_learning_fills_codes_only_where_it_is_told_to():
    settings = config.Config()
    told = settings.training.model_copy(update={"fill_codes": True})
    filling = settings.model_copy(update={"training": told})
    assert filling.hash != settings.hash
    # The float phase does not read it, so what was learned there serves both.
    assert training.float_settings(filling).hash == training.float_settings(settings).hash
