"""The designs that come with the package."""

import json

import pytest

from dbp import cli, commands, config, training
from dbp.quantization import export

# The loading of the converter of those that are the baseline of the preset paper in other formats.
BASELINES = {
    "lsco-paper-c8-s8": 260,
    "lsco-paper-c8-s9": 250,
    "lsco-paper-c9-s8": 260,
    "lsco-paper-c9-s9": 250,
}
NAMES = ("learned-c6-s9", *BASELINES)


def bits(name):
    """Of coefficients and signals, by its name."""
    coefficient, signal = name.split("-c")[1].split("-s")
    return int(coefficient), int(signal)


def test_these_and_no_others_come_with_the_package():
    assert tuple(commands.shipped_designs()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_design_is_found_by_its_name(name, tmp_path):
    design, folder = commands.find_design(name)
    assert folder is None
    assert design.name == name
    assert len(design.filters) == 33
    assert {(f.coefficient_bits, design.signal_bits) for f in design.filters} == {bits(name)}
    assert cli.main(["rtl", name, "--out", str(tmp_path), "--lanes", "1"]) == 0
    assert list((tmp_path / "rtl").glob("chain*.v"))


def baseline(name):
    """The configuration that a baseline comes from."""
    paper = config.load("paper")
    formats = dict(zip(("coefficient_bits", "signal_bits"), bits(name), strict=True))
    return paper.model_copy(
        update={
            "baseline": paper.baseline.model_copy(update=formats),
            "datapath": paper.datapath.model_copy(update={"adc_rms_permille": BASELINES[name]}),
        }
    )


@pytest.mark.parametrize("name", BASELINES)
def test_the_baselines_are_those_of_the_paper_preset_in_their_formats(name):
    design, _ = training.baseline(baseline(name))
    assert design.hash == commands.shipped_designs()[name].hash


def test_filters_in_floating_point_are_those_before_rounding():
    name = "lsco-paper-c9-s9"
    design, folder = commands.find_design(name)
    settings = baseline(name)
    floats = commands.float_filters(name, folder)
    assert export(floats, settings.baseline, settings.datapath).hash == design.hash


def test_a_shipped_design_is_evaluated_in_both_arithmetics(tmp_path):
    given = ["lsco-paper-c9-s9", "--launch-power-dbm", "0", "--max-bits", "1", "--out"]
    assert cli.main(["ber", *given, str(tmp_path), "--arithmetic", "both"]) == 0
    points = json.loads((tmp_path / "metrics.json").read_text())["points"]
    found = {point["arithmetic"]: point for point in points}
    assert found.keys() == {"fixed", "float"}
    assert found["float"]["snr_db"] > found["fixed"]["snr_db"] > 16
    assert found["float"]["design_hash"] == found["fixed"]["design_hash"]
