"""Count a design on a waveform that OptiCommPy has simulated, and on one of ours.

    pip install opticommpy
    python benchmarks/foreign_waveform.py --symbols 32768

OptiCommPy makes bits, symbols, pulses (no circular filter: the stream has a start and an end),
2-km steps and amplifiers of the paper's link, 8 samples per symbol. Its stream is cut 1,234 samples
late and kept as ``.mat``; ours comes from `dbp link`. `dbp ber --waveform` counts both.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from optic.comm.modulation import modulateGray
from optic.comm.sources import bitSource
from optic.dsp.core import firFilter, pulseShape, upsample
from optic.models.channels import ssfm
from optic.utils import parameters
from scipy import io
from scipy.constants import speed_of_light

from dbp import cli, config
from dbp.link import closed_forms

FACTOR, STEP_KM, LATE = 8, 2.0, 1234
LINK = config.load("paper").link


def settings_of(**values):
    settings = parameters()
    for name, value in values.items():
        setattr(settings, name, value)
    return settings


def theirs(symbols, launch_power_dbm, seed):
    """Return the fields of a waveform file, made by OptiCommPy's functions alone."""
    bits = bitSource(settings_of(nBits=4 * symbols, seed=seed))
    sent = modulateGray(bits, 16, "qam")
    # An odd number of taps: with an even one their pulse is a little too long.
    shape = settings_of(pulseType="rrc", SpS=FACTOR, nFilterTaps=4097, rollOff=LINK.roll_off)
    field = firFilter(pulseShape(shape), upsample(sent, FACTOR))
    middle = field[len(field) // 4 : -len(field) // 4]
    field *= np.sqrt(closed_forms.watts(launch_power_dbm) / np.mean(np.abs(middle) ** 2))
    settings = settings_of(
        Ltotal=LINK.span_km,
        Lspan=LINK.span_km,
        hz=STEP_KM,
        alpha=LINK.attenuation_db_per_km,
        D=LINK.dispersion_ps_per_nm_km,
        gamma=LINK.nonlinearity_per_w_km,
        Fc=speed_of_light / (LINK.wavelength_nm * 1e-9),
        Fs=1e9 * LINK.symbol_rate_gbd * FACTOR,
        amp="edfa",
        NF=LINK.noise_figure_db,
        prgsBar=False,
    )
    for span in range(LINK.spans):
        # Span by span: with one seed it would add the same noise after each.
        settings.seed = 1000 * seed + span
        field = ssfm(field, settings)
    return {
        "waveform": field[LATE:],
        "sample_rate_hz": settings.Fs,
        "symbol_rate_baud": 1e9 * LINK.symbol_rate_gbd,
        "roll_off": LINK.roll_off,
        "launch_power_dbm": launch_power_dbm,
        "modulation": "16qam",
        "symbols": sent,
    }


def points_of(symbols, launch_power_dbm, seed, designs, folder):
    """Return the points of the designs on OptiCommPy's waveform and on ours."""
    files = {"OptiCommPy": folder / "theirs.mat", "dbp": folder / "ours.npz"}
    io.savemat(files["OptiCommPy"], theirs(symbols, launch_power_dbm, seed))
    power = f"--launch-power-dbm={launch_power_dbm}"
    size = f"--symbols={symbols}"
    assert (
        cli.main(["link", "paper", power, size, f"--seed={seed}", f"--output={files['dbp']}"]) == 0
    )
    points = {}
    for name, file in files.items():
        out = folder / name
        assert cli.main(["ber", *designs, "--waveform", str(file), "--out", str(out)]) == 0
        points[name] = json.loads((out / "metrics.json").read_text())["points"]
    return points


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--symbols", type=int, default=32768)
    parser.add_argument("--launch-power-dbm", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    power_dbm = options.launch_power_dbm
    designs = ["learned-c6-s9", "enhanced-c5-s9", "lsco-paper-c9-s9"]
    with tempfile.TemporaryDirectory() as folder:
        points = points_of(options.symbols, power_dbm, options.seed, designs, Path(folder))
    for one, other in zip(*points.values(), strict=True):
        print(
            f"{one['design']:18} at {power_dbm:+g} dBm, effective SNR on OptiCommPy's "
            f"waveform {one['snr_db']:.2f} dB, on ours {other['snr_db']:.2f} dB; BER "
            f"{one['ber']:.2e} and {other['ber']:.2e}"
        )


if __name__ == "__main__":
    main()
