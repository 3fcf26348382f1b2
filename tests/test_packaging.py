"""The wheel: its packages are ``dbp`` and what lies below it, and its command works installed."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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


def test_wheel_holds_these_packages_and_no_others(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.rsplit("/", 1)[0] for name in names if name.endswith(".py")}
    assert folders == {"dbp", "dbp/rtl", "dbp/sim", "dbp/synthesis"}
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"dbp"}
    designs = {f"dbp/designs/lsco-paper-c9-s9.{suffix}" for suffix in ("json", "npz")}
    presets = {"dbp/presets/paper.toml", "dbp/presets/demo.toml"}
    kits = {"dbp/synthesis/data/predictive28.lib", "dbp/synthesis/data/asap7_wires.lib"}
    tables = {"dbp/data/paper_ber.csv", "dbp/synthesis/data/scaling.csv"}
    assert presets | designs | kits | tables <= set(names)


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
