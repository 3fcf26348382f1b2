"""What the fields of a model mean, in which unit, of which type, and within which limits.

The meaning is the text under a field in the source; the unit is the end of its name.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

# By the end of a name; the first that fits counts.
UNITS = {
    "_ps_per_nm_km": "ps/(nm km)",
    "_db_per_km": "dB/km",
    "_per_w_km": "1/(W km)",
    "_f_per_um": "F/um",
    "_pj_per_bit": "pJ/bit",
    "_pj_per_sample": "pJ/sample",
    "_bits_per_symbol": "bits per symbol",
    "_clocks": "clocks",
    "_cycles": "clocks",
    "_dbm": "dBm",
    "_db": "dB",
    "_db_baseline": "dB",
    "_db_float": "dB",
    "_db_quantized": "dB",
    "_28nm_w": "W",
    "_28nm_mm2": "mm2",
    "_estimate_w": "W",
    "_uw": "uW",
    "_w": "W",
    "_um2": "um2",
    "_mm2": "mm2",
    "_um": "um",
    "_km": "km",
    "_nm": "nm",
    "_ns": "ns",
    "_s": "s",
    "_seconds": "s",
    "_v": "V",
    "_gbd": "GBd",
    "_ghz": "GHz",
    "_mhz": "MHz",
    "_khz": "kHz",
    "_deg": "degrees",
    "_rad": "rad",
    "_percent": "%",
    "_permille": "permille",
    "_rms": "rms",
    "_words": "words",
    "_symbols": "symbols",
    "_samples": "samples",
    "_bits": "bits",
}
TYPES = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "value"}


def unit(name: str) -> str:
    """Return the unit of a field by its name, empty where it has none."""
    return next((UNITS[end] for end in UNITS if f"_{name}".endswith(end)), "")


def meanings(model: type) -> dict[str, str]:
    """Return the text under each field of a class and of the classes that it is made of."""
    texts: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if part.__module__.split(".")[0] == "dbp":
            texts |= _own_meanings(part)
    return texts


@functools.cache
def _own_meanings(model: type) -> Mapping[str, str]:
    file = sys.modules[model.__module__].__file__
    tree = ast.parse(Path(file).read_text())
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == model.__name__)
    texts = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


def markdown(text: str) -> str:
    """Turn the markup of our docstrings into Markdown."""
    return text.replace("``", "`")


def summary(thing: object) -> str:
    """Return the docstring of a class or function as Markdown."""
    return markdown(inspect.getdoc(thing) or "")


def cell(text: str) -> str:
    """Return a text that stands in one cell of a Markdown table."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def default(field: FieldInfo) -> str:
    """Return the default as it stands in a file; empty where there is none to show."""
    value = field.get_default(call_default_factory=True)
    if field.is_required() or value is PydanticUndefined or isinstance(value, BaseModel | dict):
        return ""
    return code(value)


def code(value: object) -> str:
    """Return a value as TOML and JSON write it, as code."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple):
        return "`[" + ", ".join(code(each).strip("`") for each in value) + "]`"
    return f"`{value:g}`" if isinstance(value, float) and value < 1e6 else f"`{value}`"


def limits(field: FieldInfo) -> str:
    """Return what is allowed beyond the type, such as "1 .. 1000"."""
    annotation, metadata = field.annotation, list(field.metadata)
    inner = next((a for a in get_args(annotation) if get_origin(a) is Annotated), None)
    if get_origin(annotation) is tuple and inner:
        _, *found = get_args(inner)
        metadata += [part for info in found for part in getattr(info, "metadata", [info])]
    low, high, rest = "", "", []
    for limit in metadata:
        if isinstance(limit, annotated_types.Ge):
            low = _short(limit.ge)
        elif isinstance(limit, annotated_types.Gt):
            low = f"above {_short(limit.gt)}"
        elif isinstance(limit, annotated_types.Le):
            high = _short(limit.le)
        elif isinstance(limit, annotated_types.Lt):
            high = f"{_short(limit.lt)} - 1" if annotation is int else f"below {_short(limit.lt)}"
        elif isinstance(limit, annotated_types.MultipleOf):
            rest.append(f"a multiple of {limit.multiple_of}")
    if field.examples:
        rest.append(f"such as {', '.join(code(example) for example in field.examples)}")
    if get_origin(annotation) is Literal:
        return ", ".join(code(value) for value in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    if "above" in low:
        between = f"{low}, up to {high}" if high else low
    else:
        between = f"{low} .. {high}" if high else low and f"at least {low}"
    return ", ".join(filter(None, (between, *rest)))


def _short(value: float) -> str:
    """Write a limit so that people see what it is: a power of two from a million on."""
    whole = int(value)
    if whole == value and whole >= 1 << 16 and whole & (whole - 1) == 0:
        return f"2^{whole.bit_length() - 1}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def type_text(annotation: Any, link: Callable[[type], str]) -> str:
    """Return the type of a value in words; ``link`` names a model."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0], link)
    if origin is Literal:
        return ", ".join(code(value) for value in arguments)
    if origin in (Union, types.UnionType):
        parts = [type_text(part, link) for part in arguments if part is not type(None)]
        if parts == ["integer", "number"]:
            parts = ["number"]
        return " or ".join([*parts, *["null"] * (type(None) in arguments)])
    if origin is tuple:
        inner = dict.fromkeys(type_text(part, link) for part in arguments if part is not ...)
        return f"list of {' and '.join(inner)}"
    if origin is dict:
        inner = type_text(arguments[1], link)
        return f"table by name of {inner.replace('table', 'tables', 1)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return link(annotation)
    return TYPES[annotation]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
