"""The page on the files of figures, from their models."""

from __future__ import annotations

import re

from pydantic import BaseModel

from dbp.records import schemas
from dbp.records.provenance import Metrics
from reference.fields import cell, markdown, meanings, models_in, summary, type_text, unit

# The model of each file.
FILES: dict[str, tuple[type[Metrics], str]] = {
    "metrics.json": (schemas.BerMetrics, "dbp ber"),
    "train/metrics.json": (schemas.TrainMetrics, "dbp train"),
    "rtl/metrics.json": (schemas.RtlMetrics, "dbp rtl"),
    "FOLDER/metrics.json": (schemas.HandoffMetrics, "dbp rtl --handoff FOLDER"),
    "sim/metrics.json": (schemas.SimMetrics, "dbp sim"),
    "proof/metrics.json": (schemas.ProofMetrics, "dbp prove"),
    "synth/KIT/metrics.json": (schemas.SynthMetrics, "dbp synth"),
    "synth/KIT/proof.json": (schemas.NetlistProofMetrics, "dbp prove --pdk KIT"),
    "signoff/NAME/metrics.json": (schemas.SignoffMetrics, "dbp signoff"),
    "comparison.json": (schemas.ComparisonMetrics, "dbp compare"),
    "explore.json": (schemas.ExploreMetrics, "dbp explore"),
    "DIR/metrics.json": (schemas.PowerMetrics, "dbp power --out DIR"),
}

HEAD = """# Files of figures

Every stage writes its figures as JSON into the folder of the run. The keys below are all that a
stage writes; other tools may rely on them. "left out" says that a key may be missing, `null` that
there is no such figure.
"""


def page() -> str:
    """Return the page: a section for each file, then one for each table inside."""
    inner = tables()
    parts = [HEAD, "\n## In every file\n\n", _fields(Metrics, Metrics.model_fields, inner)]
    for file, (model, command) in FILES.items():
        own = {k: f for k, f in model.model_fields.items() if k not in Metrics.model_fields}
        title = f"\n## `{file}` of `{command}`\n\n{summary(model)}\n\n"
        parts += [title, _fields(model, own, inner)]
    parts.append("\n## Tables inside\n")
    for name, model in inner.items():
        parts += [f"\n### {name}\n\n{summary(model)}\n\n"]
        parts += [_fields(model, model.model_fields, inner)]
    return "".join(parts)


def tables() -> dict[str, type[BaseModel]]:
    """Return the models inside those of the files, by the titles of their sections."""
    found: dict[str, type[BaseModel]] = {}
    waiting = [model for model, _ in FILES.values()]
    while waiting:
        outer = waiting.pop(0)
        outer.model_rebuild()  # some name models that stand below them
        for field in outer.model_fields.values():
            for model in models_in(field.annotation):
                if title(model) not in found:
                    found[title(model)] = model
                    waiting.append(model)
    return found


def title(model: type) -> str:
    """Return the name of a model in words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__).capitalize()


def _fields(model: type[BaseModel], fields, inner) -> str:
    texts = meanings(model)
    rows = []
    for name, field in fields.items():
        if field.exclude:
            continue
        kind = type_text(field.annotation, _link)
        if not field.is_required():
            kind += "; left out"
        rows.append(
            f"| `{name}` | {cell(kind)} | {unit(name)} | {cell(markdown(texts.get(name, '')))} |\n"
        )
    head = "| key | type | unit | meaning |\n| --- | --- | --- | --- |\n"
    return f":::{{rst-class}} fields\n:::\n\n{head}{''.join(rows)}"


def _link(model: type) -> str:
    return f"[{title(model).lower()}](#{title(model).lower().replace(' ', '-')})"
