"""Which package may import which: one table, from the ground floor to the roof."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"dbp": "dbp", "dbp.rtl": "rtl", "dbp.sim": "sim", "dbp.synthesis": "synthesis"}

# Each package or module, and what it may import beside itself: only rows above its own, so that no
# circle can be written down. Light (link to report) and silicon (rtl to synthesis) are two towers
# on one ground floor (errors to datapath); only the roof, the command line and what `import dbp`
# offers, sees both.
GROUND = ("errors", "support", "records", "datapath.limits", "config", "datapath")
BLOCKS = ("rtl.pipeline", "rtl.target", "rtl.ports", "rtl.blocks")
CELLS = ("synthesis.cells", "synthesis.netlist")
TIMED = (*CELLS, "synthesis.activity", "synthesis.mapping", "synthesis.timing")
LADDER = {
    "errors": (),
    "support": ("errors",),
    "records": ("errors", "support"),
    "datapath.limits": (),
    "config": ("errors", "support", "datapath.limits"),
    "datapath": ("errors", "support", "datapath.limits", "config"),
    # Light.
    "link": ("errors", "support", "datapath.limits", "config"),
    "learning": (*GROUND, "link"),
    "waveforms": (*GROUND, "link"),
    "evaluation": (*GROUND, "link", "learning", "waveforms"),
    "exploration": (*GROUND, "link", "learning", "evaluation"),
    "runs": (*GROUND, "link", "learning"),
    "comparison": (*GROUND, "link"),
    "report": (*GROUND, "link", "evaluation", "comparison", "runs"),
    # Silicon. The proof reads the Verilog and shares no code with what wrote it.
    "rtl.pipeline": GROUND,
    "rtl.target": (*GROUND, "rtl.pipeline"),
    "rtl.ports": (*GROUND, "rtl.pipeline", "rtl.target"),
    "rtl.blocks": (*GROUND, "rtl.pipeline"),
    "rtl.verilog": (*GROUND, "rtl.blocks"),
    "rtl.emit": (*GROUND, *BLOCKS, "rtl.verilog"),
    "rtl.proof": (*GROUND, "rtl.ports"),
    "rtl": ("rtl.target", "rtl.emit"),
    "sim": (*GROUND, "rtl.ports"),
    "synthesis.cells": GROUND,
    "synthesis.netlist": (*GROUND, "synthesis.cells"),
    "synthesis.activity": (*GROUND, *CELLS),
    "synthesis.mapping": (*GROUND, *CELLS),
    "synthesis.timing": (*GROUND, *CELLS),
    "synthesis.gates": (*GROUND, "rtl.ports", *TIMED),
    "synthesis.power": (*GROUND, *TIMED),
    "synthesis.layout": (*GROUND, *TIMED, "synthesis.gates", "synthesis.power"),
    "synthesis.equivalence": (*GROUND, *TIMED, "synthesis.gates"),
}
SYNTHESIS = tuple(name for name in LADDER if name.startswith("synthesis."))
LADDER["synthesis"] = (*GROUND, "rtl", *BLOCKS, "rtl.verilog", *SYNTHESIS)
# What is handed over holds vectors of the simulation and scripts of the synthesis.
LADDER["synthesis.handoff"] = (*GROUND, "rtl.ports", "sim", *SYNTHESIS, "synthesis")
LADDER["api"] = tuple(LADDER)
LADDER["cli"] = tuple(LADDER)
# A script that made data files: below nobody, so that nothing imports it.
LADDER["synthesis.cells.make_predictive28"] = (*GROUND, "synthesis.cells")
ROOF = {"api", "cli"}
TORCH = {"link", "learning", "evaluation"}


def modules():
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inner = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join((package, *(part for part in inner if part != "__init__"))), path


def imports(path):
    """Absolute names of all that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


PATHS = dict(modules())


@functools.cache
def imported(name):
    """Absolute names of all that a module imports."""
    return frozenset(imports(PATHS[name]))


def room(name):
    """The row of a module: the longest one that its name begins with; None for the face."""
    parts = name.split(".")[1:]
    rows = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((row for row in rows if row in LADDER), None)


def targets(name):
    """Our modules that a file imports: of ``from package import module`` the module alone."""
    found = {target for target in imported(name) if target in PATHS}
    return {t for t in found if not any(other.startswith(f"{t}.") for other in found)}


def loaded_with(name):
    """Every name whose import loads something: the module itself and the packages around it."""
    parts = name.split(".")
    # `dbp` itself loads nothing: its doors open when a name is used.
    return {".".join(parts[:n]) for n in range(1, len(parts) + 1)} - {"dbp"}


def reachable(name):
    """All modules of ours and top-level packages of others that importing ``name`` can load."""
    seen, todo = set(), loaded_with(name)
    while todo:
        for target in imported(todo.pop()):
            if target not in PATHS:
                seen.add(target.split(".")[0])
            else:
                todo |= loaded_with(target) - seen
                seen |= loaded_with(target)
    return seen


def test_all_modules_are_found():
    assert {"dbp.datapath.fixed", "dbp.cli", "dbp.rtl.emit", "dbp.synthesis.cells"} <= set(PATHS)
    assert {room(name) for name in PATHS} == {None, *LADDER}


def test_the_ladder_has_no_circle_and_the_towers_touch_only_on_the_ground_and_the_roof():
    rows = list(LADDER)
    for row, allowed in LADDER.items():
        assert set(allowed) <= set(rows[: rows.index(row)]), row
        if row.startswith(("rtl", "sim", "synthesis")):
            silicon = {name for name in allowed if name.startswith(("rtl", "sim", "synthesis"))}
            assert set(allowed) - silicon <= set(GROUND), row
        elif row not in ROOF:
            assert not any(name.startswith(("rtl", "sim", "synthesis")) for name in allowed), row


def test_the_face_is_a_list_of_doors():
    assert {room(target) for target in targets("dbp")} <= set(LADDER)
    face = ast.parse((ROOT / "dbp" / "__init__.py").read_text())
    eager = [node for node in face.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {alias.name for node in eager for alias in node.names} <= {
        "annotations",
        "importlib",
        "TYPE_CHECKING",
        "Any",
    }


@pytest.mark.parametrize("name", sorted(set(PATHS) - {"dbp"}))
def test_every_module_imports_from_its_own_room_and_the_rooms_below(name):
    row = room(name)
    for target in targets(name) - {"dbp"}:
        assert room(target) in {row, *LADDER[row]}, f"{name} imports {target}"


def test_fixed_design_golden_import_in_that_direction():
    helpers = {"dbp", "dbp.errors", "dbp.support.files", "dbp.support", "dbp.datapath"}
    helpers.add("dbp.datapath.limits")
    helpers |= {
        f"dbp.support.{name}" for name in ("compiled", "cache", "family", "guardian", "ratios")
    }
    names = ("fixed", "design", "golden", "golden_fast", "_golden_kernels")
    fixed, design, golden, fast, kernels = (f"dbp.datapath.{name}" for name in names)
    ours = {name: {t for t in reachable(name) if t in PATHS} - helpers for name in PATHS}
    assert ours[fixed] == set()
    assert ours[design] == {fixed}
    assert ours[golden] == {fixed, design}
    assert ours[fast] == {fixed, design, golden, kernels}
    # The hardware is compared with the specification itself.
    for name in PATHS:
        if name.startswith(("dbp.rtl", "dbp.sim", "dbp.synthesis")):
            assert fast not in ours[name]


def test_nothing_of_the_package_imports_what_is_beside_it():
    # The study of ways to back-propagate is in benchmarks/: what lost there is nobody's dependency.
    beside = {path.name for path in ROOT.iterdir() if path.is_dir()} - set(FOLDERS.values())
    assert {"benchmarks", "tests", "docs"} <= beside
    for name in PATHS:
        assert not {target.split(".")[0] for target in imported(name)} & beside, name


@pytest.mark.parametrize("name", sorted(PATHS))
def test_torch_stays_in_light(name):
    if room(name) not in TORCH:
        assert "torch" not in {target.split(".")[0] for target in imported(name)}
    if name.startswith(("dbp.rtl", "dbp.sim", "dbp.synthesis")):
        assert "torch" not in reachable(name)
