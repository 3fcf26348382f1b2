"""The designs that come with the package."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import SCALE

from dbp import cli, config, runs
from dbp.datapath import shipped
from dbp.learning import least_squares, training
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters

# The loading of the converter of those that are the baseline of the preset paper in other formats.
BASELINES = {
    "lsco-paper-c8-s8": 260,
    "lsco-paper-c8-s9": 250,
    "lsco-paper-c9-s8": 260,
    "lsco-paper-c9-s9": 250,
}
TUNED = ("lsco-tuned-c8-s9", "lsco-tuned-c9-s9")
# The presets that they were learned with.
LEARNED = {
    "dual-c6-s9": "dual-c6-s9",
    "enhanced-3per2-c6-s9": "enhanced-3per2-c6-s9",
    "enhanced-5per3-c6-s9": "enhanced-5per3-c6-s9",
    "enhanced-5per3-c8-s10": "enhanced-5per3-c8-s10",
    "enhanced-c5-s9": "enhanced-c5-s9",
    "labptptm1-c6-s9": "labptptm1",
    "labptptm2-c6-s9": "labptptm2",
    "learned-3per2-c5-s9": "learned-3per2-c5-s9",
    "learned-4per3-c6-s8": "learned-4per3-c6-s8",
    "learned-4per3-c6-s9": "learned-4per3-c6-s9",
    "learned-5per4-c6-s9": "learned-5per4-c6-s9",
    "learned-c4-s9": "learned-c4-s9",
    "learned-c5-s8": "learned-c5-s8",
    "learned-c5-s9": "learned-c5-s9",
    "learned-c6-s8": "learned-c6-s8",
    "learned-c6-s9": "paper",
}
NAMES = (*LEARNED, *BASELINES, *TUNED)
# One of each kind; the others differ from these in numbers of bits.
KINDS = ("enhanced-c5-s9", "learned-3per2-c5-s9", "learned-c5-s8", "lsco-paper-c9-s9")


def bits(name):
    """Of coefficients and signals, by its name: the most, where bits have a price."""
    coefficient, signal = name.split("-c")[1].split("-s")
    return int(coefficient), int(signal)


def test_these_and_no_others_come_with_the_package():
    assert tuple(shipped.designs()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_design_is_found_by_its_name(name):
    design, folder = runs.find_design(name)
    assert folder is None
    assert design.name == name
    assert len(design.filters) == config.load(shipped.preset(name)).link.spans + 1
    found = {f.coefficient_bits for f in design.filters}
    if name in LEARNED and config.load(LEARNED[name]).training.coefficient_bit_price_mdb:
        assert max(found) <= bits(name)[0]
    else:
        assert found == {bits(name)[0]}
    assert design.signal_bits == bits(name)[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS if SCALE == 1 else NAMES)
def test_a_shipped_design_becomes_verilog(name, tmp_path):
    assert cli.main(["rtl", name, "--out", str(tmp_path), "--lanes", "1"]) == 0
    assert list((tmp_path / "rtl").glob("chain*.v"))


def baseline(name):
    """The configuration that a baseline comes from."""
    if name in TUNED:
        tuned = config.load("lsco-tuned")
        formats = {"coefficient_bits": bits(name)[0]}
        return tuned.model_copy(update={"baseline": tuned.baseline.model_copy(update=formats)})
    paper = config.load("paper")
    formats = dict(zip(("coefficient_bits", "signal_bits"), bits(name), strict=True))
    return paper.model_copy(
        update={
            "baseline": paper.baseline.model_copy(update=formats),
            "datapath": config.Datapath(adc_rms_permille=BASELINES[name]),
        }
    )


@pytest.mark.parametrize("name", [*BASELINES, *TUNED])
def test_the_baselines_are_those_of_their_presets_in_their_formats(name):
    design, _ = training.baseline(baseline(name))
    assert design.hash == shipped.designs()[name].hash


@pytest.mark.parametrize("name", LEARNED)
def test_learned_designs_have_the_formats_of_their_presets(name):
    """Learning takes minutes: the formats and constants that a preset fixes must at least agree."""
    design, settings = shipped.designs()[name], config.load(LEARNED[name])
    floats = least_squares.unlearned_filters(settings.learned, settings.link)
    kerr = np.zeros((len(design.rotations), settings.learned.kerr_taps // 2 + 1))
    kerr[:, -1:] = floats.kerr_rad_per_mw
    polarizations = settings.link.impairments.polarizations
    filters = FloatFilters(floats.taps, kerr)
    fresh = export(filters, settings.learned, settings.datapath, polarizations)
    assert design.polarizations == polarizations
    assert design.signal_bits == fresh.signal_bits
    assert design.adc_rms_permille == fresh.adc_rms_permille
    assert {f.taps for f in design.filters} == {settings.learned.taps}
    free = {"kerr_gains": (0,), "phase_shift": 0}
    for ours, other in zip(design.rotations, fresh.rotations, strict=True):
        assert ours.kerr_taps == other.kerr_taps
        assert replace(ours, **free) == replace(other, **free)


@pytest.mark.parametrize("name", ["lsco-paper-c9-s9", "lsco-tuned-c9-s9"])
def test_filters_in_floating_point_are_those_before_rounding(name):
    design, folder = runs.find_design(name)
    settings = baseline(name)
    floats = runs.float_filters(name, folder)
    assert export(floats, settings.baseline, settings.datapath).hash == design.hash


@pytest.mark.slow
def test_a_shipped_design_is_evaluated_in_both_arithmetics(tmp_path):
    given = ["lsco-paper-c9-s9", "--launch-power-dbm", "0", "--max-bits", "1", "--out"]
    assert cli.main(["ber", *given, str(tmp_path), "--arithmetic", "both"]) == 0
    points = json.loads((tmp_path / "metrics.json").read_text())["points"]
    found = {point["arithmetic"]: point for point in points}
    assert found.keys() == {"fixed", "float"}
    assert found["float"]["snr_db"] > found["fixed"]["snr_db"] > 16
    assert found["float"]["design_hash"] == found["fixed"]["design_hash"]
