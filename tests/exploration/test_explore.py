"""`dbp explore` on a link of two spans: stopped and not, in threads, processes and on Dask."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from distributed import LocalCluster

from dbp import cli, config
from dbp.cli import _prices
from dbp.cli import explore as command
from dbp.datapath.design import Design
from dbp.evaluation import executors
from dbp.exploration import plot
from dbp.exploration.store import Store
from dbp.learning import training
from dbp.learning.float_filters import FloatFilters

TOML = """
seed = 3
[link]
spans = 2
span_km = 60.0
steps_per_span = 4
block_symbols = 256
noise_figure_db = 17.0
[baseline]
taps = 9
[learned]
taps = 9
rotation_offset_km = 12.0
[training]
launch_power_dbm = 2.0
symbols = 4096
validation_symbols = 2048
block_symbols = 128
curvature_symbols = 1024
start_iterations = 20
float_iterations = 2
signal_iterations = 1
tap_iterations = 2
[evaluation]
launch_power_dbm = [2.0]
min_errors = 50
max_bits = 70000
[hardware]
stimulus_symbols = 1024
[explore]
population = 3
generations = 2
survivors = 3
confirmed = 2
synthesized = 0
synthesis_lanes = [1, 2]
[explore.cheap]
symbols = 2048
validation_symbols = 1024
curvature_symbols = 1024
start_iterations = 10
float_iterations = 1
signal_iterations = 1
tap_iterations = 1
[explore.axes]
learned.taps = [7, 9]
learned.coefficient_bits = [4, 5, 6]
link.adc_samples_per_symbol = ["3/2", "2"]
"""


@contextlib.contextmanager
def in_threads(*where, **options):
    with ThreadPoolExecutor(2) as pool:
        yield pool, lambda: 2


@pytest.fixture
def quick(monkeypatch):
    """No worker processes: they take longer to begin than all there is to do."""
    monkeypatch.setattr(executors, "executor", in_threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search from beginning to end."""
    folder = tmp_path_factory.mktemp("explore")
    (folder / "small.toml").write_text(TOML)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "executor", in_threads)
        assert cli.main(["explore", str(folder / "small.toml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def points(run):
    content = json.loads((run / "explore.json").read_text())
    assert content["finished"]
    return content["points"]


def test_figure_table_and_designs_of_the_front_are_written(whole):
    found = points(whole)
    assert [each["stage"] for each in found] == ["confirmed"] * 2 + ["full"] + ["cheap"] * 3
    assert (whole / "explore.svg").read_text().count("<svg") == 1
    with (whole / "explore.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [each["name"] for each in found]
    assert {row["learned.taps"] for row in rows} <= {"7", "9"}
    front = [each for each in found if each["on_front"]]
    assert front and {each["name"] for each in front} == {
        folder.name for folder in (whole / "front").iterdir()
    }
    for each in front:
        design = Design.load(whole / "front" / each["name"] / "design.json")
        settings = config.load(str(whole / "front" / each["name"] / "config.toml"))
        assert design.hash == each["design_hash"]
        assert {
            "learned.taps": design.filters[0].taps,
            "learned.coefficient_bits": design.filters[0].coefficient_bits,
            "link.adc_samples_per_symbol": str(design.samples_per_symbol),
        } == each["values"]
        filters = FloatFilters.load(whole / "front" / each["name"] / "train" / "float.npz")
        # Whoever trains by that configuration gets the same.
        learned = training.train(settings)
        assert (learned.design.hash, learned.filters.hash) == (design.hash, filters.hash)
        assert learned.snr_db_quantized == each["snr_db"]


def test_points_that_others_dominate_are_not_on_the_front(whole):
    counted = [each for each in points(whole) if each["stage"] == "confirmed"]
    for each in counted:
        assert each["ber_low"] <= each["ber"] <= each["ber_high"]
        better = [
            other
            for other in counted
            if other is not each
            and other["ber"] <= each["ber"]
            and other["pj_per_bit"] <= each["pj_per_bit"]
        ]
        assert each["on_front"] == (not better)


def test_a_search_that_was_stopped_goes_on_to_the_same_front(
    whole, quick, monkeypatch, tmp_path, capsys
):
    (tmp_path / "small.toml").write_text(TOML)
    run = tmp_path / "out"
    line = ["explore", str(tmp_path / "small.toml"), "--out", str(run)]
    # What a search leaves that was killed in its second generation, with a file that is damaged.
    (run / "search").mkdir(parents=True)
    files = sorted((whole / "search").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    for file in files[: len(files) // 2]:
        shutil.copy(file, run / "search")
    damaged = run / "search" / files[3].name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    computed, add = [], Store.add

    def until_stopped(self, kind, key, body):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(kind)
        add(self, kind, key, body)

    monkeypatch.setattr(Store, "add", until_stopped)
    assert cli.main(line) == 130
    assert f"Kept in {run / 'search'}: the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(Store, "add", add)
    assert cli.main(line) == 0
    assert {file.name for file in (run / "search").iterdir()} == {file.name for file in files}
    assert points(run) == points(whole)


def test_a_search_in_which_nothing_could_be_learned_yet_is_drawn_without_a_warning():
    assert len(plot.figure([], "nothing").axes) == 2


def test_what_cannot_be_searched_is_told_before_anything_runs(tmp_path, capsys):
    for text, said in [
        (TOML.partition("[explore.axes]")[0], "explore.axes: must have an axis"),
        (TOML.replace("[hardware]", '[hardware]\npdk = "predictive28"'), "kit = 'predictive28'"),
        (TOML.replace("[link]", '[link]\nmodulation = "gaussian"'), "link.modulation"),
    ]:
        (tmp_path / "wrong.toml").write_text(text)
        line = ["explore", str(tmp_path / "wrong.toml"), "--out", str(tmp_path / "out")]
        assert cli.main(line) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_search_that_goes_on_on_a_dask_cluster_ends_with_the_same_front(whole, tmp_path):
    """Commands of their own, as from a shell: BLAS then has as many threads as in workers."""
    (tmp_path / "small.toml").write_text(TOML)

    def run(out, *options):
        line = ["explore", str(tmp_path / "small.toml"), "--out", str(tmp_path / out), *options]
        return subprocess.Popen([sys.executable, "-m", "dbp.cli", *line], start_new_session=True)

    # With one thread of BLAS, as `make test` has it, this process is as good as one from a shell.
    one = os.environ.get("OMP_NUM_THREADS") == "1"
    if not one:
        whole = tmp_path / "whole"
        assert run("whole").wait() == 0
    killed, kept = run("killed", "--workers", "1"), tmp_path / "killed" / "search"
    while not any(kept.glob("price-*")):
        assert killed.poll() is None
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {file.name for file in kept.iterdir()}
    with LocalCluster(
        n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        memory_limit=0, local_directory=str(tmp_path),
    ) as cluster:  # fmt: skip
        line = ["explore", str(tmp_path / "small.toml"), "--out", str(tmp_path / "killed")]
        again = "--cluster", cluster.scheduler_address
        assert (cli.main([*line, *again]) if one else run("killed", *again).wait()) == 0
    files = {file.name for file in (whole / "search").iterdir()}
    assert before < files == {file.name for file in kept.iterdir()}
    assert points(tmp_path / "killed") == points(whole)


@pytest.mark.slow
def test_a_point_is_confirmed_by_synthesis(quick, monkeypatch, tmp_path, capsys):
    # One candidate: how a search goes from generation to generation is for the tests above.
    text = TOML.partition("[explore.axes]")[0] + "[explore.axes]\nlearned.taps = [3, 5]\n"
    for key in ("generations", "survivors", "confirmed", "synthesized"):
        text = re.sub(rf"^{key} = .*", f"{key} = 1", text, flags=re.MULTILINE)
    text = text.replace("[hardware]", '[hardware]\npdk = "predictive28"')
    (tmp_path / "small.toml").write_text(text)
    # The model of watts does not know the kit that is shipped.
    known = _prices.price_list("nangate45", "hardwired")
    monkeypatch.setattr(command, "price_list", lambda pdk, filters: known)
    line = ["explore", str(tmp_path / "small.toml"), "--out", str(tmp_path / "out")]
    assert cli.main(line) == 0
    (point,) = [each for each in points(tmp_path / "out") if each.get("synthesized_power_w")]
    # 48 symbols of 4 bits a clock of 416.7 MHz.
    assert point["synthesized_pj_per_bit"] == pytest.approx(
        1e12 * point["synthesized_power_w"] / (48 * 4 * 416.7e6), rel=1e-9
    )
    assert "Predicted energy was" in capsys.readouterr().out
