"""Closed forms of the link: fibre of a span, amplifier noise, received power, Kerr phase.

They need no simulation, and none of the libraries that it loads.
"""

from __future__ import annotations

import math
from dataclasses import replace

from dbp import config
from dbp.link import fiber


def span(link: config.Link) -> fiber.Fiber:
    """The fibre of one span as receivers assume it; `true_span` is what it really is."""
    return fiber.Fiber(
        link.span_km,
        fiber.attenuation_per_km(link.attenuation_db_per_km),
        fiber.beta2_ps2_per_km(link.dispersion_ps_per_nm_km, link.wavelength_nm),
        link.nonlinearity_per_w_km,
    )


def true_span(link: config.Link) -> fiber.Fiber:
    """The fibre of one span, with the error of its dispersion."""
    nominal = span(link)
    true = 1 + link.impairments.dispersion_error_percent / 100
    return replace(nominal, beta2_ps2_per_km=nominal.beta2_ps2_per_km * true)


def ase_w_per_ghz(link: config.Link) -> float:
    """Noise power density that each amplifier adds, in one polarisation."""
    return fiber.ase_w_per_ghz(span(link).gain, link.noise_figure_db, link.wavelength_nm)


def watts(power_dbm: float) -> float:
    """Convert dBm to W."""
    return 1e-3 * 10 ** (power_dbm / 10)


def received_power_w(link: config.Link, launch_power_dbm: float) -> float:
    """Mean power of signal and noise that the receiver lets through, in each polarisation."""
    noise_w = link.spans * ase_w_per_ghz(link) * received_band_ghz(link)
    return watts(launch_power_dbm) / link.impairments.polarizations + noise_w


def received_band_ghz(link: config.Link) -> float:
    """Noise bandwidth of the receiver's anti-alias filter, less what its channel's slot cuts off.

    With a root-raised-cosine edge it is the converter's rate: as much of the power passes beyond
    half of it as is lost below.
    """
    rate_ghz = float(link.adc_rate) * link.symbol_rate_gbd
    impairments, roll_off = link.impairments, link.adc_filter_roll_off
    if not impairments.wdm_neighbours:
        return rate_ghz
    slot_ghz = impairments.wdm_spacing_ghz
    flat_ghz = (1 - roll_off) * rate_ghz
    if slot_ghz <= flat_ghz or not roll_off:
        return min(slot_ghz, rate_ghz)
    # The integral of cos^2(pi x / 2) over the part of both edges within the slot.
    part = min((slot_ghz - flat_ghz) / (2 * roll_off * rate_ghz), 1.0)
    return flat_ghz + roll_off * rate_ghz * (part + math.sin(math.pi * part) / math.pi)


def back_to_back_snr(link: config.Link, launch_power_dbm: float) -> float:
    """E_s / N_0 behind the matched filter where amplifiers add noise and the fibre does nothing.

    The launch power over the noise in one symbol rate, whatever the converter's samples per symbol
    and its anti-alias filter, whose edge stays off the signal.
    """
    power_w = watts(launch_power_dbm) / link.impairments.polarizations
    return power_w / (link.spans * ase_w_per_ghz(link) * link.symbol_rate_gbd)


def kerr_rad_per_w(link: config.Link) -> float:
    """Phase that the Kerr effect of one span adds, per watt of launch power: gamma L_eff."""
    one = span(link)
    return one.gamma_per_w_km * one.effective_length_km


def mean_dgd_ps(link: config.Link) -> float:
    """Mean differential group delay of fibres of this link, over all their realisations."""
    return link.impairments.pmd_ps_per_root_km * math.sqrt(link.spans * link.span_km)
