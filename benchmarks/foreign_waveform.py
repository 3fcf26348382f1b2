"""Count a design on a waveform that OptiCommPy has simulated, and on one of ours.

    pip install opticommpy
    python benchmarks/foreign_waveform.py --symbols 32768

OptiCommPy makes bits, symbols, pulses (no circular filter: the stream has a start and an end),
2-km steps and amplifiers of the paper's link, 8 samples per symbol. Its stream is cut 1,234 samples
late and kept as ``.mat``; ours comes from `dbp link`. `dbp ber --waveform` counts both.

    python benchmarks/foreign_waveform.py --both --symbols 16384

With ``--both`` it makes two polarisations, by the Manakov equation, over ten spans of that link,
turned by a constant matrix; ``linear`` and ``dbp1`` are counted behind the blind receiver.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from optic.comm.modulation import modulateGray
from optic.comm.sources import bitSource
from optic.dsp.core import firFilter, pulseShape, upsample
from optic.models.channels import manakovSSF, ssfm
from optic.models.devices import edfa
from optic.utils import parameters
from scipy import io
from scipy.constants import speed_of_light

from dbp import cli, config
from dbp.link import closed_forms

FACTOR, STEP_KM, LATE = 8, 2.0, 1234
LINK = config.load("paper").link
BOTH = config.link_with(LINK, {"spans": 10, "dual_polarisation": True})
BOTH_STEP_KM = 4.0


def settings_of(**values):
    settings = parameters()
    for name, value in values.items():
        setattr(settings, name, value)
    return settings


def sent_field(symbols, power_w, seed):
    """Return symbols of 16-QAM, and their pulses of a mean power, by OptiCommPy's functions."""
    bits = bitSource(settings_of(nBits=4 * symbols, seed=seed))
    sent = modulateGray(bits, 16, "qam")
    # An odd number of taps: with an even one their pulse is a little too long.
    shape = settings_of(pulseType="rrc", SpS=FACTOR, nFilterTaps=4097, rollOff=LINK.roll_off)
    field = firFilter(pulseShape(shape), upsample(sent, FACTOR))
    middle = field[len(field) // 4 : -len(field) // 4]
    return sent, field * np.sqrt(power_w / np.mean(np.abs(middle) ** 2))


def span_settings(step_km, **more):
    """Return what OptiCommPy needs to know of one span of the link."""
    return settings_of(
        Ltotal=LINK.span_km,
        Lspan=LINK.span_km,
        hz=step_km,
        alpha=LINK.attenuation_db_per_km,
        D=LINK.dispersion_ps_per_nm_km,
        gamma=LINK.nonlinearity_per_w_km,
        Fc=speed_of_light / (LINK.wavelength_nm * 1e-9),
        Fs=1e9 * LINK.symbol_rate_gbd * FACTOR,
        NF=LINK.noise_figure_db,
        prgsBar=False,
        **more,
    )


def fields_of(field, sent, launch_power_dbm):
    """Return the fields of a waveform file."""
    return {
        "waveform": field[LATE:],
        "sample_rate_hz": 1e9 * LINK.symbol_rate_gbd * FACTOR,
        "symbol_rate_baud": 1e9 * LINK.symbol_rate_gbd,
        "roll_off": LINK.roll_off,
        "launch_power_dbm": launch_power_dbm,
        "modulation": "16qam",
        "symbols": sent,
    }


def theirs(symbols, launch_power_dbm, seed):
    """Return the fields of a waveform file, made by OptiCommPy's functions alone."""
    sent, field = sent_field(symbols, closed_forms.watts(launch_power_dbm), seed)
    settings = span_settings(STEP_KM, amp="edfa")
    for span in range(LINK.spans):
        # Span by span: with one seed it would add the same noise after each.
        settings.seed = 1000 * seed + span
        field = ssfm(field, settings)
    return fields_of(field, sent, launch_power_dbm)


def theirs_of_both(symbols, launch_power_dbm, seed):
    """Return the same with two polarisations, in columns, over the spans of `BOTH`."""
    power_w = closed_forms.watts(launch_power_dbm) / 2
    each = [sent_field(symbols, power_w, 2 * seed + k) for k in range(2)]
    sent, field = (np.stack(part, axis=-1) for part in zip(*each, strict=True))
    settings = span_settings(BOTH_STEP_KM, amp=None, nlprMethod=False)
    settings.saveSpanN = []
    amplifier = span_settings(BOTH_STEP_KM, G=LINK.attenuation_db_per_km * LINK.span_km)
    for span in range(BOTH.spans):
        field = manakovSSF(field, settings)
        # One by one: with one seed its link would add the same noise to both.
        for k in range(2):
            amplifier.seed = 1000 * seed + 2 * span + k
            field[:, k] = edfa(field[:, k], amplifier)
    angle = 0.7
    turn = np.array([[np.cos(angle), 1j * np.sin(angle)], [1j * np.sin(angle), np.cos(angle)]])
    return fields_of(field @ turn, sent, launch_power_dbm)


def points_of(symbols, launch_power_dbm, seed, receivers, folder, both=False):
    """Return the points of the receivers on OptiCommPy's waveform and on ours.

    ``both``: of two polarisations, received blind.
    """
    files = {"OptiCommPy": folder / "theirs.mat", "dbp": folder / "ours.npz"}
    make = theirs_of_both if both else theirs
    io.savemat(files["OptiCommPy"], make(symbols, launch_power_dbm, seed))
    link, how = "paper", []
    if both:
        link = str(folder / "both.toml")
        settings = config.load("paper").model_copy(update={"link": BOTH})
        Path(link).write_text(settings.to_toml())
        how = ["--config", link, "--receiver", "blind"]
    power = f"--launch-power-dbm={launch_power_dbm}"
    size = f"--symbols={symbols}"
    assert cli.main(["link", link, power, size, f"--seed={seed}", f"--output={files['dbp']}"]) == 0
    points = {}
    for name, file in files.items():
        out = folder / name
        assert cli.main(["ber", *receivers, "--waveform", str(file), *how, "--out", str(out)]) == 0
        points[name] = json.loads((out / "metrics.json").read_text())["points"]
    return points


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=32768)
    parser.add_argument("--launch-power-dbm", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--both", action="store_true", help="two polarisations, received blind")
    options = parser.parse_args()
    power_dbm = options.launch_power_dbm
    receivers = ["learned-c6-s9", "enhanced-c5-s9", "lsco-paper-c9-s9"]
    if options.both:
        receivers = ["linear", "dbp1"]
    with tempfile.TemporaryDirectory() as folder:
        given = options.symbols, power_dbm, options.seed, receivers, Path(folder), options.both
        points = points_of(*given)
    for one, other in zip(*points.values(), strict=True):
        print(
            f"{one['design']:18} at {power_dbm:+g} dBm, effective SNR on OptiCommPy's "
            f"waveform {one['snr_db']:.2f} dB, on ours {other['snr_db']:.2f} dB; BER "
            f"{one['ber']:.2e} and {other['ber']:.2e}"
        )


if __name__ == "__main__":
    main()
