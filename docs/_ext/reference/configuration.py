"""The page on configurations, from their models."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from dbp.config import Config, presets
from reference.fields import cell, default, limits, markdown, meanings, models_in, summary, unit

HEAD = """# Configuration

A configuration is a TOML file, or one of the presets: {presets}. A key that is missing takes its
default, which is the paper's; a key that is unknown is refused. `RUN/config.toml` holds all values
of a run. In Python, `dbp.Link` takes the keys of `[link]`, `dbp.learn` those of `[learned]`,
`[datapath]` and `[training]`.

```toml
seed = 2

[link]
spans = 16
impairments = {{receiver_linewidth_khz = 100}}

[learned]
taps = 13
coefficient_bits = 6

[sweep]
launch_power_dbm = [-1, 0, 1]
```

Limits are included unless it says "above" or "below"; further limits tie several keys together.
"""


def tables(
    model: type[BaseModel] = Config, path: str = ""
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each table's path and model, the root first."""
    yield path, model
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            yield from tables(inner, f"{path}.{name}" if path else name)


def page() -> str:
    """Return the page, with a section for each table."""
    names = ", ".join(f"`{name}`" for name in presets())
    return HEAD.format(presets=names) + "".join(
        f"\n{_section(path, model)}" for path, model in tables()
    )


def anchor(path: str, name: str) -> str:
    """Return the anchor of a key, such as ``link-span_km``."""
    return f"{path}.{name}".strip(".").replace(".", "-")


def _section(path: str, model: type[BaseModel]) -> str:
    title = f"## `[{path}]`" if path else "## Top of the file"
    texts = meanings(model)
    rows = [
        f"| [`{name}`]{{#{anchor(path, name)}}} | {default(field)} | {unit(name)} | "
        f"{cell(limits(field))} | {cell(markdown(texts.get(name, '')))} |\n"
        for name, field in model.model_fields.items()
        if not models_in(field.annotation)
    ]
    head = "| key | default | unit | allowed | meaning |\n| --- | --- | --- | --- | --- |\n"
    return f"{title}\n\n{summary(model)}\n\n:::{{rst-class}} fields\n:::\n\n{head}{''.join(rows)}"
