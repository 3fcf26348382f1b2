"""Compiled code is kept wherever one can write, and a user hears why nothing happens."""

import errno
import importlib.util
import os
from pathlib import Path

import pytest

from dbp.support import compiled, family

MODULE = """
from dbp.support.compiled import njit

@njit()
def twice(x):
    return 2 * x
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a module with a compiled function, as a new process would, beside which none may lie."""
    # Being root, the tests may write anywhere.
    classes = compiled._Implementation._locator_classes
    monkeypatch.setattr(
        compiled._Implementation,
        "_locator_classes",
        [cls for cls in classes if cls is not compiled._IN_TREE],
    )
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    path = tmp_path / "module.py"
    path.write_text(MODULE)

    compiled._temporary.cache_clear()

    def load_():
        compiled._announce.cache_clear()
        compiled._warn.cache_clear()
        spec = importlib.util.spec_from_file_location("module_of_the_test", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.twice

    yield load_
    compiled._until_the_end.close()
    compiled._temporary.cache_clear()
    compiled._announce.cache_clear()
    compiled._warn.cache_clear()


def indexes(folder):
    return list(Path(folder).rglob("*.nbi"))


def test_code_lies_in_our_cache_where_the_package_cannot_be_written(load, cache_folder, caplog):
    assert load()(3) == 6
    assert len(indexes(cache_folder / "numba")) == 1
    line = (
        "Compiling for this processor: takes up to a minute, the first time after an installation"
    )
    assert caplog.messages == [line]
    caplog.clear()
    twice = load()
    assert twice(4) == 8
    assert sum(twice.stats.cache_hits.values()) == 1
    assert caplog.messages == []


def test_without_a_home_code_lies_with_the_temporary_files(load, monkeypatch, caplog):
    monkeypatch.setenv("DBP_CACHE", "/proc/none")
    assert load()(3) == 6
    with family.held() as variables:
        assert len(indexes(Path(variables["TMPDIR"]) / "numba")) == 1
    assert len(caplog.messages) == 1 and "every time" in caplog.text
    assert "set NUMBA_CACHE_DIR" in caplog.text


def test_code_of_another_user_is_not_run(load, cache_folder, monkeypatch):
    load()
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert isinstance(load()._cache._impl.locator, compiled._Temporary)


def test_without_any_place_functions_are_compiled_all_the_same(load, monkeypatch):
    monkeypatch.setattr(compiled._Implementation, "_locator_classes", [])
    assert load()(3) == 6


def test_what_is_damaged_or_cannot_be_kept_is_compiled_again(
    load, cache_folder, monkeypatch, caplog
):
    load()(3)
    for index in indexes(cache_folder):
        index.write_bytes(index.read_bytes()[:40])
    assert load()(3) == 6

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compiled.caching.IndexDataCacheFile, "save", full)
    twice = load()
    assert twice(1.5) == 3
    assert "No space left on device: compiled code is not kept" in caplog.text
