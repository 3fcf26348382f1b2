"""Wires and clock trees before layout are as layouts have them, and as those that no fit saw."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from dbp.synthesis.cells import kits, layout_rules, liberty_reader
from dbp.synthesis.layout import fit_rules

KITS = os.environ.get("DBP_PDK_ROOT")
NEEDED = fit_rules.FITTED

pytestmark = pytest.mark.skipif(
    not (KITS and all((Path(KITS) / kit).is_dir() for kit in NEEDED)),
    reason=f"needs {' and '.join(NEEDED)} in DBP_PDK_ROOT",
)


@pytest.fixture(scope="module")
def libraries():
    return {kit: liberty_reader.read(*kits.find(kit)[1]) for kit in NEEDED}


def test_layouts_that_were_left_out_are_within_five_percent(libraries):
    found = fit_rules.left_out(libraries.__getitem__)
    assert [row.kit for row, _, _ in found] == 3 * ["nangate45"] + ["asap7"]
    for row, real, said in found:
        assert said.total_mw == pytest.approx(real.total_mw, rel=0.05), row
        assert said.tree_mw == pytest.approx(real.tree_mw, rel=0.10), row


def test_the_rules_in_the_package_are_the_fitted_ones(libraries):
    known = fit_rules.rows()
    for kit in NEEDED:
        seen = [row for row in known if row.kit == kit]
        fitted, rule = fit_rules.fitted(seen, known, libraries.__getitem__), layout_rules.of(kit)
        assert rule.wire_factor == pytest.approx(fitted.wire_factor, abs=5e-4)
        assert rule.tree_fanout == fitted.tree_fanout
        # The watt model knows the tree without a library.
        for row in seen:
            tree_w = rule.tree_w(row.sinks.registers, row.sinks.cell_area_um2)
            said = fit_rules.predicted(row, rule, libraries[kit])
            assert 1e3 * tree_w == pytest.approx(said.tree_mw, rel=0.04)


def test_the_wires_of_a_routed_step_are_those_of_the_rule():
    """2.15 times the wire load where they toggle, as its SPEF has them: docs/concepts/power.md."""
    assert layout_rules.of("nangate45").wire_factor == pytest.approx(2.15, rel=0.15)
    assert layout_rules.of("sky130hd").wire_factor == layout_rules.of(None).wire_factor == 1.0


def test_every_layout_says_what_the_fit_needs():
    with fit_rules.FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            assert all(value for key, value in row.items() if not key.startswith("routed"))
