"""The wheel: its packages are ``dbp`` and what lies below it, and its command works installed."""

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


FOLDERS = {"dbp": "dbp", "rtl": "dbp.rtl", "sim": "dbp.sim", "synthesis": "dbp.synthesis"}


def packages_of_the_folders():
    """Every folder that holds a module is a package."""
    return {
        ".".join((package, *path.parent.relative_to(ROOT / folder).parts))
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }


def test_pyproject_lists_the_packages_that_the_folders_hold():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert sorted(settings["packages"]) == sorted(packages_of_the_folders())
    assert settings["package-dir"] == {package: folder for folder, package in FOLDERS.items()}


def test_the_folders_of_the_hardware_side_are_linked_where_the_installed_packages_lie():
    for folder in ("rtl", "sim", "synthesis"):
        assert (ROOT / "dbp" / folder).readlink() == Path("..", folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    # Without isolation no registry is asked; the source is copied, for setuptools writes into it.
    source = out / "source"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    for name in files.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "-q", "--wheel", "--no-isolation", "-o", out, source]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_holds_these_packages_and_no_others(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.rsplit("/", 1)[0] for name in names if name.endswith(".py")}
    assert folders == {package.replace(".", "/") for package in packages_of_the_folders()}
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"dbp"}
    designs = {f"dbp/datapath/designs/lsco-paper-c9-s9.{suffix}" for suffix in ("json", "npz")}
    presets = {"dbp/config/presets/paper.toml", "dbp/config/presets/demo.toml"}
    kits = {"dbp/synthesis/cells/data/predictive28.lib", "dbp/synthesis/cells/data/asap7_wires.lib"}
    tables = {"dbp/comparison/data/paper_ber.csv", "dbp/synthesis/cells/data/scaling.csv"}
    assert presets | designs | kits | tables <= set(names)


@pytest.mark.slow
def test_installed_command_works_away_from_the_source(wheel, tmp_path):
    # A venv of its own that borrows the dependencies of this one: only dbp itself is new there.
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-warn-script-location", "--target", site, wheel], check=True)
    (host,) = {path for path in sys.path if path.endswith("site-packages")}
    python = tmp_path / "venv" / "bin" / "python"
    code = (
        "import dbp.cli, dbp.rtl, dbp.sim, dbp.synthesis, sys;"
        "print(dbp.__file__);"
        "sys.exit(dbp.cli.main(['--help']))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{host}"}
    result = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(site))
    assert "usage: dbp" in result.stdout
