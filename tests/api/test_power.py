"""`dbp.load_power`: instances added up and drawn; files that do not fit."""

import gzip

import numpy as np
import pytest

import dbp

HEADER = "instance,cell,group,switching_w,internal_w,leakage_w,total_w"
ROWS = (
    "u1,NAND2_X1,combinational,1e-6,2e-6,1e-9,3.001e-6",
    "u2,DFF_X1,sequential,4e-6,8e-6,2e-9,12.002e-6",
    "u3,NAND2_X1,combinational,3e-6,1e-6,1e-9,4.001e-6",
)


@pytest.fixture
def power(tmp_path):
    (tmp_path / "power.csv.gz").write_bytes(gzip.compress("\n".join((HEADER, *ROWS)).encode()))
    return dbp.load_power(tmp_path)


def test_instances_add_up_by_cell_group_name_or_a_function(power):
    assert len(power) == 3 and power.total_w.sum() == pytest.approx(19.004e-6)
    by_cell = power.sums()
    assert list(by_cell) == ["DFF_X1", "NAND2_X1"]
    assert by_cell["NAND2_X1"].switching == pytest.approx(4e-6)
    assert by_cell["NAND2_X1"].total == pytest.approx(7.002e-6)
    assert list(power.sums("instance")) == ["u2", "u3", "u1"]
    assert power.sums("group")["sequential"].leakage == pytest.approx(2e-9)
    halves = power.sums(lambda instance, cell: "first" if instance == "u1" else "others")
    assert halves["first"].total == pytest.approx(3.001e-6)


def test_bars_are_as_long_as_the_watts_and_the_last_takes_the_rest(power):
    ax = power.plot(by="instance", most=2)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["u2", "all other (2)"]
    ends = [max(bar.get_x() + bar.get_width() for bar in bars) for bars in ax.containers]
    assert max(ends) == pytest.approx(12.002e-3)
    lengths = np.sum([[bar.get_width() for bar in bars] for bars in ax.containers], axis=0)
    assert lengths == pytest.approx([12.002e-3, 7.002e-3])
    in_uw = power.plot(by="instance", unit="uW")
    assert in_uw.get_xlabel() == "power (uW)"
    assert in_uw.containers[0][0].get_width() == pytest.approx(4)
    assert power.plot(ax) is ax
    assert "12.002" not in repr(power) and "3 instances, 0.019 mW" in repr(power)
    assert "<td>0.007002</td>" in power._repr_html_()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must begin with the line instance,cell"),
        (HEADER, "no instance: must have a line for each"),
        (f"{HEADER}\nu1,X,clock,1,2,3", "line 2: 'u1,X,clock,1,2,3': must be instance,cell"),
        (f"{HEADER}\nu1,X,clock,1,2,3,much", "line 2: .*much'"),
        (f"{HEADER}\n{ROWS[0]}\nu1,X,clock,1,2,nan,3", "line 3: "),
    ],
)
def test_a_file_that_does_not_fit_is_named(text, complaint, tmp_path):
    file = tmp_path / "power.csv"
    file.write_text(text)
    with pytest.raises(dbp.InputError, match=complaint) as caught:
        dbp.load_power(file)
    assert str(caught.value).startswith(str(file))


def test_what_does_not_fit_is_one_line(power, tmp_path):
    for call, complaint in (
        (lambda: dbp.load_power(tmp_path / "nowhere"), "nowhere: cannot be read"),
        (lambda: power.sums("block"), "by = 'block': must be instance, cell, group, or a function"),
        (lambda: power.sums(lambda *_: 1), "by: returns 1: must return a text"),
        (lambda: dbp.liberty_files("mine"), "pdk = 'mine': must be one of nangate45"),
        (lambda: power.plot(unit="kW"), "unit = 'kW': must be one of W, mW"),
        (lambda: power.plot(most=0), "most = 0: must be in 1"),
    ):
        with pytest.raises(dbp.InputError, match=complaint):
            call()


def test_the_liberty_file_of_the_shipped_kit_is_there():
    (file,) = dbp.liberty_files("predictive28")
    assert "library (predictive28)" in file.read_text()
