"""The import directions that keep the hardware side free of learning, and the contract small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"dbp": "dbp", "dbp.rtl": "rtl", "dbp.sim": "sim", "dbp.synthesis": "synthesis"}
COMMAND_LINE = {"dbp.cli", "dbp.commands", "dbp.compare_command"}
TORCH_ALLOWED = {
    "dbp.cascade",
    "dbp.newton",
    "dbp.model",
    "dbp.quantization",
    "dbp.training",
    "dbp.modulation",
    "dbp.fiber",
    "dbp.link",
    "dbp.references",
    "dbp.receivers",
    "dbp.workers",
}


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


GRAPH = {name: set(imports(path)) for name, path in modules()}


def reachable(name):
    """All modules of ours and top-level packages of others that importing ``name`` can load."""
    seen, todo = set(), [name]
    while todo:
        for target in GRAPH[todo.pop()]:
            if target in GRAPH and target not in seen:
                todo.append(target)
            seen.add(target if target in GRAPH else target.split(".")[0])
    return seen


def test_all_modules_are_found():
    assert {"dbp.fixed", "dbp.design", "dbp.golden", "dbp.cli"} <= set(GRAPH)
    assert any(name.startswith("dbp.rtl.") for name in GRAPH)


def test_fixed_design_golden_import_in_that_direction():
    helpers = {"dbp", "dbp.errors", "dbp.files"}
    ours = {name: {t for t in reachable(name) if t in GRAPH} - helpers for name in GRAPH}
    assert ours["dbp.fixed"] == set()
    assert ours["dbp.design"] == {"dbp.fixed"}
    assert ours["dbp.golden"] == {"dbp.fixed", "dbp.design"}
    assert ours["dbp.compiled"] == {"dbp.fixed", "dbp.design", "dbp.golden", "dbp.datapath"}
    # The hardware is compared with the specification itself.
    for name in GRAPH:
        if name.startswith(("dbp.rtl", "dbp.sim", "dbp.synthesis")):
            assert "dbp.compiled" not in ours[name]


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_torch_stays_in_learning_and_link(name):
    direct = {target.split(".")[0] for target in GRAPH[name]}
    if name not in TORCH_ALLOWED:
        assert "torch" not in direct
    if name.startswith(("dbp.rtl", "dbp.sim", "dbp.synthesis")):
        assert "torch" not in reachable(name)


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_only_the_command_line_imports_the_hardware_side(name):
    if name.startswith(("dbp.rtl", "dbp.sim", "dbp.synthesis")) or name in COMMAND_LINE:
        return
    for target in GRAPH[name]:
        assert not target.startswith(("dbp.rtl", "dbp.sim", "dbp.synthesis")), target
