"""Tutorials of the site: which Python runs them, where results are kept, and how long they took."""

import hashlib
import json
import os
import sys
from pathlib import Path

from jupyter_cache import get_cache
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util import logging

ROOT = Path(__file__).parents[2]
# What tutorials run: a change there makes their kept results old.
PACKAGES = ("dbp", "rtl", "sim", "synthesis")
TUTORIALS = "tutorials/"
# A longer cell ends the build, and so does a longer tutorial. They should take less than a
# minute; a machine that is busy must not fail because of it.
LONGEST_S = 600

logger = logging.getLogger(__name__)


def cache_folder(docs: Path) -> Path:
    """Return the folder of kept results for the package as it is, with its database."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    folder = docs / "_build" / "notebooks" / digest.hexdigest()[:16]
    # Made here, since two processes that read pages would make it at once.
    get_cache(str(folder)).list_cache_records()
    return folder


def use_this_python(folder: Path) -> None:
    """Put a kernel ``python3`` that is this interpreter before all others of the machine."""
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--log-level=ERROR",
    ]
    text = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(text))
    paths = [str(folder), os.environ.get("JUPYTER_PATH", "")]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, paths))


def spread(app, env, docnames: list[str]) -> None:
    """Put the tutorials evenly among the pages, so that parallel readers share them."""
    slow = [name for name in docnames if name.startswith(TUTORIALS)]
    quick = [name for name in docnames if not name.startswith(TUTORIALS)]
    place = {name: at / len(group) for group in (slow, quick) for at, name in enumerate(group)}
    docnames.sort(key=place.__getitem__)


def report_times(app, env) -> None:
    """Say how long each tutorial took; warn where one took too long."""
    for name in sorted(NbMetadataCollector.get_doc_data(env)):
        data = NbMetadataCollector.get_exec_data(env, name)
        if data and data["runtime"]:
            level = logger.warning if data["runtime"] > LONGEST_S else logger.info
            level("%s: %.0f s", name, data["runtime"])


def setup(app) -> dict[str, object]:
    use_this_python(Path(app.outdir).parent / "jupyter")
    app.connect("env-before-read-docs", spread)
    app.connect("env-updated", report_times)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
