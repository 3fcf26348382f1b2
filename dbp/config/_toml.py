"""Configurations as TOML: read from files and shipped presets, written beside a design."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from dbp.config._checks import checked
from dbp.config._models import Config
from dbp.errors import InputError, shown
from dbp.support.files import is_file, read_text
from dbp.support.text import did_you_mean


def presets() -> dict[str, str]:
    """Names and TOML texts of the shipped presets."""
    folder = resources.files("dbp.config") / "presets"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return {f.name.removesuffix(".toml"): f.read_text() for f in files if f.name.endswith(".toml")}


def load(name_or_path: str) -> Config:
    """Read a TOML file, or a shipped preset by its name.

    Raises `InputError` that names every wrong key, its value and what is allowed.
    """
    shipped = presets()
    path = Path(name_or_path)
    if name_or_path in shipped:
        text = shipped[name_or_path]
    elif is_file(path):
        text = read_text(path)
    else:
        raise InputError(
            f"configuration {shown(name_or_path)}: neither a file nor a preset; "
            f"the presets are {', '.join(shipped)}{did_you_mean(name_or_path, shipped)}"
        )
    try:
        return parse(text)
    except InputError as error:
        raise InputError(f"{name_or_path}: {error}") from None


def parse(text: str) -> Config:
    """Check the text of a TOML configuration; `InputError` as in `load`."""
    try:
        content = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not TOML: {error}") from None
    return checked(content)


def to_toml(config: Config) -> str:
    """All values, defaults included, as the text of a configuration file."""
    return "\n".join(_lines("", config.model_dump(mode="json"))) + "\n"


def _lines(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    # A key after the head of a table would belong to that table: the keys of this one come first.
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    yield from (f"{_key(k)} = {_value(v)}" for k, v in table.items() if k not in inner)
    for key, value in inner.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        yield from ("", f"[{path}]", *_lines(path, value))


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # Numbers, texts and truth values are written alike in JSON and TOML, but for this
    # one character and escaped pairs of surrogates.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
