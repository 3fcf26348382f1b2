import subprocess
import sys
from pathlib import Path

import pytest

from dbp.support.sources import hash_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "someones_package"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__", "one", "two", "inner/__init__", "inner/three"):
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (folder / "data.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def fresh(*names):
    hash_of.cache_clear()
    return hash_of(*names)


def test_every_source_of_a_package_counts_and_nothing_else(package):
    seen = {fresh("someones_package")}
    for name in ("__init__", "one", "inner/__init__", "inner/three"):
        path = package / f"{name}.py"
        path.write_text(path.read_text() + "# a comment\n")
        seen.add(fresh("someones_package"))
    (package / "four.py").write_text("")
    seen.add(fresh("someones_package"))
    (package / "four.py").rename(package / "five.py")
    seen.add(fresh("someones_package"))
    assert len(seen) == 7
    (package / "data.json").write_text("[]")
    assert fresh("someones_package") in seen


def test_a_module_is_itself_alone(package):
    of_one, of_three = fresh("someones_package.one"), fresh("someones_package.inner.three")
    (package / "inner" / "three.py").write_text("NAME = 3\n")
    assert fresh("someones_package.one") == of_one
    assert fresh("someones_package.inner.three") != of_three
    both = fresh("someones_package.one", "someones_package.two")
    assert len({both, of_one, fresh("someones_package.two")}) == 3


def test_files_are_read_once(package):
    first = fresh("someones_package")
    (package / "one.py").write_text("")
    assert hash_of("someones_package") == first
    assert fresh("someones_package") != first


@pytest.mark.parametrize("name", ["dbp.link.no_such", "no_such_package", "no_such_package.inner"])
def test_a_module_that_is_not_there_is_an_error(name):
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        fresh(name)


def test_hashing_imports_nothing_heavy():
    code = (
        "import sys; from dbp.support.sources import hash_of;"
        "assert len(hash_of('dbp.link', 'dbp.learning.float_filters', 'dbp.rtl')) == 64;"
        "assert not {'torch', 'numba', 'amaranth'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
