"""Every module, attribute, file and page that our prose names exists.

Nothing is imported: names are read from the syntax trees, so that this takes a second or two.
"""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"dbp": "dbp", "dbp.rtl": "rtl", "dbp.sim": "sim", "dbp.synthesis": "synthesis"}
FOLDERS = (*PACKAGES.values(), "tests", "benchmarks", "docs")

# No JSON and no Verilog: of those, `rtl/ports.json` and its like are of a run's folder.
DOTTED = re.compile(r"(?<![\w./-])dbp(?:\.[A-Za-z_]\w*)+")
SPAN = re.compile(r"`([^`\n]+)`")
FILE = re.compile(rf"(?<![\w./*-])(?:{'|'.join(FOLDERS)})/[\w./-]*\.(?:py|md|toml|csv|lib)\b")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")
# A Python file in backticks by its bare name: nobody knows which of several it is.
BARE = re.compile(r"^[\w/]+\.py$")
ANCHOR = re.compile(r"\]\(([^)#:\s]*)#([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.S)


def pages() -> list[Path]:
    """Return our Markdown pages: those of the root, of docs, and of folders of data."""
    roots = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")]
    made = ROOT / "docs/_build", ROOT / "docs/reference/generated"
    found = {*ROOT.glob("*.md"), *roots}
    return sorted(path for path in found if not any(map(path.is_relative_to, made)))


def sources() -> list[Path]:
    """Return our Python files, of each linked folder once."""
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules() -> dict[str, Path]:
    """Return the file of each of our modules by its dotted name."""
    files = {}
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            inner = path.relative_to(ROOT / folder).with_suffix("").parts
            files[".".join((package, *(part for part in inner if part != "__init__")))] = path
    return files


MODULES = modules()


def names_in(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Return the statements that bind names in a module or a class, also those under an ``if``."""
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] = node
        elif isinstance(node, ast.Assign):
            stored = [name for target in node.targets for name in ast.walk(target)]
            names |= {name.id: node for name in stored if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name: node for alias in node.names}
        elif isinstance(node, ast.If | ast.Try):
            names |= names_in([*node.body, *node.orelse])
    return names


@functools.cache
def names_of(module: str) -> dict[str, ast.stmt]:
    return names_in(tree(MODULES[module]).body)


@functools.cache
def doors() -> dict[str, str]:
    """Return the module behind each name that ``import dbp`` offers."""
    return ast.literal_eval(names_of("dbp")["_HOMES"].value)


def has(module: str, attributes: list[str]) -> bool:
    """Tell whether a module holds an attribute, and that one the next, and so on."""
    if not attributes or ".".join((module, *attributes)) in MODULES:
        return True
    first, *rest = attributes
    if module == "dbp" and first in doors():
        return has(doors()[first], attributes)
    if module == "dbp" and not rest and (ROOT / "dbp" / f"{first}.mplstyle").is_file():
        return True  # how matplotlib names a style
    node = names_of(module).get(first)
    if isinstance(node, ast.ImportFrom):
        return node.module in MODULES and has(node.module, attributes)
    if isinstance(node, ast.ClassDef):
        return not rest or rest[0] in members(module, node)
    return node is not None and not rest


def members(module: str, node: ast.ClassDef) -> set[str]:
    """Return the attributes of a class and of those of its bases that its own module defines."""
    own = names_in(node.body).keys() | {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == "self"
    }
    bases = (names_of(module).get(ast.unparse(base)) for base in node.bases)
    return own.union(*(members(module, b) for b in bases if isinstance(b, ast.ClassDef)))


def resolves(name: str) -> bool:
    """Tell whether a dotted name is one of our modules, an attribute of one, or a style sheet."""
    if (ROOT / name.replace(".", "/")).with_suffix(".mplstyle").is_file():
        return True
    parts = name.split(".")
    longest = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in MODULES)
    return has(".".join(parts[:longest]), parts[longest:])


def docstrings(path: Path) -> str:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = [node for node in ast.walk(tree(path)) if isinstance(node, kinds)]
    return "\n".join(filter(None, (ast.get_docstring(node) for node in nodes)))


def prose(path: Path) -> str:
    """Return a page as it is, but of a Python file its docstrings."""
    return docstrings(path) if path.suffix == ".py" else path.read_text()


def unknown_names(text: str) -> list[str]:
    return [name for name in DOTTED.findall(text) if not resolves(name)]


def missing_files(text: str) -> list[str]:
    bare = [span for span in SPAN.findall(text) if BARE.match(span)]
    return [name for name in (*FILE.findall(text), *bare) if not (ROOT / name).is_file()]


def broken_links(text: str, folder: Path) -> list[str]:
    return [link for link in LINK.findall(text) if not (folder / link).exists()]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them of their text."""
    headings = re.findall(r"^#+ +(.+)$", CODE.sub("", page.read_text()), re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in plain}


def broken_anchors(page: Path, text: str) -> list[str]:
    """Return the links to headings of our pages that are none; files that miss count elsewhere."""
    links = ANCHOR.findall(text)
    linked = [(page.parent / file if file else page, anchor) for file, anchor in links]
    return [
        f"{target.name}#{anchor}"
        for target, anchor in linked
        if target.suffix == ".md" and target.is_file() and anchor not in anchors(target)
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*pages(), *sources()], ids=name)
def test_modules_and_attributes_that_prose_names_exist(path: Path):
    assert unknown_names(prose(path)) == []


@pytest.mark.parametrize("path", [*pages(), *sources()], ids=name)
def test_files_that_prose_names_exist(path: Path):
    assert missing_files(prose(path)) == []


@pytest.mark.parametrize("path", pages(), ids=name)
def test_links_between_pages_lead_somewhere(path: Path):
    assert broken_links(path.read_text(), path.parent) == []
    assert broken_anchors(path, CODE.sub("", path.read_text())) == []


def test_every_page_of_the_site_is_in_one_table_of_contents():
    docs = ROOT / "docs"
    listed: list[Path] = []
    for page in docs.rglob("index.md"):
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.S):
            for entry in filter(re.compile(r"^[^:\s]").match, tree.splitlines()):
                listed += sorted({*page.parent.glob(f"{entry}.md")} - {page})
    # Some are made when the site is built.
    written = [page for page in listed if "generated" not in page.parts]
    expected = {page for page in pages() if page.is_relative_to(docs)} - {docs / "index.md"}
    assert sorted(written) == sorted(expected)


def test_what_is_wrong_is_found():
    good = "`dbp.Design.load`, `dbp.rtl.ports.Ports.read`, dbp.rtl.blocks.filter, `dbp.config`"
    assert unknown_names(good) == []
    bad = ["dbp.no_module", "dbp.Design.no_method", "dbp.rtl.ports.read_none", "dbp.rtl.old.name"]
    assert unknown_names(" ".join(f"`{name}`" for name in bad)) == bad
    assert missing_files("`rtl/emit.py`, `rtl/ports.json`, docs/concepts/rtl.md") == []
    assert missing_files("docs/no_page.md `emit.py` tests/test_gone.py") == [
        "docs/no_page.md",
        "tests/test_gone.py",
        "emit.py",
    ]
    assert broken_links(
        "[a](rtl.md) [b](gone.md) [c](https://example.org/x)", ROOT / "docs/concepts"
    ) == ["gone.md"]
    page = ROOT / "docs/concepts/rtl.md"
    linked = "[a](#streams) [b](power.md#the-flow) [c](#gone)"
    assert broken_anchors(page, linked) == ["rtl.md#gone"]
