"""`import dbp`: quick, lazy, complete, and without effects on the user's session."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dbp

HEAVY = ("torch", "matplotlib", "numba", "numpy", "scipy", "pydantic", "amaranth", "cocotb")
IMPORT_LIMIT_S = 0.2


def run(code):
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_import_takes_a_fifth_of_a_second_at_most():
    code = "import time; t = time.perf_counter(); import dbp; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(5)) < IMPORT_LIMIT_S


def test_import_loads_nothing_heavy():
    loaded = run("import dbp, sys; print(*sys.modules)").split()
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


@pytest.mark.parametrize("name", dbp.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    value = getattr(dbp, name)
    assert name in dir(dbp)
    if name != "__version__":
        assert value.__doc__ and value.__doc__[0].isupper()


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dbp.nothing


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(dbp.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name for node in block.body for alias in node.names}
    homes = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed | {"__version__"} == set(dbp.__all__)
    assert homes == dbp._HOMES
    assert (Path(dbp.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_no_import_changes_the_backend_of_matplotlib_or_the_flags_of_torch():
    code = """
import matplotlib, torch
flags = lambda: (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark,
                 torch.backends.cudnn.allow_tf32, torch.get_num_threads(),
                 torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled())
matplotlib.use("svg")
before = matplotlib.get_backend(), flags()
import importlib, pkgutil, dbp
for module in pkgutil.walk_packages(dbp.__path__, "dbp."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print((matplotlib.get_backend(), flags()) == before)
"""
    assert run(code) == "True"
