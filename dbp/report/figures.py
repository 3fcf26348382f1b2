"""The figures of the report, each as the text of an SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from dbp.config import Link
from dbp.datapath.design import Design


def to_svg(figure: Figure) -> str:
    """The figure as SVG, the same text for the same figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "dbp"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def constellations(symbols: Mapping[str, NDArray[np.complexfloating]]) -> str:
    """Scatter plots side by side, one for each title; points in units of the rms symbol."""
    figure = Figure(figsize=(3.1 * len(symbols), 3.3), layout="constrained")
    axes = figure.subplots(1, len(symbols), squeeze=False)[0]
    for axis, (title, points) in zip(axes, symbols.items(), strict=True):
        axis.plot(points.real, points.imag, ".", markersize=1.5, alpha=0.5, rasterized=True)
        axis.set(title=title, xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", xlabel="I")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("Q")
    return to_svg(figure)


def middle_filter(design: Design) -> NDArray[np.complex128]:
    """The taps of the middle filter as the fractions that their codes stand for."""
    k = len(design.filters) // 2
    filter_ = design.filters[k]
    half = np.array(filter_.half_taps_i) + 1j * np.array(filter_.half_taps_q)
    shift = filter_.shift + filter_.output_bits - design.filter_input_bits(k)
    return np.concatenate([half, half[-2::-1]]) / 2.0**shift


def filter_responses(designs: Mapping[str, Design], link: Link) -> str:
    """Taps, gain and phase error of each design's middle filter against one span undone.

    The ideal is the all-pass ``exp(j pi D lambda^2 f^2 L / c)`` (Savory, Optics Express 16, 804
    (2008), eq. 3, conjugated as in `dbp.link.fiber`). A constant phase is left out.
    """
    rate_ghz = link.symbol_rate_gbd
    frequency_ghz = np.linspace(-rate_ghz, rate_ghz, 801)
    z = np.exp(-1j * np.pi * frequency_ghz / rate_ghz)
    edge_ghz = (1 + link.roll_off) * rate_ghz / 2
    in_band = np.abs(frequency_ghz) <= edge_ghz
    # ps/nm/km times km times nm^2 GHz^2 over m/s: 1e-12 * 1e9 * 1e-18 * 1e18 = 1e-3.
    phase = np.pi * link.dispersion_ps_per_nm_km * link.span_km * link.wavelength_nm**2 * 1e-3
    ideal = np.exp(1j * phase * frequency_ghz**2 / speed_of_light)
    figure = Figure(figsize=(11, 3.3), layout="constrained")
    taps_axis, gain_axis, phase_axis = figure.subplots(1, 3)
    for name, design in designs.items():
        taps = middle_filter(design)
        k = np.arange(taps.size) - taps.size // 2
        response = (taps[:, None] * z[None, :] ** k[:, None]).sum(0)
        error = response / ideal
        error *= np.exp(-1j * np.angle(error[in_band].mean()))
        taps_axis.plot(k, np.abs(taps), ".-", label=f"{name}, {taps.size} taps")
        gain_axis.plot(frequency_ghz, 20 * np.log10(np.maximum(np.abs(response), 1e-3)))
        phase_axis.plot(frequency_ghz[in_band], np.angle(error[in_band]))
    taps_axis.set(title="Middle filter: taps", xlabel="tap", ylabel="magnitude")
    taps_axis.legend(fontsize=8)
    gain_axis.set(title="Gain", xlabel="frequency (GHz)", ylabel="dB", ylim=(-25, 5))
    phase_axis.set(title="Phase error in the signal band", xlabel="frequency (GHz)", ylabel="rad")
    for edge in (-edge_ghz, edge_ghz):
        gain_axis.axvline(edge, color="grey", linestyle=":")
    for axis in (taps_axis, gain_axis, phase_axis):
        axis.grid(alpha=0.3)
    return to_svg(figure)


def learning_curve(history: Sequence[Mapping[str, Any]]) -> str:
    """Effective SNR against iteration; rows of ``history.csv``, phases in order."""
    figure = Figure(figsize=(7, 3.0), layout="constrained")
    axis = figure.subplots()
    phases = list(dict.fromkeys(row["phase"] for row in history))
    for phase in phases:
        rows = [row for row in history if row["phase"] == phase]
        axis.plot(
            [int(row["iteration"]) for row in rows],
            [float(row["snr_db"]) for row in rows],
            ".-",
            label=phase,
        )
    axis.set(xlabel="iteration", ylabel="effective SNR (dB)", title="Learning")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return to_svg(figure)
