"""The page on Python: the public names, and what they take and return, from their docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import is_dataclass

from pydantic import BaseModel

import dbp

# Public names that are none of these stand under the last title.
GROUPS = {
    "Links and designs": ("Link", "Design", "Config", "FloatFilters"),
    "Learning": ("learn", "LearnedDesign", "start_filters", "quantize"),
    "How good a receiver is": (
        *("measure", "detect", "evaluate", "Receiver", "Reference", "check_receiver"),
        *("load_waveform", "Recording", "evaluate_waveform", "equalize_waveform"),
    ),
    "Hardware": (
        *("prove", "simulate", "synthesize", "predict_watts"),
        *("load_power", "InstancePower", "liberty_files"),
    ),
    "Pictures": ("plot_constellation", "plot_filters", "plot_learning"),
    "Errors": ("DbpError", "InputError"),
    "More": (),
}
# What the public functions return, and the doors of the stages for who needs more than they offer.
RESULTS = (
    "dbp.link.transmission.Received",
    "dbp.evaluation.measures.Measurement",
    "dbp.evaluation.points.Points",
    "dbp.evaluation.on_waveform.Equalized",
    "dbp.synthesis.watt_model.Prediction",
    "dbp.records.schemas.Point",
)
STAGES = (
    "dbp.config.load",
    "dbp.rtl.emit",
    "dbp.rtl.target.Target",
    "dbp.rtl.ports.Ports",
    "dbp.synthesis.power.cost_netlist.cost_power",
)
HEAD = """
Python
======

``import dbp`` offers all that follows; ``dir(dbp)`` lists it. Arrays are numpy's. Wrong input
raises `dbp.InputError`, whose one line names the argument, its value and what is allowed. The keys
of `dbp.Link` and `dbp.learn` stand on the page on the :doc:`configuration`.

.. py:data:: dbp.__version__
   :type: str

   The version of the package.
"""
RETURNED = """
What they return
----------------

The figures of `dbp.prove`, `dbp.simulate` and `dbp.synthesize` are objects with the keys of
:doc:`metrics`.
"""
DOORS = """
Doors of the stages
-------------------

Functions behind the public ones. They may change from version to version.
"""


def page() -> str:
    """Return the page in reStructuredText, with a directive for each name."""
    grouped = {name for names in GROUPS.values() for name in names}
    rest = tuple(n for n in dbp.__all__ if n not in grouped and not n.startswith("__"))
    parts = [HEAD]
    for title, names in (GROUPS | {"More": rest}).items():
        if names:
            parts.append(f"\n{title}\n{'-' * len(title)}\n")
            parts += [directive(f"dbp.{name}") for name in names]
    parts += [RETURNED, *map(directive, RESULTS), DOORS, *map(directive, STAGES)]
    return "".join(parts)


def find(name: str) -> object:
    """Return the object of a dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def directive(name: str) -> str:
    """Return the directive that lays out an object's docstring and those of its members."""
    thing = find(name)
    if not inspect.isclass(thing):
        return f"\n.. autofunction:: {name}\n"
    if issubclass(thing, Exception):
        return f"\n.. autoexception:: {name}\n"
    lines = [f"\n.. autoclass:: {name}\n", "   :members:\n"]
    if is_dataclass(thing):
        lines.append("   :inherited-members:\n")
    if issubclass(thing, BaseModel):
        lines.append("   :exclude-members: model_config, model_post_init\n")
    return "".join(lines)


# ---- docstrings ----------------------------------------------------------------------------------

_ITEM = re.compile(r"(?:(?<=^)|(?<=[.;:)] ))((?:``\w+``(?:, | and )?)+): ")
_RAISES = re.compile(r"`(?:dbp\.errors\.)?(\w+Error)` (?=for|where|that|of|if|as)")
_RESULT = re.compile(r"(?:^|(?<=[.;] ))(?=Returns? |Raises |`\w+Error` (?:for|where|of|if|as) )")
_SPECIAL = re.compile(r"(?<!\\)([|*]|(?<=\w)_(?!\w))")


def laid_out(docstring: str) -> str:
    """Give a docstring of ours the markup for parameters, results, errors and code.

    "``name``: text." becomes a field, as do sentences that begin with "Returns" and "Raises" after
    the first paragraph; a paragraph that is indented becomes a block of code.
    """
    first, *others = re.split(r"\n\s*\n", docstring)
    parts = [_escaped(first)]
    code = False
    for paragraph in others:
        if paragraph.startswith("    "):
            if not code and not parts[-1].endswith("::"):
                parts.append("::")
            code = True
            parts.append(paragraph)
        else:
            code = False
            parts.append(_paragraph(" ".join(paragraph.split())))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """Escape outside of code what reStructuredText would take for markup."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text)
    return "".join(p if k % 2 else _SPECIAL.sub(r"\\\1", p) for k, p in enumerate(parts))


def _paragraph(text: str) -> str:
    items = list(_ITEM.finditer(text))
    start = items[0].start() if items else len(text)
    before, fields = _results(text[:start])
    for item, end in zip(items, _ends(items, text), strict=True):
        body, after = _results(text[item.end() : end].strip())
        # A field of its own for each: Sphinx would take the first of two for a type.
        fields += [f":param {name}: {_escaped(body)}" for name in re.findall(r"``(\w+)``", item[1])]
        fields += after
    return "\n\n".join(filter(None, (_escaped(before), "\n".join(fields))))


def _ends(matches: list[re.Match[str]], text: str) -> list[int]:
    """Return where the text of each match ends: where the next begins."""
    return [*(match.start() for match in matches[1:]), len(text)][: len(matches)]


def _results(text: str) -> tuple[str, list[str]]:
    """Split off the sentences on what is returned and raised, as fields."""
    fields = []
    before, *sentences = _RESULT.split(text)
    for sentence in sentences:
        if sentence.startswith("Return"):
            returned = re.sub(r"^Returns? ", "", sentence).strip()
            fields.append(f":returns: {_escaped(returned)}")
            continue
        errors = list(_RAISES.finditer(sentence))
        if not errors:
            fields.append(f":raises Error: {_escaped(sentence.removeprefix('Raises ').strip())}")
        for error, end in zip(errors, _ends(errors, sentence), strict=True):
            body = sentence[error.end() : end].strip(" ,").removesuffix(", and")
            fields.append(f":raises {error[1]}: {_escaped(body)}")
    return before.strip(), fields
