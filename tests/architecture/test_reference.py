"""The generated reference has every public name, command, option, key and figure, explained."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import dbp
from dbp import config
from dbp.records import schemas
from dbp.records.provenance import Metrics

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs/_ext"))
reference = importlib.import_module("reference")
offline = importlib.import_module("offline")
command_line, configuration = reference.command_line, reference.configuration
metrics, python, fields = reference.metrics, reference.python, reference.fields


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def rows(text: str, title: str) -> dict[str, list[str]]:
    """Return the rows of the first table below a heading, by their first cell without markup."""
    section = re.split(r"^#+ ", text.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line[:1] == "|"]
    return {
        re.sub(r"\{.*\}|[\[\]`]", "", row[0]).strip(): [c.strip() for c in row] for row in cells
    }


def test_every_public_name_is_on_the_page(pages):
    shown = set(re.findall(r"^\.\. (?:auto\w+|py:data):: (dbp\.\w+)$", pages["python.rst"], re.M))
    assert shown == {f"dbp.{name}" for name in dbp.__all__}


def test_every_public_name_says_what_it_does():
    for name in [*(f"dbp.{name}" for name in dbp.__all__), *python.RESULTS, *python.STAGES]:
        if not name.endswith("__"):
            assert python.find(name).__doc__, name


def test_every_figure_of_a_result_says_what_it_is():
    for name in python.RESULTS:
        thing = python.find(name)
        for field in getattr(thing, "__annotations__", {}):
            said = field in fields.meanings(thing) or f"``{field}``" in (thing.__doc__ or "")
            assert said or field == "model_config" or field.startswith("_"), f"{name}.{field}"


def test_every_command_and_option_is_on_the_page(pages):
    page = pages["command_line.md"]
    for name, parser in command_line.commands():
        assert parser.description, name
        section = re.split(r"^## ", page.split(f"\n## dbp {name}\n", 1)[1], flags=re.M)[0]
        options = re.findall(r"^```\{option\} (.+)\n(.+)$", section, re.M)
        assert len(options) == len(command_line.arguments(parser))
        for action, (form, meaning) in zip(command_line.arguments(parser), options, strict=True):
            assert set(action.option_strings) <= set(re.split(r"[ ,]+", form)), (name, form)
            assert re.search(r"\w", meaning), (name, form)


def test_every_key_of_a_configuration_is_on_the_page_with_its_meaning(pages):
    keys = []
    for path, model in configuration.tables():
        table = rows(pages["configuration.md"], f"`[{path}]`" if path else "Top of the file")
        for name, field in model.model_fields.items():
            if not fields.models_in(field.annotation):
                _, default, _, allowed, meaning = table[name]
                assert meaning, f"{path}.{name}: no text under the field"
                assert default or name in ("sweep", "axes")
                assert allowed or name in ("sweep", "axes")
                keys.append(name)
    # Two of them are tables of lists, which are empty.
    assert (
        len(keys) == sum(1 for line in config.Config().to_toml().splitlines() if " = " in line) + 2
    )


def test_limits_and_defaults_are_those_of_the_models(pages):
    link = rows(pages["configuration.md"], "`[link]`")
    assert link["span_km"][1:4] == ["`100`", "km", "above 0, up to 1,000"]
    assert link["modulation"][3] == '`"qpsk"`, `"16qam"`, `"64qam"`, `"gaussian"`'
    powers = rows(pages["configuration.md"], "`[evaluation]`")["launch_power_dbm"]
    assert powers[1:4] == ["`[-1, -0.5, 0, 0.5, 1]`", "dBm", "-30 .. 20"]


def test_every_model_of_figures_is_of_a_file_or_inside_one():
    models = {
        model
        for model in vars(schemas).values()
        if isinstance(model, type) and model.__module__ == schemas.__name__
    }
    assert models == {model for model, _ in metrics.FILES.values()} | set(metrics.tables().values())


def test_every_figure_is_on_the_page_with_its_meaning(pages):
    sections = {
        f"`{file}` of `{command}`": model for file, (model, command) in metrics.FILES.items()
    }
    for title, model in (sections | metrics.tables() | {"In every file": Metrics}).items():
        table = rows(pages["metrics.md"], title)
        for name, field in model.model_fields.items():
            inherited = model is not Metrics and name in Metrics.model_fields
            if not inherited and not field.exclude:
                assert table[name][3], f"{model.__name__}.{name}: no text under the field"


def test_docstrings_become_fields():
    text = """Do it.

    ``a``, ``b``: numbers |x|. ``c``: a text. Returns `Thing` of both. Raises `InputError` for
    others, `dbp.errors.ToolError` where none is there.

        code()
    """
    laid_out = python.laid_out(re.sub(r"^    ", "", text, flags=re.M).strip())
    assert laid_out.split("\n") == [
        *(
            "Do it.",
            "",
            r":param a: numbers \|x\|.",
            r":param b: numbers \|x\|.",
            ":param c: a text.",
        ),
        *(":returns: `Thing` of both.", ":raises InputError: for others"),
        *(":raises ToolError: where none is there.", "", "::", "", "    code()"),
    ]


def test_what_a_page_would_fetch_from_the_network_is_found():
    script, style = (
        '<script async src="https://cdn.x/y.js',
        '<link rel="stylesheet" href="//a/b.css',
    )
    page = f'{script}"></script>{style}"><img src="a.png"><a href="https://z">z</a>'
    assert offline.fetched(page) == [script, style]
