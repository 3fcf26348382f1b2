"""The designs that come with the package."""

import pytest

from dbp import cli, commands, config, training

NAMES = ("learned-c6-s9", "lsco-paper-c9-s9")


def test_these_and_no_others_come_with_the_package():
    assert tuple(commands.shipped_designs()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_design_is_found_by_its_name(name, tmp_path):
    design, folder = commands.find_design(name)
    assert folder is None
    assert design.name == name
    assert (len(design.filters), design.signal_bits) == (33, 9)
    assert {f.coefficient_bits for f in design.filters} == {int(name.split("-c")[1][0])}
    assert cli.main(["rtl", name, "--out", str(tmp_path), "--lanes", "1"]) == 0
    assert list((tmp_path / "rtl").glob("chain*.v"))


def test_the_baseline_is_what_the_paper_preset_gives():
    design, _ = training.baseline(config.load("paper"))
    assert design.hash == commands.shipped_designs()["lsco-paper-c9-s9"].hash
