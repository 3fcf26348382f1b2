"""The split-step method against closed-form solutions of the nonlinear Schroedinger equation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dbp.link import fiber
from dbp.link.fiber import Fiber
from dbp.link.split_step import SplitStep, rotate_

SAMPLES, RATE_GHZ = 1024, 1000.0  # 1 ps a sample, a window of 1024 ps
TIME_PS = np.arange(SAMPLES) - SAMPLES / 2
STANDARD = Fiber(100.0, fiber.attenuation_per_km(0.2), fiber.beta2_ps2_per_km(17.0, 1550.0), 1.3)


def propagate(field, fibre, steps, dtype=torch.complex128):
    spectrum = torch.fft.fft(torch.as_tensor(field, dtype=dtype))
    split_step = SplitStep(fibre, steps, SAMPLES, RATE_GHZ, dtype)
    return torch.fft.ifft(split_step(spectrum)).numpy()


def error_db(field, expected):
    return 10 * np.log10(np.sum(np.abs(field - expected) ** 2) / np.sum(np.abs(expected) ** 2))


def random_field(power_w, width_ghz=40.0):
    generator = np.random.default_rng(1)
    spectrum = generator.normal(size=(3, SAMPLES, 2)).view(np.complex128)[..., 0]
    spectrum *= np.abs(np.fft.fftfreq(SAMPLES, 1 / RATE_GHZ)) < width_ghz
    field = np.fft.ifft(spectrum)
    return field * np.sqrt(power_w / np.mean(np.abs(field) ** 2))


def test_constants_of_standard_fibre():
    # Agrawal, Nonlinear Fiber Optics, 5th ed., section 1.2: about -20 ps^2/km near 1.55 um.
    assert STANDARD.beta2_ps2_per_km == pytest.approx(-21.683, abs=1e-3)
    assert STANDARD.gain == pytest.approx(100.0)
    assert STANDARD.effective_length_km == pytest.approx(0.99 / STANDARD.attenuation_per_km)
    assert replace(STANDARD, attenuation_per_km=0.0).effective_length_km == 100.0
    # 20 dB of gain at 5 dB noise figure: 99 * h nu * 10^0.5 / 2, with h nu = 0.8 eV at 1550 nm.
    assert fiber.ase_w_per_ghz(100.0, 5.0, 1550.0) == pytest.approx(2.0061e-8, rel=1e-4)
    assert fiber.ase_w_per_ghz(1.0, 5.0, 1550.0) == 0.0


@pytest.mark.parametrize("length_km", [1.0, 30.0])
def test_dispersion_broadens_a_gaussian_pulse(length_km):
    # Agrawal, equation 3.2.7.
    fibre = replace(STANDARD, length_km=length_km, attenuation_per_km=0.0, gamma_per_w_km=0.0)
    width = 20.0
    q = width**2 - 1j * fibre.beta2_ps2_per_km * length_km
    field = propagate(np.exp(-(TIME_PS**2) / (2 * width**2)), fibre, 3)
    expected = width / np.sqrt(q) * np.exp(-(TIME_PS**2) / (2 * q))
    assert error_db(field, expected) < -200


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_kerr_effect_alone_rotates_by_the_effective_length(steps):
    fibre = replace(STANDARD, beta2_ps2_per_km=0.0)
    start = random_field(0.01)
    phase = fibre.gamma_per_w_km * fibre.effective_length_km * np.abs(start) ** 2
    expected = start * np.exp(1j * phase) / np.sqrt(fibre.gain)
    assert error_db(propagate(start, fibre, steps), expected) < -200


def test_fundamental_soliton_keeps_its_shape_to_second_order():
    # Agrawal, equation 5.2.16: over z it gains the phase z / (2 L_D) and nothing else.
    width, fibre = 10.0, replace(STANDARD, attenuation_per_km=0.0, length_km=25.0)
    dispersion_length_km = width**2 / abs(fibre.beta2_ps2_per_km)
    peak_w = 1 / (fibre.gamma_per_w_km * dispersion_length_km)
    start = np.sqrt(peak_w) / np.cosh(TIME_PS / width)
    expected = start * np.exp(0.5j * fibre.length_km / dispersion_length_km)
    errors = [error_db(propagate(start, fibre, steps), expected) for steps in (50, 100, 200)]
    assert errors[2] < -60
    # Twice the steps, a quarter of the error: 12 dB.
    np.testing.assert_allclose(np.diff(errors), -12.04, atol=0.3)


@pytest.mark.slow
def test_convergence_in_step_size_is_of_second_order_with_loss():
    fibre = replace(STANDARD, length_km=20.0)
    start = random_field(0.02)
    exact = propagate(start, fibre, 1600)
    errors = [error_db(propagate(start, fibre, steps), exact) for steps in (50, 100, 200)]
    np.testing.assert_allclose(np.diff(errors), -12.04, atol=0.6)


def test_steps_have_equal_nonlinear_phase():
    positions, lengths = fiber.split(STANDARD, 10)
    phase = lengths * np.exp(-STANDARD.attenuation_per_km * positions)
    np.testing.assert_allclose(phase, STANDARD.effective_length_km / 10)
    assert (np.diff(positions) > 0).all() and positions[0] > 0 and positions[-1] < 100
    # One step: half of the effective length has passed 14.8 km after the amplifier.
    assert fiber.split(STANDARD, 1)[0][0] == pytest.approx(14.8, abs=0.05)


@pytest.mark.parametrize("alpha", [0.0, STANDARD.attenuation_per_km])
def test_the_inverse_fibre_undoes_the_fibre(alpha):
    fibre = replace(STANDARD, attenuation_per_km=alpha)
    start = random_field(0.005)
    back = propagate(propagate(start, fibre, 12), fibre.inverse(), 12)
    assert error_db(back, start) < -200
    assert error_db(propagate(propagate(start, fibre, 12), fibre, 12), start) > -3


def test_single_precision_is_accurate():
    start = random_field(0.005)
    exact = propagate(start, STANDARD, 16)
    single = propagate(start, STANDARD, 16, torch.complex64)
    assert single.dtype == np.complex64
    assert error_db(single, exact) < -110


@pytest.mark.parametrize("kerr_per_w", [0.0, 1e-3, 1.0, -1.0, 40.0])
def test_rotation_in_single_precision_is_that_in_double(kerr_per_w):
    # Up to 33 turns, in which all quadrants are met; single precision knows their angle to 1e-5.
    field = torch.from_numpy(random_field(1.0))
    expected = rotate_(field.clone(), kerr_per_w).numpy()
    field = field.to(torch.complex64)
    phase = kerr_per_w * np.abs(field.numpy().ravel().astype(complex)) ** 2
    rotated = rotate_(field, kerr_per_w)
    assert rotated is field
    assert np.ptp(phase) >= 5 * abs(kerr_per_w)
    assert error_db(rotated.numpy(), expected) < (-135 if abs(kerr_per_w) <= 1 else -105)
    # The power is kept: over a link of 32 spans errors of it would add up.
    power = [np.sum(np.abs(x.astype(complex)) ** 2) for x in (rotated.numpy(), expected)]
    assert power[0] == pytest.approx(power[1], rel=3e-8)
