"""Scaling to 28 nm: the factors worked out by hand, and the band that they span."""

import csv
import os
from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from dbp.errors import InputError
from dbp.synthesis.cells import scaling
from dbp.synthesis.cells.wire_load import DATA

REFERENCE = os.environ.get("DBP_REFERENCE_ROOT") or (
    os.environ.get("DBP_PDK_ROOT") and str(Path(os.environ["DBP_PDK_ROOT"]).parent / "reference")
)
VOLTS = {"nangate45": 1.1, "asap7": 0.7}


def factors(kit):
    return {row.method: row for row in scaling.factors(kit, VOLTS[kit])}


def test_deepscaletool_is_a_quotient_of_its_table():
    row = factors("nangate45")["DeepScaleTool"]
    assert (row.energy, row.area, row.delay) == pytest.approx((0.37 / 0.63, 0.35, 0.67 / 0.81))
    row = factors("asap7")["DeepScaleTool"]
    assert (row.energy, row.area, row.delay) == pytest.approx((0.37 / 0.11, 0.35 / 0.011, 67 / 53))


def test_energies_of_stillmaker_and_baas():
    """The parabolas worked out by hand at 0.9 V, and between 32 and 20 nm in the logarithm."""
    share = log(32 / 28) / log(32 / 20)
    hp = exp((1 - share) * log(0.457117) + share * log(0.200790))
    lp = exp((1 - share) * log(0.541209) + share * log(0.155602))
    old, new = factors("nangate45"), factors("asap7")
    hp45, lp45 = 1.018 * 1.21 - 0.3107 * 1.1 + 0.1539, 1.103 * 1.21 - 0.362 * 1.1 + 0.2767
    hp7 = 0.1776 * 0.49 - 0.09097 * 0.7 + 0.02447
    lp7 = 0.09365 * 0.49 - 0.03409 * 0.7 + 0.02043
    expected = {"HP": (hp / hp45, hp / hp7), "LP": (lp / lp45, lp / lp7)}
    for kind, values in expected.items():
        method = f"Stillmaker-Baas {kind}"
        assert (old[method].energy, new[method].energy) == pytest.approx(values, rel=1e-4)
        assert old[method].area is None and new[method].area is None


@pytest.mark.parametrize("kind", ["HP", "LP"])
@pytest.mark.parametrize("kit", VOLTS)
def test_delays_never_rise_with_the_supply(kit, kind):
    """Against the least value of each cubic on a fine grid, up to the supply."""
    with (DATA / "stillmaker.csv").open(newline="") as file:
        rows = {row["node"]: row for row in csv.DictReader(file)}

    def least(node, supply):
        cubic = [float(rows[f"{node}{kind}"][f"a{k}"]) for k in (3, 2, 1, 0)]
        return np.polyval(cubic, np.linspace(0.5, supply, 20_001)).min()

    share = log(32 / 28) / log(32 / 20)
    expected = least(32, 0.9) ** (1 - share) * least(20, 0.9) ** share
    expected /= least({"nangate45": 45, "asap7": 7}[kit], VOLTS[kit])
    assert factors(kit)[f"Stillmaker-Baas {kind}"].delay == pytest.approx(expected, rel=1e-6)


def test_energy_shrinks_from_45_nm_and_grows_from_7_nm():
    assert all(row.energy < 1 for row in scaling.factors("nangate45", 1.1))
    assert all(row.energy > 1 for row in scaling.factors("asap7", 0.7))
    # A lower supply at the kit leaves less to gain.
    low, high = (scaling.factors("nangate45", v) for v in (0.9, 1.1))
    assert all(a.energy > b.energy for a, b in zip(low[1:], high[1:], strict=True))


def test_a_band_is_the_rows_and_their_geometric_mean():
    figures = {"nangate45": 10.0, "asap7": 2.0, "sky130hd": 1e6, "predictive28": 1e6}
    scaled = [
        figures[kit] * row.energy
        for kit, volts in VOLTS.items()
        for row in scaling.factors(kit, volts)
    ]
    found = scaling.band(figures, VOLTS, "energy")
    assert (found.low, found.high) == (min(scaled), max(scaled))
    assert found.central == pytest.approx(np.exp(np.log(scaled).mean()))
    # Area: one method, two kits.
    found = scaling.band(figures, VOLTS, "area")
    assert found.central == pytest.approx((10 * 0.35 * 2 * 0.35 / 0.011) ** 0.5)


def test_a_ratio_of_two_designs_is_left_alone():
    first, second = (scaling.band({"asap7": mw}, VOLTS, "energy") for mw in (3.0, 6.0))
    assert first.central / second.central == pytest.approx(0.5)


def test_other_kits_have_no_absolute_figure():
    assert scaling.of_one_kit("sky130hd", 1.8, 1.0, 1.0) is None
    assert scaling.of_one_kit("predictive28", 0.9, 1.0, 1.0) is None
    assert scaling.band({"ihp-sg13g2": 1.0}, {}, "energy") is None
    with pytest.raises(InputError, match="kit 'sky130hd': only nangate45 and asap7"):
        scaling.factors("sky130hd", 1.8)
    with pytest.raises(InputError, match=r"voltage_v = 1.8: must be in 0.5..1.2"):
        scaling.factors("asap7", 1.8)


def test_one_kit_for_the_metrics():
    scaled = scaling.of_one_kit("nangate45", 1.1, 0.017, 21684.0)
    assert [row.method for row in scaled.factors] == [
        "DeepScaleTool", "Stillmaker-Baas HP", "Stillmaker-Baas LP",
    ]  # fmt: skip
    assert scaled.power_w.high == pytest.approx(0.017 * 0.37 / 0.63)
    assert scaled.cell_area_um2.central == pytest.approx(21684 * 0.35)


@pytest.mark.skipif(
    not (REFERENCE and (Path(REFERENCE) / "scaling.csv").is_file()), reason="no reference figures"
)
@pytest.mark.parametrize("name", ["scaling.csv", "stillmaker.csv"])
def test_the_tables_are_the_published_ones(name):
    assert (DATA / name).read_bytes() == (Path(REFERENCE) / name).read_bytes()
