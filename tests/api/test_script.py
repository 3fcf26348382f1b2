"""The script of a researcher, from an empty folder, as it stands in the documentation."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import dbp, numpy as np, matplotlib.pyplot as plt
link   = dbp.Link(spans=32)
design = dbp.Design.load("learned-c6-s9")                  # shipped name, file or run folder
rx     = link.transmit(launch_power_dbm=0.5, symbols=65_536, seed=1)
y      = design.receive(rx)                                # complex numpy in and out, bit-exact
print(dbp.measure(rx, y))                                  # BER with interval, SNR, GMI
mine   = dbp.learn(link, taps=13, coefficient_bits=6, seed=1)
points = dbp.evaluate([design, mine, "linear"], link, launch_power_dbm=np.arange(-2, 3, 0.5), min_errors=200)
points.plot(plt.gca()); points.to_csv("ber.csv")
mine.to_verilog("rtl/", lanes=4)
dbp.prove("rtl/", mine); dbp.simulate("rtl/", mine, stimulus=rx)
cost   = dbp.synthesize(mine, kit="predictive28", step=16, lanes=2, stimulus=rx)
print(cost.power_w.total, cost.area_um2, cost.slack_ns)
"""  # noqa: E501

# The same lines with figures that take seconds: a short link, little data, few steps of learning.
SMALLER = {
    "spans=32": "spans=2, span_km=50",
    "coefficient_bits=6, seed=1": "coefficient_bits=6, seed=1, symbols=4096, "
    "validation_symbols=4096, curvature_symbols=1024, start_iterations=30, float_iterations=1, "
    "signal_iterations=1, tap_iterations=1",
    "np.arange(-2, 3, 0.5), min_errors=200": "np.arange(-2, 2, 2.5), min_errors=5, max_bits=20_000",
    "taps=13": "taps=7",
    "lanes=4": "lanes=1",
    # Whose compilation takes no time.
    "stimulus=rx)\ncost": 'stimulus=rx, simulator="icarus")\ncost',
    "symbols=65_536": "symbols=1024",
    "step=16, lanes=2": "step=1, lanes=1",
}


@pytest.mark.slow
def test_the_script_works_from_an_empty_folder(tmp_path):
    script = SCRIPT
    for line, smaller in SMALLER.items():
        assert script.count(line) == 1
        script = script.replace(line, smaller)
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    measured, cost = result.stdout.splitlines()[0], result.stdout.splitlines()[-1]
    assert "BER" in measured and "SNR" in measured and "GMI" in measured
    power_w, area_um2, slack_ns = map(float, cost.split())
    assert 0 < power_w < 1 and area_um2 > 0 and abs(slack_ns) < 10
    rows = (tmp_path / "ber.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 2
    assert (tmp_path / "rtl" / "ports.json").is_file()
    # Nothing but what the script names.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ber.csv", "rtl"]
