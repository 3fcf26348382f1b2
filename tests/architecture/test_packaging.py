"""What a release uploads: its name, what is in the source distribution and in the wheel.

The wheel's packages are ``dbp`` and what lies below it, and its command works installed.
"""

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import dbp

ROOT = Path(__file__).parents[2]
# `dbp` is another program's on the package index.
NAME = "digital-backpropagation"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

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


def test_the_distribution_has_its_name_everywhere():
    assert PROJECT["name"] == NAME
    assert set(PROJECT["scripts"]) == {"dbp"}
    for file in ("README.md", "CITATION.cff"):
        assert NAME in (ROOT / file).read_text()
    wrong = re.compile(r"pip3? install[^`\n]*[ '\"](dbp\b(?!-)|dbp\[)|\bdbp\[[a-z]+\]")
    places = [*(ROOT / folder for folder in (*FOLDERS, "docs", "benchmarks")), ROOT]
    texts = {
        file
        for folder in places
        for file in (folder.glob("*") if folder == ROOT else folder.rglob("*"))
        if file.suffix in (".py", ".md", ".toml", ".cff") or file.name == "Makefile"
        if "_build" not in file.parts
    }
    assert len(texts) > 200
    assert {file.name for file in texts if wrong.search(file.read_text())} == set()


def test_version_changelog_and_citation_agree():
    dated = re.compile(r"^## \[([0-9.]+)\] - ([0-9]{4}-[0-9]{2}-[0-9]{2})$", re.MULTILINE)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest, date = dated.findall(changelog)[0]
    assert newest == dbp.__version__
    assert changelog.index("## [Unreleased]") < changelog.index(f"## [{newest}]")
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {newest}\n" in citation and f"\ndate-released: {date}\n" in citation


def test_declared_pythons_begin_with_the_oldest_that_is_required():
    form = re.compile(r"Programming Language :: Python :: 3\.(\d+)")
    minors = [int(m[1]) for c in PROJECT["classifiers"] if (m := form.fullmatch(c))]
    assert PROJECT["requires-python"] == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[-1] + 1))


def tracked():
    """The files of the sources by name; links to folders are none."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone: a source distribution does not know its files")
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return [name for name in files.stdout.decode().splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source distribution, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("built")
    # Without isolation no registry is asked; the source is copied, for setuptools writes into it.
    source = out / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    for folder in ("rtl", "sim", "synthesis"):
        (source / "dbp" / folder).symlink_to(Path("..", folder))
    command = [sys.executable, "-m", "build", "-q", "--no-isolation", "-o", out, source]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.mark.slow
def test_source_distribution_holds_the_sources_once_and_no_more(built):
    (path,) = built.glob("*.tar.gz")
    folder = f"{NAME.replace('-', '_')}-{dbp.__version__}/"
    with tarfile.open(path) as archive:
        names = [member.name.removeprefix(folder) for member in archive if member.isfile()]
    made = {"PKG-INFO", "setup.cfg"}
    ours = sorted(n for n in names if n not in made and ".egg-info/" not in n)
    assert ours == sorted(tracked())


@pytest.mark.slow
def test_both_distributions_are_fit_for_the_package_index(built):
    files = [*built.glob("*.whl"), *built.glob("*.tar.gz")]
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files]
    check = subprocess.run(command, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
    assert check.stdout.count("PASSED") == 2


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
    tables.add("dbp/datapath/designs/figures.csv")
    assert presets | designs | kits | tables <= set(names)
    (information,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(zipfile.ZipFile(wheel).read(information))
    assert (metadata["Name"], metadata["Version"]) == (NAME, dbp.__version__)
    assert f"{information.rpartition('/')[0]}/licenses/LICENSE" in names


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
