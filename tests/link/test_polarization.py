"""Birefringence, polarisation-mode dispersion, rotation and loss against closed forms."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from dbp import config
from dbp.errors import InputError
from dbp.evaluation import groups
from dbp.evaluation.receivers import Reference
from dbp.link import closed_forms, fiber, polarization, split_step, transmission
from dbp.link.split_step import SplitStep

SMALL = config.link_with(
    config.Link(),
    {"spans": 2, "block_symbols": 256, "steps_per_span": 4, "dual_polarisation": True},
)
QUIET = SMALL.model_copy(update={"noise_figure_db": -100.0, "precision": "complex128"})
# Nor loss, so that amplifiers have neither gain nor noise.
LOSSLESS = QUIET.model_copy(update={"attenuation_db_per_km": 0.0})
ALL = {
    "pmd_ps_per_root_km": 0.7,
    "pmd_section_km": 7.0,
    "polarisation_rotation": True,
    "polarisation_rotation_krad_per_s": 300.0,
    "amplifier_pdl_db": 1.3,
}


def simulate(settings, power_dbm=0.0, blocks=3, first_block=0, **changes):
    settings = config.link_with(settings, changes)
    return transmission.simulate(
        *(settings, power_dbm, blocks),
        seed=2,
        purpose="evaluate",
        first_block=first_block,
        progress=False,
    )


def of(settings, **changes):
    return polarization.Birefringence(config.link_with(settings, changes))


def error_db(field, expected):
    error = np.sum(np.abs(field - expected) ** 2) / np.sum(np.abs(expected) ** 2)
    return 10 * np.log10(max(error, 1e-300))


def dgd_ps(birefringence):
    """Differential group delay at 1550 nm, from matrices at two frequencies 0.2 GHz apart."""
    apart = 2e-3 * np.pi * 0.2
    before, after = np.moveaxis(birefringence.jones(np.array([-apart / 2, apart / 2])), -1, 0)
    between = after @ before.conj().T
    return 2 * np.arccos(min(np.trace(between).real / 2, 1.0)) / apart


# Polarisation-mode dispersion.


def test_the_delay_of_many_fibres_has_the_mean_and_the_distribution_of_maxwell():
    one = {"spans": 1, "pmd_ps_per_root_km": 0.5, "pmd_section_km": 4.0}
    delays = [dgd_ps(of(SMALL, **one, fibre_seed=seed)) for seed in range(400)]
    mean = closed_forms.mean_dgd_ps(config.link_with(SMALL, one))
    assert mean == 5.0  # 0.5 ps over the root of 100 km
    # The standard deviation of Maxwell's distribution is sqrt(3 pi / 8 - 1) = 0.42 of its mean.
    assert np.mean(delays) == pytest.approx(mean, abs=3 * 0.42 * mean / np.sqrt(400))
    fit = stats.kstest(delays, stats.maxwell(scale=mean * np.sqrt(np.pi / 8)).cdf)
    assert fit.pvalue > 0.05


def test_one_section_has_the_delay_of_its_formula():
    one = of(SMALL, spans=1, pmd_ps_per_root_km=0.5, pmd_section_km=100.0)
    assert one.section_dgd_ps == pytest.approx(np.sqrt(3 * np.pi / 8) * 5)
    assert dgd_ps(one) == pytest.approx(one.section_dgd_ps, rel=1e-6)


def test_the_fibre_is_the_same_whatever_the_split_steps():
    birefringence = of(SMALL, pmd_ps_per_root_km=2.0, pmd_section_km=7.0)
    omega = fiber.angular_frequency(64, 100.0)
    (whole,) = birefringence.pieces(1, np.array([100.0]), omega)
    for steps in (1, 5, 40):
        lengths = fiber.pieces_km(closed_forms.span(SMALL), steps)
        total = polarization.su2(np.array([np.ones(64), np.zeros(64)], complex))
        for row in birefringence.pieces(1, lengths, omega):
            both = polarization.turned(polarization.su2(row), total.swapaxes(0, 1))
            total = both.swapaxes(0, 1)
        np.testing.assert_allclose(total, polarization.su2(whole), atol=1e-12)


def test_matrices_of_a_lossless_fibre_are_unitary_and_split_power_evenly():
    omega = fiber.angular_frequency(16, 100.0)
    lossless = {"spans": 1, "pmd_ps_per_root_km": 1.0, "polarisation_rotation": True}
    shares = []
    for seed in range(60):
        matrix = of(SMALL, **lossless, pmd_section_km=10.0, fibre_seed=seed).jones(omega)
        product = np.einsum("ijk,ilk->jlk", matrix.conj(), matrix)
        np.testing.assert_allclose(product, np.eye(2)[..., None] * np.ones(16), atol=1e-13)
        shares.append(abs(matrix[0, 0, 0]) ** 2)
    # What stays of x in x is even in 0..1 where states are even on the sphere.
    assert stats.kstest(shares, "uniform").pvalue > 0.05


def test_in_a_linear_fibre_what_arrives_is_the_matrix_times_what_was_sent():
    linear = LOSSLESS.model_copy(update={"nonlinearity_per_w_km": 0.0})
    plain, mixed = simulate(linear), simulate(linear, **ALL)
    samples = plain.waveform.shape[-1]
    omega = fiber.angular_frequency(samples, 40.0)
    matrix = polarization.Birefringence(mixed.link).jones(omega)
    spectrum = polarization.turned(matrix, np.fft.fft(plain.waveform))
    expected = polarization.moved_on(np.fft.ifft(spectrum), mixed.link, 0)
    assert error_db(mixed.waveform, plain.waveform) > -10
    assert error_db(mixed.waveform, expected) < -250


def test_energy_is_kept_where_fibre_has_no_loss():
    steps, samples = 6, 256
    span = closed_forms.span(LOSSLESS)
    one = SplitStep(span, steps, samples, 100.0, torch.complex128, manakov=True)
    normal = np.random.default_rng(1).normal(size=(3, 2, samples, 2))
    start = normal.view(complex)[..., 0] * np.sqrt(samples * 0.005)
    birefringence = of(LOSSLESS, pmd_ps_per_root_km=5.0)
    omega = fiber.angular_frequency(samples, 100.0)
    rows = birefringence.pieces(0, fiber.pieces_km(span, steps), omega)
    end = one(torch.from_numpy(start), rows).numpy()
    energies = [np.sum(np.abs(x) ** 2, axis=(1, 2)) for x in (start, end)]
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-12)
    assert error_db(end, one(torch.from_numpy(start)).numpy()) > -10


# The limit of the Manakov equation.


def test_without_effects_no_bit_is_another():
    plain = simulate(SMALL)
    for key, value in (("pmd_section_km", 3.0), ("fibre_seed", 7)):
        np.testing.assert_array_equal(simulate(SMALL, **{key: value}).waveform, plain.waveform)


def test_rotation_alone_turns_what_the_manakov_equation_gives():
    plain, mixed = (simulate(LOSSLESS, 6.0, polarisation_rotation=turn) for turn in (False, True))
    matrix = polarization.Birefringence(mixed.link).jones(np.zeros(1))[..., 0]
    # Both ends at once: the equation knows no preferred state.
    assert error_db(mixed.waveform, polarization.turned(matrix, plain.waveform)) < -250


def test_little_polarisation_mode_dispersion_is_close_to_the_manakov_equation():
    plain, mixed = (simulate(QUIET, 6.0, pmd_ps_per_root_km=pmd) for pmd in (0.0, 1e-4))
    undone = groups._unmixed(mixed.waveform, mixed.link, 0)
    assert -140 < error_db(undone, plain.waveform) < -60
    strong = simulate(QUIET, 6.0, pmd_ps_per_root_km=0.5)
    assert error_db(groups._unmixed(strong.waveform, strong.link, 0), plain.waveform) > -40


@pytest.mark.parametrize("keys", [ALL, {"pmd_ps_per_root_km": 0.3}])
def test_single_precision_is_double(keys):
    double, single = (
        simulate(QUIET, 3.0, 1, precision=precision, **keys).waveform
        for precision in ("complex128", "complex64")
    )
    assert -140 < error_db(single, double) < -100


def test_compiled_and_torchs_matrices_are_one():
    generator = np.random.default_rng(1)
    row, spectrum = (
        generator.normal(size=(*shape, 8, 2)).view(complex)[..., 0] for shape in ((2,), (3, 2))
    )
    expected = polarization.turned(polarization.su2(row), spectrum)
    fields = torch.from_numpy(spectrum)
    np.testing.assert_allclose(split_step._turned(fields, torch.from_numpy(row)), expected)
    compiled = split_step._through(fields, torch.full((8,), 2j), row)
    np.testing.assert_allclose(compiled, 2j * expected, rtol=1e-6)


def test_a_fibre_is_one_for_all_seeds_and_blocks_and_another_for_another_seed_of_it():
    noisy = {"pmd_ps_per_root_km": 0.3, "polarisation_rotation_krad_per_s": 100.0}
    received = simulate(SMALL, blocks=8, **noisy)
    later = simulate(SMALL, blocks=2, first_block=5, **noisy)
    assert (later.first_block, later.blocks(slice(1, None)).first_block) == (5, 6)
    for name in ("symbols", "labels", "waveform"):
        np.testing.assert_array_equal(getattr(later, name), getattr(received, name)[5:7])
    other = simulate(SMALL, blocks=2, first_block=5, **noisy, fibre_seed=2)
    assert error_db(other.waveform, later.waveform) > -10


# Polarisation-dependent loss.


def loss_db(birefringence):
    ratio = np.linalg.svd(birefringence.jones(np.zeros(1))[..., 0], compute_uv=False)
    return 20 * np.log10(ratio[0] / ratio[1])


def test_one_amplifier_has_the_loss_of_its_key_and_keeps_the_mean_power():
    one = of(SMALL, spans=1, amplifier_pdl_db=1.5)
    assert loss_db(one) == pytest.approx(1.5)
    assert np.sum(np.abs(one.amplifier(0)) ** 2) / 2 == pytest.approx(1)


def test_losses_of_many_amplifiers_add_up_like_hyperbolic_angles():
    # A loss is a boost by half its logarithm; boosts along even directions multiply the mean of
    # cosh. For small losses: the mean square of the dB grows with their number.
    spans, each = 8, 1.5
    per_db = np.log(10) / 20
    losses = [
        loss_db(of(SMALL, spans=spans, amplifier_pdl_db=each, fibre_seed=seed))
        for seed in range(200)
    ]
    excess = np.cosh(per_db * np.array(losses)) - 1
    expected = np.cosh(per_db * each) ** spans - 1
    assert expected == pytest.approx(np.mean(excess), abs=3 * np.std(excess) / np.sqrt(200))
    assert expected == pytest.approx(spans * (per_db * each) ** 2 / 2, rel=0.06)


# Rotation.


def test_the_received_state_turns_at_its_speed_from_block_to_block():
    field = np.zeros((4, 2, 100), complex)
    field[:, 0] = 1
    settings = config.link_with(SMALL, {"polarisation_rotation_krad_per_s": 2000.0})
    x, y = polarization.moved_on(field, settings, 3).swapaxes(0, 1)
    s1, s2 = np.abs(x) ** 2 - np.abs(y) ** 2, 2 * (x * y.conj()).real
    angle = np.unwrap(np.arctan2(s2, s1).ravel())
    # 12.8 ns a block: 25.6 mrad.
    np.testing.assert_allclose(angle, 2e6 * 12.8e-9 * (3 + np.arange(400) / 100), atol=1e-12)
    back = polarization.moved_on(np.stack([x, y], axis=1), settings, 3, sign=-1)
    np.testing.assert_allclose(back, field, atol=1e-12)


# The genie.


def test_the_genie_finds_both_polarisations():
    quiet = QUIET.model_copy(update={"nonlinearity_per_w_km": 0.0})
    received = simulate(quiet, **ALL, frequency_offset_mhz=160.0)
    equalized = Reference("linear", received.link)(received.waveform, 0.0)
    without = dataclasses.replace(
        received, link=config.link_with(received.link, {"frequency_offset_mhz": 0.0})
    )
    undone = groups._unmixed(equalized, received.link, 0)
    plain = simulate(quiet, frequency_offset_mhz=160.0)
    expected = Reference("linear", plain.link)(plain.waveform, 0.0)
    # The slow turn and the dispersion, whose order is exchanged, are what is left.
    assert error_db(undone, expected) < -60
    assert error_db(groups._unmixed(equalized, without.link, 0), expected) > -60


def test_blocks_of_another_group_are_undone_by_their_own_turn():
    turning = {"polarisation_rotation_krad_per_s": 5000.0, "precision": "complex64"}
    received = simulate(SMALL, blocks=64, **turning)
    receiver = Reference("linear", received.link)
    measured = groups.measure_equalized(received.link, received, receiver(received.waveform, 0.0))
    plain = simulate(SMALL, blocks=64)
    reference = groups.measure_equalized(plain.link, plain, receiver(plain.waveform, 0.0))
    assert measured.snr_db == pytest.approx(reference.snr_db, abs=0.05)


# The keys.


@pytest.mark.parametrize("key", sorted(ALL.keys() - {"pmd_section_km"}))
def test_what_mixes_polarisations_needs_both(key):
    with pytest.raises(InputError, match=f"{key} = .*needs dual_polarisation = true"):
        config.link_with(config.Link(), {key: ALL[key]})
    both = config.link_with(config.Link(), {key: ALL[key], "dual_polarisation": True})
    assert both.impairments.mixed_polarizations


def test_later_keys_keep_the_hash_of_a_configuration():
    plain = config.parse("[link.impairments]\ndual_polarisation = true")
    assert config.parse(plain.to_toml()).hash == plain.hash
    other = config.parse("[link.impairments]\ndual_polarisation = true\nfibre_seed = 2")
    assert other.hash != plain.hash


def test_a_split_step_takes_a_matrix_for_each_piece():
    one = SplitStep(closed_forms.span(QUIET), 2, 16, 40.0, torch.complex128, manakov=True)
    with pytest.raises(StopIteration):
        one(torch.ones(2, 16, dtype=torch.complex128), [None])
