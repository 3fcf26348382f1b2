import csv
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers.training import SMALL, changed, train_and_be_killed

from dbp import config
from dbp.errors import InputError
from dbp.evaluation import counting, measures
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Reference
from dbp.learning import integer_rounding, training
from dbp.learning.checkpoint import State
from dbp.learning.data import Data
from dbp.learning.digit_rounding import design_digits
from dbp.learning.float_model import Model
from dbp.learning.quantized_model import QuantizedModel
from dbp.link import transmission
from dbp.support.files import read_npz, write_npz


@pytest.fixture(scope="module")
def learned():
    return training.train(SMALL)


def figures(result):
    return result.launch_power_dbm, result.snr_db_float, result.snr_db_quantized


def test_learning_beats_its_start_and_the_baseline(learned):
    assert learned.launch_power_dbm == SMALL.training.launch_power_dbm
    floats = [row.snr_db for row in learned.history if row.phase == "float"]
    taps = [row.snr_db for row in learned.history if row.phase == "taps"]
    assert learned.snr_db_float == floats[-1]
    assert learned.snr_db_quantized == max(taps)
    assert training.validated_snr_db(learned.design, SMALL) == learned.snr_db_quantized
    snr_db_baseline = training.validated_snr_db(training.baseline(SMALL)[0], SMALL)
    start = training.train(changed(float_iterations=0, signal_iterations=0, tap_iterations=1))
    assert learned.snr_db_float > start.snr_db_float + 1
    assert learned.snr_db_quantized > start.snr_db_quantized + 0.5
    assert learned.snr_db_quantized > snr_db_baseline + 5


def test_no_step_of_a_phase_of_descent_raises_the_loss(learned):
    for phase in ("float", "signals"):
        losses = [row.loss for row in learned.history if row.phase == phase]
        assert losses == sorted(losses, reverse=True)


def test_the_design_reaches_what_training_says_on_unseen_data(learned):
    """By golden, streaming, on seeds of evaluation: nothing of training is shared."""
    receivers = [
        FixedReceiver("fixed", learned.design),
        FloatReceiver("float", learned.filters),
    ]
    points = counting.evaluate(
        receivers, SMALL.link, [2.0], min_errors=10**6, max_bits=200_000, seed=1
    )
    for point, key in zip(points, ("snr_db_quantized", "snr_db_float"), strict=True):
        assert point.snr_db == pytest.approx(getattr(learned, key), abs=0.25)


@pytest.mark.slow
def test_same_seed_same_result(learned):
    again = training.train(SMALL)
    assert again.design == learned.design
    assert figures(again) == figures(learned)
    assert again.history == learned.history
    other = training.train(SMALL.model_copy(update={"seed": 2}))
    assert other.design.hash != learned.design.hash


@pytest.mark.slow
def test_torchs_operations_learn_the_same(monkeypatch):
    """What runs on other devices, here on the CPU."""
    # Noisier: of a loss of 1e-4, float32 leaves no four digits.
    link_ = SMALL.link.model_copy(update={"noise_figure_db": 18.0})
    quick = changed(float_iterations=2, signal_iterations=1, tap_iterations=1)
    quick = quick.model_copy(update={"link": link_})
    compiled = training.train(quick)
    calls = []
    for model in (Model, QuantizedModel):

        def plain(self, x, power, plain=model.plain):
            calls.append(type(self))
            return plain(self, x, power)

        monkeypatch.setattr(model, "forward", plain)
    other = training.train(quick)
    assert set(calls) == {Model, QuantizedModel}
    for row, same in zip(compiled.history[:2], other.history[:2], strict=True):
        assert row.loss == pytest.approx(same.loss, rel=1e-4)
        assert row.snr_db == pytest.approx(same.snr_db, abs=1e-3)
    # In some directions taps hardly matter, and differences grow.
    for taps, same in zip(compiled.filters.taps, other.filters.taps, strict=True):
        np.testing.assert_allclose(taps, same, rtol=0, atol=1e-3)
    np.testing.assert_allclose(
        compiled.filters.kerr_rad_per_mw, other.filters.kerr_rad_per_mw, rtol=1e-3
    )
    # Where a difference of 1e-7 rounds another way, the search for taps goes on from there.
    assert figures(compiled) == pytest.approx(figures(other), abs=0.1)


def test_history_is_written(learned, tmp_path):
    training.write_history(tmp_path / "history.csv", learned.history)
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["iteration", "phase", "loss", "snr_db"]
    assert [row["phase"] for row in rows] == ["float"] * 4 + ["signals"] * 2 + ["taps"] * 3
    assert [int(row["iteration"]) for row in rows] == list(range(1, 10))
    assert [float(row["snr_db"]) for row in rows] == [row.snr_db for row in learned.history]


def assert_same(result, other):
    """To the last bit."""
    assert result.design == other.design
    assert figures(result) == figures(other)
    assert result.history == other.history
    for name, array in result.filters.arrays().items():
        assert np.array_equal(array, other.filters.arrays()[name])


# Within and at the end of every phase.
@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4, 5, 6, 7, 9])
def test_a_killed_run_goes_on_to_the_same_numbers(learned, after, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint.npz"
    train_and_be_killed(SMALL, checkpoint, after, monkeypatch)
    steps = []
    add = State.add
    monkeypatch.setattr(State, "add", lambda *given: steps.append(given[1]) or add(*given))
    assert_same(training.train(SMALL, checkpoint), learned)
    assert len(steps) == 9 - after


@pytest.mark.slow
def test_a_checkpoint_of_another_configuration_is_not_used(learned, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint.npz"
    train_and_be_killed(changed(launch_power_dbm=3.0), checkpoint, 7, monkeypatch)
    assert_same(training.train(SMALL, checkpoint), learned)


@pytest.mark.parametrize("sources", ["another", None])
def test_a_checkpoint_of_other_sources_is_not_used(checkpoint, sources, tmp_path):
    assert len(State.load(checkpoint, SMALL).history) == 7
    arrays = {**read_npz(checkpoint), "sources": sources}
    path = tmp_path / "checkpoint.npz"
    write_npz(path, **{name: array for name, array in arrays.items() if array is not None})
    assert State.load(path, SMALL) == State(SMALL.hash)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.npz"
    with pytest.MonkeyPatch.context() as patch:
        train_and_be_killed(SMALL, path, 7, patch)
    return path


def test_a_checkpoint_holds_no_pickle(checkpoint):
    with zipfile.ZipFile(checkpoint) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())
    with np.load(checkpoint, allow_pickle=False) as arrays:
        assert {"config_hash", "parameters", "best", "filter_0"} <= set(arrays)
        assert not any(array.dtype.hasobject for array in arrays.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"damping": None}, "damping"),
        ({"damping": -1.0}, "damping = -1.0: must be greater than 0"),
        ({"parameters": np.ones(7)}, "parameters: must be 54 finite float64"),
        ({"parameters": np.full(54, np.nan)}, "parameters: must be 54 finite float64"),
        ({"best": np.ones(54, np.float32)}, "best: must be 54 finite float64"),
        ({"loss": np.ones(3)}, "argument"),
        ({"loss": np.float64(1)}, "not iterable"),
        ({"filter_0": np.ones(11, complex)}, "filters: must have 54 half taps"),
        ({"filter_1": np.ones(4, complex)}, "filter_1: 4 taps"),
        ({"more": np.ones(4)}, "must be filter_0"),
    ],
)
def test_a_damaged_checkpoint_is_one_clear_line(checkpoint, change, message, tmp_path):
    arrays = {**read_npz(checkpoint), **change}
    path = tmp_path / "checkpoint.npz"
    write_npz(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=message) as caught:
        training.train(SMALL, path)
    assert str(caught.value).startswith(f"{path}: not a checkpoint: ")
    assert "delete it to start from the beginning" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_wrong_bytes_is_told(checkpoint, tmp_path):
    content, path = checkpoint.read_bytes(), tmp_path / "checkpoint.npz"
    place = content.index(b"parameters.npy") + 100
    for damaged in (
        content[:-30],
        b"",
        content[:place] + bytes(20) + content[place + 20 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a readable"):
            training.train(SMALL, path)


@pytest.mark.slow
def test_isit2018_learns_in_small():
    settings = config.load("isit2018")
    link_ = settings.link.model_copy(update={"spans": 12})
    few = {"symbols": 8192, "validation_symbols": 8192, "curvature_symbols": 2048}
    steps = {"start_iterations": 20, "float_iterations": 4, "tap_iterations": 1}
    quick = settings.training.model_copy(update=few | steps)
    settings = settings.model_copy(update={"link": link_, "training": quick})
    learned = training.train(settings)
    received = transmission.simulate(link_, 0.0, 16, seed=1, purpose="evaluate")

    def fresh_snr_db(receiver):
        symbols = measures.matched_filter(receiver(received.waveform, 0.0), link_.roll_off)
        return measures.effective_snr_db(received.symbols, symbols)

    ideal = fresh_snr_db(Reference("dbp1", link_))
    start = fresh_snr_db(FloatReceiver("start", training.baseline(settings)[1]))
    assert start < ideal - 0.5
    assert fresh_snr_db(FloatReceiver("float", learned.filters)) > ideal
    assert fresh_snr_db(FixedReceiver("fixed", learned.design)) > ideal - 0.5


def test_baseline_is_the_least_squares_design():
    design, floats = training.baseline(SMALL)
    assert [f.taps for f in design.filters] == [9, 9, 9, 9, 1]
    assert design.filters[0] == design.filters[3]
    assert design.name == "baseline-c9-s9"
    scale = 2.0 ** design.filters[0].shift
    np.testing.assert_allclose(
        np.array(design.filters[0].half_taps_i) / scale, floats.taps[0].real[:5], atol=0.5 / scale
    )


def test_rounding_together_beats_rounding_alone():
    rng = np.random.default_rng(0)
    # Many directions that matter and as many that hardly do, as filters of a chain have them.
    basis, _ = np.linalg.qr(rng.normal(size=(120, 120)))
    matrix = (basis * np.logspace(2, -6, 120)) @ basis.T
    taps, steps = rng.uniform(-0.4, 0.4, 120), np.full(120, 2.0**-6)
    low, high = np.full(120, -32.0), np.full(120, 31.0)

    def cost(x):
        return (x - taps) @ matrix @ (x - taps)

    alone = np.floor(taps / steps + 0.5) * steps
    together = integer_rounding.round_together(taps, matrix, steps, (low, high))
    codes = together / steps
    assert np.array_equal(codes, np.rint(codes))
    assert codes.min() >= -32 and codes.max() <= 31
    assert cost(together) < cost(alone) / 10


@pytest.mark.slow
def test_data_come_from_purposes_that_evaluation_does_not_share(monkeypatch):
    purposes = set()
    simulate = transmission.simulate

    def spy(*args, **kwargs):
        purposes.add(kwargs["purpose"])
        return simulate(*args, **kwargs)

    monkeypatch.setattr(transmission, "simulate", spy)
    training.train(changed(float_iterations=1, signal_iterations=0, tap_iterations=1))
    assert purposes == {"train", "validate"}


def test_learning_hears_still_lasers_and_the_converter():
    def waveform(**impairments):
        settings = changed(symbols=1024, validation_symbols=1024)
        link_ = config.link_with(settings.link, impairments)
        settings = settings.model_copy(update={"link": link_})
        with ThreadPoolExecutor(1) as pool:
            return Data(settings, torch.device("cpu"), pool).train.waveform

    ideal, converter = waveform(), waveform(adc_bits=5)
    lasers = {"receiver_linewidth_khz": 100.0, "frequency_offset_mhz": 500.0}
    np.testing.assert_array_equal(waveform(**lasers, transmitter_linewidth_khz=1.0), ideal)
    np.testing.assert_array_equal(waveform(**lasers, adc_bits=5), converter)
    assert not np.array_equal(ideal, converter)


def test_a_price_of_digits_leaves_fewer_and_hardly_less_snr(learned):
    priced = training.train(changed(digit_price_mdb=5.0, tap_iterations=6))
    before, after = (design_digits(result.design) for result in (learned, priced))
    assert after < 0.85 * before
    assert priced.snr_db_quantized > learned.snr_db_quantized - 5e-3 * (before - after)
    # Detection undoes the scale of the last filter, and it stays all the same.
    kept, last = (np.linalg.norm(priced.filters.taps[-1]), priced.design.filters[-1])
    half = np.hypot(last.half_taps_i, last.half_taps_q) * 2.0**-last.shift
    assert np.linalg.norm([*half[:-1], *half]) == pytest.approx(kept, rel=0.3)


def test_a_price_of_half_taps_leaves_some_of_them_zero(learned):
    def zeros(result):
        return sum(
            (i, q) == (0, 0)
            for filter_ in result.design.filters
            for i, q in zip(filter_.half_taps_i, filter_.half_taps_q, strict=True)
        )

    priced = training.train(changed(half_tap_price_mdb=600.0, tap_iterations=6))
    assert zeros(priced) > zeros(learned)
    cost_db = 0.6 * (zeros(priced) - zeros(learned))
    assert priced.snr_db_quantized > learned.snr_db_quantized - cost_db


@pytest.mark.slow
def test_few_bits_gain_from_filled_codes_and_a_wide_search():
    few = SMALL.learned.model_copy(update={"coefficient_bits": 3})
    found = []
    for better in (False, True):
        settings = changed(fill_codes=better, wide_search=better)
        result = training.train(settings.model_copy(update={"learned": few}))
        found.append((result.snr_db_quantized, result.snr_db_float))
    assert found[1][0] > found[0][0] + 0.3
    # In floating point nothing changes.
    assert found[1][1] == found[0][1]


def test_a_rounding_that_moves_nothing_is_damped_less(monkeypatch):
    dampings = []

    def unmoved(self, state, matrix, slope, formats, rounded):
        dampings.append(self.damping)
        return np.rint(self.objective.parameters[self._is_tap] / formats[0]).astype(int)

    monkeypatch.setattr(training._Learner, "_few_digits", unmoved)
    training.train(changed(digit_price_mdb=5.0, tap_iterations=4))
    assert dampings == [dampings[0] / training.EASIER**k for k in range(4)]


def test_a_budget_of_digits_is_kept(learned):
    budget = design_digits(learned.design) * 3 // 4
    result = training.train(changed(digit_budget=budget))
    assert design_digits(result.design) <= budget
