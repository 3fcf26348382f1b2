"""Metrics carry their provenance, are checked when they are written and when they are read."""

import json

import pytest
from pydantic import ValidationError

from dbp.errors import InputError
from dbp.records.provenance import (
    Stopwatch,
    package_versions,
    provenance,
    read_metrics,
    write_metrics,
)
from dbp.records.schemas import ProofMetrics, RtlMetrics

FIGURES = {
    "lanes": 4,
    "filters": "reconfigurable",
    "top": "chain",
    "pipeline": {},
    "steps": 33,
    "latency_cycles": 264,
    "modules": 35,
    "lines": 9000,
}


def origin(**changes):
    return (
        provenance(
            design_hash="d" * 64,
            config_hash=None,
            seed=3,
            versions=package_versions("numpy"),
            stopwatch=Stopwatch(),
        )
        | changes
    )


def test_metrics_carry_their_provenance(tmp_path):
    path = tmp_path / "metrics.json"
    written = write_metrics(path, RtlMetrics(**FIGURES, **origin()))
    content = json.loads(path.read_text())
    assert content == written.content()
    assert list(content) == [
        *FIGURES, "design_hash", "config_hash", "seed", "versions", "wall_time_s"
    ]  # fmt: skip
    assert content | FIGURES == content
    assert {"dbp", "python", "numpy"} == set(content["versions"])
    assert read_metrics(path, RtlMetrics) == written


def test_figures_of_a_stage_that_do_not_fit_cannot_be_written():
    for changes in ({"lanes": None}, {"lanes": "four"}, {"steps": float("nan")}):
        with pytest.raises(ValidationError):
            RtlMetrics(**(FIGURES | changes), **origin())
    with pytest.raises(ValidationError):
        RtlMetrics(**FIGURES, **origin(wall_time_s=float("inf")))


def test_a_field_that_was_not_given_is_not_written(tmp_path):
    class WithDefault(RtlMetrics):
        note: str = "older files have none"

    assert "note" not in WithDefault(**FIGURES, **origin()).content()
    assert list(WithDefault(**FIGURES, note="new", **origin()).content())[len(FIGURES)] == "note"


def test_missing_metrics_are_none_and_wrong_ones_name_their_field(tmp_path):
    path = tmp_path / "metrics.json"
    assert read_metrics(path, RtlMetrics) is None
    write_metrics(path, RtlMetrics(**FIGURES, **origin()))
    with pytest.raises(InputError, match="modules: Input should be a valid array: run that stage"):
        read_metrics(path, ProofMetrics)
    path.write_text("{")
    with pytest.raises(InputError, match="the file: Invalid JSON"):
        read_metrics(path, RtlMetrics)


def test_a_key_that_is_no_field_is_not_written(tmp_path):
    metrics = RtlMetrics(**FIGURES, **origin(), lane=4)
    with pytest.raises(ValueError, match=r"RtlMetrics: no fields lane$"):
        write_metrics(tmp_path / "metrics.json", metrics)
    assert not list(tmp_path.iterdir())


def test_a_result_is_one_line_and_a_table_in_a_notebook():
    metrics = RtlMetrics(**FIGURES, **origin())
    figures = "lanes=4, filters=reconfigurable, top=chain, steps=33, latency_cycles=264, modules=35"
    assert repr(metrics) == str(metrics) == f"RtlMetrics({figures}, lines=9000)"
    assert "<th>latency_cycles</th><td>264</td>" in metrics._repr_html_()
