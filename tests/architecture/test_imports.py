"""What importing a module loads, and that it changes nothing of its user's."""

import subprocess
import sys

import pytest
from helpers.designs import DESIGN

HEAVY = {"torch", "numba", "scipy", "matplotlib", "amaranth"}


def loaded(module):
    """The heavy packages that a process has loaded after importing a module."""
    code = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(run.stdout.split())


@pytest.mark.parametrize("module", ["dbp", "dbp.config", "dbp.datapath.shipped"])
def test_the_ground_floor_is_light(module):
    assert loaded(module) == set()


@pytest.mark.parametrize("module", ["dbp.link.closed_forms", "dbp.comparison.merit"])
def test_closed_forms_of_the_link_need_no_torch(module):
    assert not {"torch", "numba"} & loaded(module)


LINK = (
    "[link]\nspans = 2\nblock_symbols = 256\nsteps_per_span = 2\n[evaluation]\nmax_bits = 70000\n"
)
COUNT = """
import sys
from dbp import cli
words = ["ber", "--config", "small.toml", "--launch-power-dbm=-9", "--out", "run"]
assert cli.main([words[0], sys.argv[1], *words[1:]]) == 0
print("torch" in sys.modules)
"""


@pytest.mark.parametrize(("receiver", "with_torch"), [("design.json", False), ("linear", True)])
def test_designs_in_fixed_point_are_counted_without_torch(tmp_path, receiver, with_torch):
    (tmp_path / "small.toml").write_text(LINK)
    (tmp_path / "design.json").write_text(DESIGN.to_json())
    run = subprocess.run(
        [sys.executable, "-c", COUNT, receiver], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == str(with_torch)


@pytest.mark.parametrize("module", ["dbp.synthesis", "dbp.synthesis.cells.library"])
def test_cells_need_neither_the_generator_nor_the_simulator(module):
    assert not {"amaranth", "numba"} & loaded(module)


def test_no_import_changes_the_users_matplotlib_backend():
    code = (
        "import matplotlib; matplotlib.use('pdf'); "
        "import dbp.report.plots, dbp.report.page, dbp.report.reproduction; "
        "from matplotlib import pyplot; print(matplotlib.get_backend())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "pdf"
