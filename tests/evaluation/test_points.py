"""Points as a sequence: how they are shown, drawn, written and read back."""

import csv
import json

import matplotlib
import pytest
from matplotlib.figure import Figure

from dbp.evaluation import plot
from dbp.evaluation.measures import Measurement
from dbp.evaluation.points import Points
from dbp.records.schemas import Point

FIGURES = {
    "bits": 1000, "errors": 10, "ber": 0.01, "ber_low": 0.005, "ber_high": 0.02, "ser": 0.03,
    "snr_db": 12.345, "evm_percent": 20.0, "q_db": None, "gmi_bits": 3.5,
}  # fmt: skip


def make(design="a", power=0.0, **changes):
    fields = {"design": design, "arithmetic": "fixed", "launch_power_dbm": power, **FIGURES}
    return Point(**(fields | changes))


POINTS = Points([make(), make(power=1.0, ber=0.007), make("b<c>", ber=0.008), make("b<c>", 1.0)])


def test_points_are_an_immutable_sequence():
    assert len(POINTS) == 4 and POINTS[1].launch_power_dbm == 1 and POINTS[-1].design == "b<c>"
    assert isinstance(POINTS[:2], Points) and POINTS[:2] == Points(list(POINTS)[:2])
    assert POINTS.index(POINTS[2]) == 2 and POINTS[3] in POINTS
    assert hash(POINTS) == hash(Points(POINTS)) and list(POINTS) != POINTS
    with pytest.raises(TypeError):
        POINTS[0] = POINTS[1]


def test_the_best_point_of_each_design_is_that_of_least_ber():
    best = POINTS.best()
    assert list(best) == [("a", "fixed"), ("b<c>", "fixed")]
    assert best["a", "fixed"].launch_power_dbm == 1
    assert best["b<c>", "fixed"].launch_power_dbm == 0
    # Where no point has an error, that of the highest effective SNR.
    snrs_db = (20.0, 24.0, 23.0)
    none = Points(make(power=float(k), ber=0.0, snr_db=snr_db) for k, snr_db in enumerate(snrs_db))
    assert none.best()["a", "fixed"].launch_power_dbm == 1


def test_a_line_says_what_a_person_wants_to_know():
    assert repr(POINTS) == "Points(4 of a, b<c>)" and repr(Points()) == "Points(none)"
    assert repr(make(spans=4)) == (
        "Point('a', fixed, +0 dBm, spans 4: BER 1.0e-02 (5.0e-03 .. 2.0e-02), SNR 12.35 dB)"
    )
    measured = Measurement(**FIGURES | {"ber": 2.44e-4, "ber_low": 1.1e-4, "ber_high": 4.8e-4})
    assert repr(measured) == ("BER 2.4e-04 (1.1e-04 .. 4.8e-04), SNR 12.35 dB, GMI 3.50 bits")
    page = POINTS._repr_html_()
    assert page.count("<tr>") == 5 and "b&lt;c&gt;" in page and "12.35" in page


def test_a_file_has_the_swept_keys_of_the_link_first(tmp_path):
    points = Points([make(spans=n, modulation="qpsk", design_hash="d" * 64) for n in (2, 4)])
    assert points.link_keys() == ("spans", "modulation")
    points.to_csv(tmp_path / "ber.csv")
    with (tmp_path / "ber.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = ["spans", "modulation", "design", "arithmetic", "launch_power_dbm", *FIGURES]
    assert list(rows[0]) == [*expected, "design_hash"]
    assert [row["spans"] for row in rows] == ["2", "4"] and rows[0]["q_db"] == ""
    text = json.dumps(points[0].model_dump(mode="json", exclude_unset=True))
    assert Point.model_validate_json(text) == points[0]
    assert list(json.loads(text)) == [*expected, "design_hash"]


def test_axes_are_taken_and_returned():
    backend = matplotlib.get_backend()
    axes = POINTS.plot()
    assert axes.get_yscale() == "log" and axes.get_xlabel() == "launch power (dBm)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "a, fixed",
        "b<c>, fixed",
    ]
    mine = Figure().subplots()
    assert POINTS.plot(mine) is mine and len(mine.containers) == 2
    assert plot.plot_snr(POINTS, mine) is mine
    assert matplotlib.get_backend() == backend


def test_other_abscissas_and_combinations_are_curves_of_their_own():
    points = [make(spans=n, modulation=m) for n in (4, 2) for m in ("qpsk", "16qam")]
    axes = plot.plot_ber(points)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert axes.get_xlabel() == "spans" and labels == ["a, fixed, qpsk", "a, fixed, 16qam"]
    assert list(axes.containers[0].lines[0].get_xdata()) == [2, 4]
