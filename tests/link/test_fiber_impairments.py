"""Neighbouring channels, dispersion errors and both polarisations against closed forms."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.awgn import AWGN, Plain, power_for

from dbp import config, runs
from dbp.errors import InputError
from dbp.evaluation import counting, groups, measures
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Reference
from dbp.learning.float_filters import FloatFilters
from dbp.link import closed_forms, modulation, transmission
from dbp.link.fiber import Fiber
from dbp.link.split_step import SplitStep

LIMITS = {"min_errors": 10**9, "max_bits": 100_000, "seed": 3}
SMALL = config.Link(spans=2, block_symbols=256, steps_per_span=4)
QUIET = SMALL.model_copy(update={"noise_figure_db": -100.0, "precision": "complex128"})
STANDARD = closed_forms.span(config.Link())
SAMPLES, RATE_GHZ = 1024, 400.0


def simulate(settings, power_dbm=0.0, blocks=4, **changes):
    settings = config.link_with(settings, changes)
    return transmission.simulate(
        settings, power_dbm, blocks, seed=2, purpose="evaluate", progress=False
    )


def error_db(field, expected):
    expected = expected.astype(complex)
    error = np.sum(np.abs(field - expected) ** 2)
    return 10 * np.log10(max(error, 1e-300) / np.sum(np.abs(expected) ** 2))


def random_field(*shape, power_w=0.01, width_ghz=40.0, seed=1):
    generator = np.random.default_rng(seed)
    spectrum = generator.normal(size=(*shape, SAMPLES, 2)).view(np.complex128)[..., 0]
    spectrum *= np.abs(np.fft.fftfreq(SAMPLES, 1 / RATE_GHZ)) < width_ghz
    field = np.fft.ifft(spectrum)
    return field * np.sqrt(power_w / np.mean(np.abs(field) ** 2))


def propagate(field, fibre, steps, dtype=torch.complex128, manakov=False):
    spectrum = torch.fft.fft(torch.as_tensor(field, dtype=dtype))
    split_step = SplitStep(fibre, steps, SAMPLES, RATE_GHZ, dtype, manakov=manakov)
    return torch.fft.ifft(split_step(spectrum)).numpy()


# The default link.


@pytest.mark.parametrize("precision", ["complex64", "complex128"])
def test_keys_without_effect_change_no_bit(precision):
    settings = SMALL.model_copy(update={"precision": precision})
    plain = simulate(settings)
    for change in ({"wdm_spacing_ghz": 50.0}, {"dispersion_error_percent": -0.0}):
        same = simulate(settings, **change)
        np.testing.assert_array_equal(same.waveform, plain.waveform)
        np.testing.assert_array_equal(same.symbols, plain.symbols)
        assert same.power_w == plain.power_w


# Neighbouring channels.


@pytest.mark.parametrize(("neighbors", "spacing_ghz"), [(1, 22.0), (2, 23.3), (1, 48.0)])
def test_neighbours_leave_no_trace_in_a_linear_fibre(neighbors, spacing_ghz):
    # Nor loss, so that amplifiers add no noise, which a narrower slot would cut.
    changes = {"nonlinearity_per_w_km": 0.0, "attenuation_db_per_km": 0.0, "samples_per_symbol": 8}
    linear = config.link_with(QUIET, changes)
    alone = simulate(linear)
    beside = simulate(linear, wdm_neighbours=neighbors, wdm_spacing_ghz=spacing_ghz)
    assert error_db(beside.waveform, alone.waveform) < -250
    np.testing.assert_array_equal(beside.labels, alone.labels)


@pytest.mark.parametrize(
    ("spacing_ghz", "dual", "band_ghz"),
    [(25.0, False, 25.0), (25.0, True, 25.0), (48.0, False, 40.0)],
)
def test_received_power_is_that_of_the_channel_and_the_noise_in_its_slot(
    spacing_ghz, dual, band_ghz
):
    # As much noise as signal.
    power_dbm = 10 * np.log10(1e3 * 2 * closed_forms.ase_w_per_ghz(SMALL) * band_ghz * (1 + dual))
    changes = {"wdm_neighbours": 1, "wdm_spacing_ghz": spacing_ghz, "dual_polarisation": dual}
    received = simulate(SMALL, power_dbm, 32, **changes)
    signal_w = closed_forms.watts(power_dbm) / (1 + dual)
    assert received.power_w == pytest.approx(2 * signal_w)
    assert np.mean(np.abs(received.waveform) ** 2) == pytest.approx(1, abs=0.02)
    # The noise is white within the slot and nothing lies outside.
    density = np.mean(np.abs(np.fft.fft(received.waveform)) ** 2, axis=tuple(range(1 + dual)))
    frequency = np.abs(np.fft.fftfreq(512, 1 / 40))
    between = (frequency > 11.5) & (frequency < band_ghz / 2)
    assert np.max(density[frequency > band_ghz / 2], initial=0) < 1e-6 * density.max()
    noise_w = density[between].mean() * received.power_w / 512 * (512 / 40)
    assert noise_w == pytest.approx(512 * 2 * closed_forms.ase_w_per_ghz(SMALL), rel=0.1)


def comb(settings, power_dbm, blocks):
    """The launched field, in the time domain: each neighbour mixed to its frequency."""
    impairments, samples = settings.impairments, settings.block_symbols * 8
    time = np.arange(samples) / 8  # in symbols
    pulse = modulation.root_raised_cosine(settings.roll_off, 8, samples)
    frequency = np.fft.fftfreq(samples) * 8
    field = np.zeros((blocks, samples), complex)
    for channel in range(1 + 2 * impairments.wdm_neighbours):
        offset = (channel + 1) // 2 * (1 if channel % 2 else -1)
        for block in range(blocks):
            key = (2, block, 1, 0, channel) if channel else (2, block)
            sequence = np.random.SeedSequence(2, spawn_key=key)
            generator = np.random.Generator(np.random.SFC64(sequence))
            symbols, _ = modulation.draw(settings.modulation, settings.block_symbols, generator)
            train = np.zeros(samples, complex)
            train[::8] = symbols * 8
            delay = generator.random() if channel else 0.0
            response = pulse * np.exp(-2j * np.pi * frequency * delay)
            baseband = np.fft.ifft(np.fft.fft(train) * response)
            carrier = offset * impairments.wdm_spacing_ghz / settings.symbol_rate_gbd
            field[block] += baseband * np.exp(2j * np.pi * carrier * time)
    return field * np.sqrt(closed_forms.watts(power_dbm))


@pytest.mark.parametrize("spacing_ghz", [25.0, 50.0])
def test_the_comb_without_dispersion_turns_by_its_power(spacing_ghz):
    # Self-phase modulation, cross-phase modulation and four-wave mixing at once, in closed form.
    settings = config.link_with(
        QUIET,
        {
            "spans": 1,
            "dispersion_ps_per_nm_km": 0.0,
            "samples_per_symbol": 8,
            "wdm_neighbours": 1,
            "wdm_spacing_ghz": spacing_ghz,
        },
    )
    received = simulate(settings, 3.0, 2)
    field = comb(settings, 3.0, 2)
    phase = closed_forms.kerr_rad_per_w(settings) * np.abs(field) ** 2
    spectrum = np.fft.fft(field * np.exp(1j * phase))
    kept = np.abs(np.fft.fftfreq(2048, 1 / 160)) <= min(spacing_ghz / 2, 20)
    kept[256 : 2048 - 256] = False
    expected = np.fft.ifft(np.where(kept, spectrum, 0))[:, ::4]
    # The band of the receiver has one more bin at its edge.
    assert error_db(received.waveform * np.sqrt(received.power_w), expected) < -60
    alone = simulate(settings, 3.0, 2, wdm_neighbours=0)
    assert error_db(alone.waveform, received.waveform) > -20


def test_cross_phase_modulation_of_a_neighbouring_carrier():
    # Agrawal, Nonlinear Fiber Optics, 5th ed., section 7.1: gamma L_eff (P_1 + 2 P_2). What
    # dispersion leaves of four-wave mixing at 50 GHz is some thousandths of it.
    own_w, other_w = 1e-4, 2e-3
    bins = 128  # 50 GHz
    beat = np.exp(2j * np.pi * bins * np.arange(SAMPLES) / SAMPLES)
    field = np.sqrt(own_w) + np.sqrt(other_w) * beat
    out = np.fft.fft(propagate(field, STANDARD, 1000))[0] / SAMPLES
    expected = STANDARD.gamma_per_w_km * STANDARD.effective_length_km * (own_w + 2 * other_w)
    assert np.angle(out) == pytest.approx(expected, rel=0.01)


def test_cross_phase_modulation_of_neighbours_on_the_link():
    # First-order perturbation: the mean phase is gamma L_eff 2 P for each neighbour.
    one = QUIET.model_copy(update={"spans": 1, "steps_per_span": 32, "block_symbols": 1024})
    power_dbm, receiver = -3.0, Reference("linear", one)
    alone, beside = (
        receiver(simulate(one, power_dbm, 4, wdm_neighbours=n, wdm_spacing_ghz=40.0).waveform, 0.0)
        for n in (0, 1)
    )
    turned = np.angle(np.vdot(alone, beside))
    expected = closed_forms.kerr_rad_per_w(one) * 4 * closed_forms.watts(power_dbm)
    assert turned == pytest.approx(expected, rel=0.02)


def test_a_channel_is_the_same_beside_any_number_of_others(monkeypatch):
    launched = {}
    for neighbors in (0, 1, 2):

        def keep(self, spectrum, noise, neighbors=neighbors):
            launched[neighbors] = spectrum
            return np.fft.ifft(spectrum)

        monkeypatch.setattr(transmission._Channel, "_on_torch", keep)
        simulate(QUIET, blocks=1, samples_per_symbol=8, wdm_neighbours=neighbors)
        transmission._channel.cache_clear()
    frequency = np.fft.fftfreq(launched[0].shape[-1], 1 / 160)
    own, near = np.abs(frequency) < 12.4, np.abs(frequency) < 37.4
    assert error_db(launched[0][:, own], launched[2][:, own]) < -250
    assert error_db(launched[1][:, near], launched[2][:, near]) < -250
    # Each has the same power, and data of its own.
    parts = [np.roll(launched[2], -round(k * 25 / 20 * 256), -1)[:, own] for k in range(-2, 3)]
    energies = [np.sum(np.abs(part) ** 2) for part in parts]
    np.testing.assert_allclose(energies, energies[2], rtol=0.05)
    for k, part in enumerate(parts):
        for other in parts[:k]:
            assert abs(np.vdot(part, other)) < 0.2 * energies[2]


def test_each_polarisation_of_each_channel_draws_its_own_numbers():
    streams = [
        tuple(
            transmission.block_generator(2, "train", 5, polarization, channel).integers(
                1 << 60, size=2
            )
        )
        for polarization in (0, 1)
        for channel in range(5)
    ]
    assert len(set(streams)) == 10
    # Those of the single channel are what they always were.
    assert streams[0] == tuple(
        transmission.block_generator(2, "train", 5).integers(1 << 60, size=2)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"wdm_neighbours": 1},
        {"dual_polarisation": True},
        {"wdm_neighbours": 1, "dual_polarisation": True},
    ],
)
def test_single_precision_is_double(change):
    # In lanes, or by the compiled rotation, against torch's operations.
    double, single = (
        simulate(QUIET, 3.0, 2, precision=precision, **change).waveform
        for precision in ("complex128", "complex64")
    )
    assert -140 < error_db(single, double) < -100


# Dispersion.


@pytest.mark.parametrize("percent", [-2.0, 0.5])
def test_receivers_leave_the_error_of_the_dispersion(percent):
    linear = QUIET.model_copy(update={"nonlinearity_per_w_km": 0.0})
    nominal, wrong = simulate(linear), simulate(linear, dispersion_error_percent=percent)
    settings = config.link_with(linear, {"dispersion_error_percent": percent})
    omega = 2e-3 * np.pi * np.fft.fftfreq(512, 1 / 40)
    # beta2 = -21.683 ps^2/km over 2 spans of 100 km.
    residual = np.exp(0.5j * -21.6826 * omega**2 * 200 * percent / 100)
    expected = np.fft.ifft(
        np.fft.fft(Reference("linear", linear)(nominal.waveform, 0.0)) * residual
    )
    for name in ("linear", "dbp1", "dbp50"):
        equalized = Reference(name, settings)(wrong.waveform, 0.0)
        assert error_db(equalized, expected) < -80
        assert error_db(equalized, Reference(name, linear)(nominal.waveform, 0.0)) > -40


# Both polarisations.


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_kerr_effect_alone_rotates_both_polarisations_by_their_total_power(dtype):
    fibre = dataclasses.replace(STANDARD, beta2_ps2_per_km=0.0)
    start = random_field(3, 2)
    total_w = np.sum(np.abs(start) ** 2, axis=1, keepdims=True)
    phase = 8 / 9 * fibre.gamma_per_w_km * fibre.effective_length_km * total_w
    expected = start * np.exp(1j * phase) / np.sqrt(fibre.gain)
    limit_db = -110 if dtype == torch.complex64 else -200
    assert error_db(propagate(start, fibre, 5, dtype, manakov=True), expected) < limit_db


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("empty", [0, 1])
def test_with_one_polarisation_empty_the_other_is_alone_with_less_kerr_effect(dtype, empty):
    start = random_field(2, 2, power_w=0.005)
    start[:, empty] = 0
    out = propagate(start, STANDARD, 16, dtype, manakov=True)
    weaker = dataclasses.replace(STANDARD, gamma_per_w_km=STANDARD.gamma_per_w_km * 8 / 9)
    alone = propagate(start[:, 1 - empty], weaker, 16, dtype)
    assert not out[:, empty].any()
    assert error_db(out[:, 1 - empty], alone) < (-110 if dtype == torch.complex64 else -250)


def test_a_turned_state_of_polarisation_stays_turned():
    # The Manakov equation knows no preferred state.
    start = random_field(2, power_w=0.005)
    turn = np.array([[0.6, 0.8j], [0.8j, 0.6]])
    out = propagate(turn @ start, STANDARD, 16, manakov=True)
    assert error_db(out, turn @ propagate(start, STANDARD, 16, manakov=True)) < -250


def test_energy_is_kept_without_loss():
    lossless = dataclasses.replace(STANDARD, attenuation_per_km=0.0)
    start = random_field(2, power_w=0.01)
    out = propagate(start, lossless, 20, manakov=True)
    energies = [np.sum(np.abs(x) ** 2, axis=-1) for x in (start, out)]
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-12)
    assert error_db(propagate(out, lossless.inverse(), 20, manakov=True), start) < -200


def test_manakov_soliton():
    # The soliton of one polarisation, of 9/8 of its power, split at any angle (Manakov, "On the
    # theory of two-dimensional stationary self-focusing of electromagnetic waves", Sov. Phys. JETP
    # 38(2), 1974).
    fibre = Fiber(25.0, 0.0, STANDARD.beta2_ps2_per_km, 1.3)
    time_ps = (np.arange(SAMPLES) - SAMPLES / 2) * 1e3 / RATE_GHZ
    width_ps = 15.0
    dispersion_length_km = width_ps**2 / abs(fibre.beta2_ps2_per_km)
    peak_w = 1 / (8 / 9 * fibre.gamma_per_w_km * dispersion_length_km)
    envelope = np.sqrt(peak_w) / np.cosh(time_ps / width_ps)
    start = np.stack([0.6 * envelope, 0.8j * envelope])
    expected = start * np.exp(0.5j * fibre.length_km / dispersion_length_km)
    assert error_db(propagate(start, fibre, 400, manakov=True), expected) < -60


def test_the_link_launches_half_the_power_in_each_polarisation():
    both = simulate(SMALL, 2.0, 8, dual_polarisation=True)
    one = simulate(SMALL, 2.0, 8)
    assert both.symbols.shape == both.labels.shape == (8, 2, 256)
    assert both.waveform.shape == (8, 2, 512) and both.waveform.dtype == np.complex64
    noise_w = 2 * closed_forms.ase_w_per_ghz(SMALL) * 40
    assert both.power_w == pytest.approx(closed_forms.watts(2.0) / 2 + noise_w)
    np.testing.assert_allclose(np.mean(np.abs(both.waveform) ** 2, axis=(0, 2)), 1, atol=0.03)
    # x carries the data that a single polarisation does, y others.
    np.testing.assert_array_equal(both.labels[:, 0], one.labels)
    assert np.mean(both.labels[:, 0] == both.labels[:, 1]) < 0.1
    later = transmission.simulate(
        config.link_with(SMALL, {"dual_polarisation": True}),
        *(2.0, 2),
        seed=2,
        purpose="evaluate",
        first_block=5,
    )
    for name in ("symbols", "labels", "waveform"):
        np.testing.assert_array_equal(getattr(later, name), getattr(both, name)[5:7])


def test_noise_of_both_polarisations_is_independent_and_equals_theory():
    linear = SMALL.model_copy(update={"nonlinearity_per_w_km": 0.0, "steps_per_span": 1})
    settings = config.link_with(linear, {"dual_polarisation": True})
    received = simulate(settings, -20.0, 32)
    field = Reference("linear", settings)(received.waveform, -20.0)
    scale = np.sqrt(received.power_w / (closed_forms.watts(-20.0) / 2))
    noise = measures.matched_filter(field * scale, 0.1) - received.symbols
    theory = 2 * closed_forms.ase_w_per_ghz(settings) * 20 / (closed_forms.watts(-20.0) / 2)
    count = 32 * 256
    power = np.mean(np.abs(noise) ** 2, axis=(0, 2))
    np.testing.assert_allclose(power / theory, 1, atol=4 / np.sqrt(count))
    assert abs(np.mean(noise[:, 0] * noise[:, 1].conj())) / theory < 4 / np.sqrt(count)


@pytest.mark.slow
def test_backpropagation_undoes_the_manakov_link():
    quiet = config.link_with(QUIET, {"spans": 3, "steps_per_span": 50, "dual_polarisation": True})
    received = simulate(quiet, 1.0, 2)

    def of(receiver):
        symbols = groups.detect(quiet, receiver, received)
        return error_db(symbols, received.symbols)

    errors = {name: of(Reference(name, quiet)) for name in ("linear", "dbp1", "dbp50")}
    assert errors["linear"] > -18 and errors["dbp1"] < -27 and errors["dbp50"] < -50
    # One Kerr rotation a span in the time domain, with ideal filters of any length.
    kappa = 0.5 * closed_forms.span(quiet).beta2_ps2_per_km * 100
    omega = 2e-3 * np.pi * np.fft.fftfreq(255, 1 / 40)
    taps = np.fft.fftshift(np.fft.ifft(np.exp(-1j * kappa * omega**2)))
    taps = (taps + taps[::-1]) / 2
    kerr = np.full((3, 1), -1e-3 * closed_forms.kerr_rad_per_w(quiet))
    floats = FloatFilters((taps, taps, taps, np.ones(1, complex)), kerr)
    assert of(FloatReceiver("floats", floats)) == pytest.approx(errors["dbp1"], abs=0.5)


def test_float_rotation_is_by_the_total_power():
    waveform = np.random.default_rng(1).normal(size=(2, 2, 64, 2)).view(complex)[..., 0]
    kerr = np.array([[-0.03, -0.1]])
    filters = FloatFilters((np.ones(1, complex),) * 2, kerr)
    rotated = FloatReceiver("rotation", filters)(waveform, 3.0)
    power = np.sum(np.abs(waveform) ** 2, axis=1, keepdims=True)  # 2 in the mean, at launch power
    weighted = -0.1 * power - 0.03 * (np.roll(power, 1, -1) + np.roll(power, -1, -1))
    expected = waveform * np.exp(1j * 8 / 9 * 10**0.3 / 2 * weighted)
    np.testing.assert_allclose(rotated, expected, atol=1e-12)


def test_both_polarisations_are_counted_with_a_gain_of_their_own():
    settings = config.link_with(AWGN, {"dual_polarisation": True})
    power = power_for(settings, 13.0) + 10 * np.log10(2)
    gains = np.array([[1.0], [2j]])
    receivers = [Plain(), Plain("turned", lambda waveform: waveform * gains)]
    plain, turned = counting.evaluate(receivers, settings, [power], **LIMITS)
    theory = modulation.bit_error_ratio_awgn("16qam", 10**1.3)
    assert plain.ber_low < theory < plain.ber_high and plain.errors > 200
    assert (plain.bits, turned.bits) == (65536, 65536)
    assert plain.errors == turned.errors
    assert turned.snr_db == pytest.approx(plain.snr_db, abs=1e-6)
    scenario = groups.Scenario(settings, power, 3)
    identity = groups.identity(scenario, [Plain()])
    (unit,) = groups.count(scenario, [Plain()], 0, identity)[0][:1]
    assert (unit.blocks, unit.symbols) == (8, 16384)


def test_what_knows_one_polarisation_refuses_two(tmp_path):
    settings = config.parse("[link.impairments]\ndual_polarisation = true")
    design = runs.find_design("learned-c6-s9")[0]
    with pytest.raises(InputError, match=r"polarizations = 1: must be 2, since .* = true"):
        counting.check([FixedReceiver("learned", design)], settings.link)
    counting.check([Reference("linear", settings.link)], settings.link)
    with pytest.raises(InputError, match=r"dual_polarisation = true.*stimulus"):
        runs.make_stimulus(tmp_path, design, settings)
