"""Learning on a recording: its state is found, its end is held out, and what does not fit is said.

Recordings are one long block of our own simulated link, with what receivers meet done to it.
"""

import dataclasses
import functools
import re
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
from helpers.learning import settings as of_rate
from helpers.waveforms import here, turned

import dbp
from dbp import config
from dbp.errors import InputError
from dbp.evaluation import recorded_examples, recorded_state
from dbp.evaluation.blind import acquisition
from dbp.learning import training
from dbp.learning.checkpoint import State
from dbp.learning.data import Data
from dbp.learning.quantized_model import QuantizedModel
from dbp.link import transmission
from dbp.support import untrusted_files
from dbp.waveforms.recording import Recording, read_recording

# Whole samples at 4/3 of them a symbol, too.
SYMBOLS = 16380
# Cycles a symbol, and by how much symbols are longer than stated.
FREQUENCY, DRIFT = 0.013, 2e-5


@functools.cache
def settings(dual=False, rate="2", **training_):
    """The tiny link of `helpers.learning`, with both polarisations if ``dual``."""
    base = of_rate(rate)
    link = config.link_with(base.link, {"dual_polarisation": dual})
    power_dbm = {"launch_power_dbm": 5.0 if dual else 2.0}
    few = base.training.model_copy(update=power_dbm | training_)
    return base.model_copy(update={"link": link, "training": few})


@functools.cache
def recording(dual=False, rate="2", seed=1):
    used = settings(dual, rate)
    link = config.link_with(used.link, {"block_symbols": SYMBOLS})
    power_dbm = used.training.launch_power_dbm
    received = transmission.simulate(
        link, power_dbm, 1, seed=seed, purpose="evaluate", progress=False
    )
    return Recording(
        received.waveform[0].astype(complex),
        link.adc_rate,
        1e9 * link.symbol_rate_gbd,
        link.roll_off,
        power_dbm,
        "16qam",
        received.symbols[0].astype(complex),
    )


def as_recorded(ideal, conjugated=False):
    """With a carrier, a clock, a phase, a start and a mixture of polarisations of its own."""
    rows = acquisition.shifted(np.atleast_2d(ideal.waveform), -FREQUENCY, 2.0)
    rows = acquisition.on_clock(rows, acquisition.Clock(0.0, -DRIFT)) * np.exp(1.3j)
    symbols = np.roll(ideal.symbols, 123, axis=-1)
    if len(rows) == 2:
        rows = turned(3) @ rows
    rows = rows[:, 1:]
    if conjugated:
        rows, symbols = rows.conj(), symbols.conj()
    waveform = rows if ideal.polarizations == 2 else rows[0]
    return dataclasses.replace(ideal, waveform=waveform, symbols=symbols)


def prepared(of, dual=False, rate="2", held_out=0.25, **training_):
    return recorded_examples.prepare(of, settings(dual, rate, **training_), held_out)


def learned(of, dual=False, rate="2", **training_):
    examples = prepared(of, dual, rate, **training_).examples
    return training.train(settings(dual, rate, **training_), examples=examples, progress=False)


def fresh_snr_db(design, dual=False, rate="2"):
    """Of a design on simulated blocks that nobody has learned on."""
    return training.validated_snr_db(design, settings(dual, rate).model_copy(update={"seed": 9}))


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["2", "4/3"])
def test_learning_on_a_recording_is_as_good_as_on_simulated_blocks(rate):
    simulated = training.train(settings(rate=rate), progress=False)
    on_recording = learned(recording(rate=rate), rate=rate)
    difference = fresh_snr_db(on_recording.design, rate=rate) - fresh_snr_db(
        simulated.design, rate=rate
    )
    assert difference > -0.1


@pytest.mark.slow
@pytest.mark.parametrize(("dual", "conjugated"), [(False, False), (False, True), (True, False)])
def test_what_a_receiver_meets_costs_nothing_of_what_is_learned(dual, conjugated):
    ideal = recording(dual)
    met = as_recorded(ideal, conjugated)
    states = prepared(met, dual).states
    for state in states:
        assert state.frequency == pytest.approx(FREQUENCY, abs=2e-4)
        assert state.drift == pytest.approx(DRIFT, abs=1e-6)
        assert state.conjugated == conjugated
    if not conjugated:
        on_ideal = learned(ideal, dual).snr_db_float
        assert learned(met, dual).snr_db_float == pytest.approx(on_ideal, abs=0.05)


def test_blocks_are_those_of_the_recording_where_nothing_is_to_be_found():
    """Of an ideal recording: its own samples and symbols, but for noise of what is found."""
    ideal, used = recording(), settings()
    examples = prepared(ideal).examples
    edge, block = examples.edge_symbols, used.training.block_symbols
    assert examples.train.waveform.shape == (used.training.symbols // block, 2 * (block + 2 * edge))
    first = SYMBOLS * 3 // 4
    for cut, start in ((examples.train, 0), (examples.validation, first)):
        for k in (0, len(cut.symbols) - 1):
            at = start + k * block
            waveform = ideal.waveform[2 * at :][: 2 * (block + 2 * edge)]
            assert likeness(cut.waveform[k], waveform) > 0.9999
            assert likeness(cut.symbols[k], ideal.symbols[at + edge :][:block]) > 0.99


def likeness(one, other):
    return abs(np.vdot(one, other)) ** 2 / (np.vdot(one, one).real * np.vdot(other, other).real)


@pytest.mark.slow
def test_the_turn_of_lasers_is_expected_and_not_learned():
    """A phase that wanders is in what is expected; a filter that knows it would be no filter."""
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.normal(0, np.sqrt(2e-5), 2 * SYMBOLS))
    ideal = recording()
    wandering = dataclasses.replace(ideal, waveform=ideal.waveform * np.exp(1j * walk))
    examples = prepared(wandering).examples
    still = learned(ideal)
    power_uw = training.launch_power_uw(settings().training.launch_power_dbm)
    with ThreadPoolExecutor(1) as pool:
        data = Data(settings(), torch.device("cpu"), pool, examples=examples)
        loss = data.objective(QuantizedModel(still.design), power_uw, data.validation).loss()
        # As if it had not been found.
        symbols = prepared(ideal).examples.validation.symbols
        cut = dataclasses.replace(examples.validation, symbols=symbols)
        lost = data.objective(QuantizedModel(still.design), power_uw, cut).loss()
    assert -10 * np.log10(loss) > still.snr_db_quantized - 0.7
    assert -10 * np.log10(lost) < still.snr_db_quantized - 3


# What is held out.


def test_parts_have_no_sample_in_common():
    ideal = recording()
    first, last = ideal.parts(0.25)
    assert np.array_equal(np.concatenate([first.waveform, last.waveform]), ideal.waveform)
    assert last.waveform.size == ideal.waveform.size // 4
    for share in (0.0, 1.0, True, "x", float("nan")):
        with pytest.raises(InputError, match=r"held_out = .*must be"):
            ideal.parts(share)


def changed(ideal, samples, seed=7):
    """A recording with noise added to some samples."""
    noise = np.random.default_rng(seed).normal(0, 0.02, (ideal.waveform.size, 2))
    waveform = ideal.waveform.copy()
    waveform[samples] += noise.view(complex)[samples, 0]
    return dataclasses.replace(ideal, waveform=waveform)


@pytest.mark.slow
def test_what_is_held_out_decides_nothing_but_which_state_is_the_best():
    quick = {"tap_iterations": 1}
    ideal = recording()
    first = ideal.parts(0.25)[0].waveform.size
    one, other = (learned(each, **quick) for each in (ideal, changed(ideal, slice(first, None))))
    assert other.snr_db_quantized < one.snr_db_quantized - 0.2
    assert [row.loss for row in one.history] == [row.loss for row in other.history]
    assert one.filters.hash == other.filters.hash
    assert one.design == other.design
    # The last sample before it is heard.
    third = learned(changed(ideal, slice(first - 2000, first)), symbols=SYMBOLS, **quick)
    fourth = learned(ideal, symbols=SYMBOLS, **quick)
    assert third.filters.hash != fourth.filters.hash


def test_another_recording_has_another_hash_and_another_kind_of_array_has_not():
    ideal = recording()
    same = dataclasses.replace(ideal, samples_per_symbol=2, launch_power_dbm=2)
    assert same.hash == ideal.hash
    first = ideal.waveform.copy()
    first[0] *= 1 + 1e-12
    others = (
        {"waveform": first},
        {"symbols": -ideal.symbols},
        {"symbols": None},
        {"roll_off": 0.2},
        {"launch_power_dbm": 2.5},
    )
    hashes = {dataclasses.replace(ideal, **other).hash for other in others}
    assert len(hashes | {ideal.hash}) == len(others) + 1


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_recording_and_with_no_other(tmp_path, monkeypatch):
    quick = {"float_iterations": 1, "tap_iterations": 1}
    used, path = settings(**quick), tmp_path / "checkpoint.npz"
    examples = prepared(recording(), **quick).examples
    save = State.save

    def save_and_die(state, path):
        save(state, path)
        if len(state.history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(State, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            training.train(used, path, examples=examples, progress=False)
    assert len(State.load(path, used, examples.hash).history) == 2
    other = prepared(recording(), held_out=0.3, **quick).examples
    for data_hash in (other.hash, None):
        assert State.load(path, used, data_hash).history == []
    steps, add = [], State.add
    with monkeypatch.context() as patch:
        patch.setattr(State, "add", lambda *given: steps.append(given[1]) or add(*given))
        result = training.train(used, path, examples=examples, progress=False)
    assert steps == ["taps"]
    whole = training.train(used, examples=examples, progress=False)
    assert (result.design, result.history) == (whole.design, whole.history)


@pytest.mark.slow
def test_in_python_a_recording_is_an_argument_of_learn():
    used = settings(tap_iterations=1)
    design = dbp.learn(settings=used, recording=recording(), held_out=0.25)
    same = learned(recording(), tap_iterations=1)
    assert (design.hash, design.snr_db_quantized) == (same.design.hash, same.snr_db_quantized)
    with pytest.raises(InputError, match=r"recording = 'x': must be what dbp\.load"):
        dbp.learn(settings=used, recording="x")


def test_a_capture_in_zarr_is_cut_as_what_it_was_made_of(tmp_path, monkeypatch):
    pytest.importorskip("zarr", reason="pip install 'digital-backpropagation[zarr]'")
    stores = pytest.importorskip("benchmarks.public_recordings")
    monkeypatch.setattr(untrusted_files, "_in_a_process", here)
    ideal, used = recording(True), settings(True)
    capture = stores.write_labptptm2(tmp_path / "store", ideal, used.link)
    read = read_recording(capture)
    assert read.link["spans"] == used.link.spans
    ours, theirs = (prepared(each, dual=True).examples for each in (ideal, read))
    # In volts, and rounded to single precision.
    for one, other in ((ours.train, theirs.train), (ours.validation, theirs.validation)):
        assert np.allclose(one.waveform, other.waveform, rtol=0, atol=1e-4)
        assert np.allclose(one.symbols, other.symbols, rtol=0, atol=1e-3)
    with pytest.raises(InputError, match=r"^spans = 4: link.spans = 8 in the configuration"):
        wrong = used.link.model_copy(update={"spans": 8})
        recorded_examples.prepare(read, used.model_copy(update={"link": wrong}), 0.25)


# What does not fit.


def with_nan(ideal):
    waveform = ideal.waveform.copy()
    waveform[5] = np.nan
    return waveform


FAULTS = {
    "no symbols": ({"symbols": None}, "symbols or bits: missing: must be there to learn from"),
    "rate": (
        {"symbol_rate_baud": 28e9},
        "symbol_rate_gbd = 28: link.symbol_rate_gbd = 20 in the configuration: must be the same",
    ),
    "roll-off": (
        {"roll_off": 0.2},
        "roll_off = 0.2: link.roll_off = 0.1 in the configuration: must be the same",
    ),
    "power": (
        {"launch_power_dbm": 0.0},
        "launch_power_dbm = 0: training.launch_power_dbm = 2 in the configuration: must be the "
        "same",
    ),
    "modulation": (
        {"modulation": "64qam"},
        "modulation = '64qam': link.modulation = '16qam' in the configuration: must be the same",
    ),
    "spans": (
        {"link": {"spans": 5}},
        "spans = 5: link.spans = 4 in the configuration: must be the same",
    ),
    "samples": (
        {"samples_per_symbol": Fraction(3, 2)},
        "sample_rate_hz: 3/2 samples per symbol: must be at least link.adc_samples_per_symbol = 2 "
        "of the configuration",
    ),
    "NaN": ({"waveform": with_nan}, "waveform: holds NaN or infinite numbers: must be finite"),
    "others": (
        {"symbols": lambda ideal: np.random.default_rng(3).permutation(ideal.symbols)},
        "the part that is learned on: symbols: not found in the equalised waveform, nor conjugated",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_contradicts_the_configuration_is_one_line(fault):
    changes, line = FAULTS[fault]
    ideal = recording()
    values = {key: value(ideal) if callable(value) else value for key, value in changes.items()}
    with pytest.raises(InputError) as error:
        prepared(dataclasses.replace(ideal, **values))
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_both_polarisations_are_in_both_or_in_neither():
    with pytest.raises(InputError, match=r"waveform: of 2 polarisations: must be of 1, as .*false"):
        prepared(recording(True))
    with pytest.raises(InputError, match=r"waveform: of 1 polarisation: must be of 2, as .*true"):
        prepared(recording(), dual=True)


def test_a_gap_is_said_with_the_symbols_it_is_in():
    ideal = recording()
    waveform = ideal.waveform.copy()
    waveform[12000:20000] = np.random.default_rng(4).normal(0, 0.7, (8000, 2)).view(complex)[:, 0]
    with pytest.raises(InputError, match="the part that is learned on: symbols: found at the st"):
        prepared(dataclasses.replace(ideal, waveform=waveform))


@pytest.mark.parametrize("held_out", [0.1, 0.25, 0.5])
def test_a_short_recording_says_how_long_it_must_be_and_that_is_enough(held_out):
    ideal = recording(seed=2)
    long = dataclasses.replace(ideal, waveform=np.tile(ideal.waveform, 3))
    few = dataclasses.replace(ideal, waveform=ideal.waveform[:3000])
    with pytest.raises(InputError) as error:
        prepared(few, held_out=held_out)
    found = re.match(r"waveform: 1500 symbols: must be at least (\d+), so that", str(error.value))
    least = int(found[1])
    enough = dataclasses.replace(ideal, waveform=long.waveform[: 2 * least])
    cuts = prepared(enough, held_out=held_out, symbols=1 << 20, validation_symbols=1 << 20).cuts
    assert cuts[0].symbols.size >= recorded_examples.LEAST_LEARNED
    assert cuts[1].symbols.size >= recorded_examples.LEAST_VALIDATED
    # It is not much more than needed.
    short = dataclasses.replace(ideal, waveform=long.waveform[: 2 * int(0.98 * least)])
    with pytest.raises(InputError, match="must be at least"):
        prepared(short, held_out=held_out)
    assert recorded_state.LEAST_SYMBOLS <= recorded_examples.LEAST_VALIDATED
