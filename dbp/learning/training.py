"""Learning a receiver filter: from least squares over floating point to the integers of a Design.

1. Start: LS-CO filters, designed jointly as a chain (`dbp.learning.joint_start`); needs no data.
2. ``float``: damped Gauss-Newton iterations (`dbp.learning.gauss_newton`) on the mean squared error
   of the symbols, taps and Kerr constants together, in floating point; then, where
   ``training.descent_steps`` says so, as many of Adam (`dbp.learning.descent`).
3. ``signals``: the same on `dbp.learning.quantized_model.QuantizedModel`, with signals and Kerr
   constants rounded and the taps not yet; before it, where ``training.fill_codes`` says so, filters
   are turned and scaled to fill the codes of their taps (`dbp.learning.code_ranges`).
4. ``taps``: all taps are rounded together (`dbp.learning.integer_rounding`; where signed digits
   have a price or a budget, or the search is to be wide, `dbp.learning.digit_rounding`), then the
   Kerr constants move; from the integers so found another Gauss-Newton iteration says where the
   taps would go now, and they are rounded again. The best state on validation data, less the price
   of its digits, is kept.

Training, validation and evaluation of one seed never share random numbers
(`dbp.link.transmission`). After every iteration the state is written to a checkpoint
(`dbp.learning.checkpoint`), from which a killed run goes on to the same numbers.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dbp.config import Config
from dbp.datapath.design import Design, launch_power_uw
from dbp.errors import InputError, shown
from dbp.learning import (
    bit_allocation,
    descent,
    digit_rounding,
    gauss_newton,
    integer_rounding,
    joint_start,
    linear_compensation,
)
from dbp.learning.checkpoint import Row, State, phase_lengths
from dbp.learning.code_ranges import filled
from dbp.learning.constant_phases import with_constant_phases
from dbp.learning.data import TASKS, Data, Examples
from dbp.learning.export import export
from dbp.learning.filter_length import check_length, spread_samples
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Model, exact_convolutions
from dbp.learning.gauss_newton import DAMPING
from dbp.learning.layout import Layout
from dbp.learning.least_squares import unlearned_filters
from dbp.learning.linear_compensation import snr_db
from dbp.learning.quantized_model import QuantizedModel
from dbp.link.closed_forms import watts
from dbp.support import threads
from dbp.support.files import write_text

# Start and learning keep both parts of every tap within this: unlimited, some filters of a chain
# grow a tap larger than one and with it the scale and the rounding errors of all their taps.
LARGEST_TAP = 0.98
# Rounded taps are far from where the quadratic approximation leads, and want more damping.
ROUNDED_DAMPING = 3e-2
# A phase ends with its best state where its last one is worse by more than validation data and the
# choice of one state among several leave open, and rounding begins again from the best one where it
# fell so far that no quadratic approximation leads back.
SNR_TOLERANCE_DB = 0.1
FALL_DB = 1.0
# Where digits have a price, the damping of a rounding rises and falls by these.
FIRMER, EASIER = 4.0, 2.0
# Each signed digit beyond the budget weighs this much when states are compared.
OVER_BUDGET_DB = 1.0


@dataclass(frozen=True)
class Result:
    """A learned design, its filters in floating point, and the history of learning.

    ``snr_db_float``, ``snr_db_quantized``: the effective SNR of filters and design on validation
    data at ``launch_power_dbm``.
    """

    design: Design
    filters: FloatFilters
    launch_power_dbm: float
    snr_db_float: float
    snr_db_quantized: float
    history: tuple[Row, ...]


def write_history(path: str | Path, history: Iterable[Row]) -> None:
    """Write the history of learning as a table, ``history.csv``."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(Row.__annotations__)
    writer.writerows(astuple(row) for row in history)
    write_text(path, table.getvalue())


def baseline(settings: Config) -> tuple[Design, FloatFilters]:
    """The unlearned LS-CO design of a configuration, and its filters in floating point.

    They are shifted by constant phases for the sake of their rounding
    (`dbp.learning.constant_phases`).
    """
    unlearned = unlearned_filters(settings.baseline, settings.link)
    floats = with_constant_phases(unlearned, settings.baseline)
    polarizations = settings.link.impairments.polarizations
    design = export(floats, settings.baseline, settings.datapath, polarizations)
    return replace(design, name=f"baseline-{design.name}"), floats


def find_device(name: str) -> torch.device:
    """A device of torch that this machine has; `InputError` if it has no such device."""
    try:
        # Learning needs this of a device; "meta", which only pretends, has nothing to copy back.
        torch.ones(1, dtype=torch.float64, device=name).cpu()
    except (RuntimeError, AssertionError, ImportError, TypeError):
        raise InputError(
            f"device = {name!r}: must be a device of torch with float64 that this machine has, "
            "such as cpu or cuda"
        ) from None
    return torch.device(name)


def start_filters(settings: Config, *, joint: bool = True) -> FloatFilters:
    """Return the filters in floating point where learning begins, which need no data.

    They are designed jointly for the linear link, or, not ``joint``, each by least squares, cut to
    the length of the learned ones. Learning takes the second where they do better.
    """
    learned = settings.learned
    unlearned = unlearned_filters(learned, settings.link)
    if not joint:
        taps = Layout.of(learned, settings.link).taps
        return joint_start.resized(unlearned, taps, learned.kerr_taps)
    with threads.pool(1) as pool:
        # In a thread of a pool: torch would start threads for operations of microseconds.
        return pool.submit(_start, settings, unlearned).result()


def train(
    settings: Config,
    checkpoint: Path | None = None,
    device: torch.device | str = "cpu",
    filters: FloatFilters | None = None,
    state: State | None = None,
    progress: bool = True,
    memory_gib: float | None = None,
    examples: Examples | None = None,
) -> Result:
    """Learn the design of a configuration. Same arguments, same machine: same result.

    ``checkpoint``: a file that holds the state of learning after every iteration, from which it
    goes on if it is there and of the same configuration and data. ``filters``: quantize these in
    place of ones learned in floating point; without a checkpoint. ``state``: go on from this, such
    as what `learn_floats` returned for `float_settings` of this configuration: the result is the
    same as without. On a ``device`` other than the CPU, the link is simulated there, and losses and
    slopes are computed there in torch's own operations, whose derivative keeps at most
    ``memory_gib`` and computes the rest again (`dbp.learning.recomputation`): the result is the
    same. ``examples``: learn on these, of a recording, in place of simulated data. ``progress``
    shows a bar on a terminal, and a note of short filters. Raises `InputError` for filters far too
    short for a span, before learning, and for a result worse than linear compensation.
    """
    check_length(settings, note=progress)
    if filters is not None:
        settings = _for_filters(settings, filters, checkpoint)
    if state is None:
        state = State.load(checkpoint, settings, examples.hash if examples else None)
    else:
        state = replace(state, config_hash=settings.hash, history=list(state.history))
    with (
        threads.pool(TASKS) as pool,
        exact_convolutions(),
        tqdm(
            total=sum(phase_lengths(settings)),
            desc="learning",
            unit="it",
            disable=None if progress else True,
        ) as bar,
    ):
        data = Data(settings, torch.device(device), pool, progress, memory_gib, examples)

        def keep(phase: str, loss: float, learner: _Learner) -> None:
            figures = learner.validate(), learner.objective.parameters, learner.damping
            state.add(phase, loss, *figures, learner.charge_db())
            if checkpoint:
                state.save(checkpoint)
            bar.update(len(state.history) - bar.n)
            bar.set_postfix_str(f"{phase} {state.history[-1].snr_db:.2f} dB")

        return _train(settings, data, state, keep, filters)


def float_settings(settings: Config) -> Config:
    """Return the configuration with defaults in place of all that the float phase does not read.

    Designs that differ in formats, rounding and the price of digits only share these settings, and
    hence what `learn_floats` returns for them.
    """
    own = Config()
    formats = ("coefficient_bits", "signal_bits")
    rounding = (
        *("signal_iterations", "tap_iterations"),
        *("fill_codes", "wide_search", "digit_price_mdb", "half_tap_price_mdb", "digit_budget"),
        *("coefficient_bit_price_mdb", "signal_bit_price_mdb"),
    )
    learned = {name: getattr(own.learned, name) for name in formats}
    training = {name: getattr(own.training, name) for name in rounding}
    return own.model_copy(
        update={
            "seed": settings.seed,
            "link": settings.link,
            "learned": settings.learned.model_copy(update=learned),
            "training": settings.training.model_copy(update=training),
        }
    )


def simulate_data(settings: Config) -> None:
    """Simulate the link for learning with a configuration, so that the cache has it."""
    with threads.pool(1) as pool:
        data = Data(settings, torch.device("cpu"), pool, progress=False)
        for received in (data.train, data.validation):
            del received


def learn_floats(settings: Config) -> State:
    """Learn in floating point only, on the CPU and without a bar; returns the state to go on from.

    Raises `InputError` as `train` does for filters that are far too short.
    """
    check_length(settings, note=False)
    state = State(settings.hash)
    with threads.pool(TASKS) as pool, exact_convolutions():
        data = Data(settings, torch.device("cpu"), pool, progress=False)

        def keep(phase: str, loss: float, learner: _Learner) -> None:
            parameters, damping = learner.objective.parameters, learner.damping
            state.add(phase, loss, learner.validate(), parameters, damping)

        _learn_floats(settings, data, state, keep)
    return state


def _for_filters(settings: Config, filters: FloatFilters, checkpoint: Path | None) -> Config:
    """Return the configuration without a float phase, for filters that fit it."""
    if checkpoint is not None:
        raise InputError("checkpoint: must not be given with filters, which it does not hold")
    learned = settings.learned
    taps, kerr_taps = Layout.of(learned, settings.link).taps, learned.kerr_taps
    if filters.samples_per_symbol != settings.link.adc_rate:
        raise InputError(
            f"filters: of {filters.samples_per_symbol} samples per symbol: must be of the link's, "
            f"link.adc_samples_per_symbol = {settings.link.adc_samples_per_symbol}"
        )
    given, given_kerr = [each.size for each in filters.taps], filters.kerr_rad_per_mw.shape[1]
    if (given, given_kerr) != (list(taps), kerr_taps // 2 + 1):
        raise InputError(
            f"filters: {len(given)} of {_lengths(given)} taps and {2 * given_kerr - 1} Kerr "
            f"constants: must be {len(taps)} of {_lengths(taps)} and {kerr_taps}, as link.spans, "
            "rotations_per_span, taps and kerr_taps say"
        )
    no_floats = {"float_iterations": 0, "descent_steps": 0}
    training = settings.training.model_copy(update=no_floats)
    return settings.model_copy(update={"training": training})


def _lengths(taps: Sequence[int]) -> str:
    return "/".join(map(str, sorted(set(taps))))


def validated_snr_db(
    design: Design,
    settings: Config,
    device: torch.device | str = "cpu",
    examples: Examples | None = None,
) -> float:
    """Effective SNR in dB of any design on the validation data of a configuration.

    Or on those of ``examples``.
    """
    power_uw = launch_power_uw(settings.training.launch_power_dbm)
    sent = settings.link.impairments.polarizations
    if design.polarizations != sent:
        raise InputError(
            f"design {design.name}: polarizations = {design.polarizations}: must be {sent}, as the "
            "link has"
        )
    with threads.pool(TASKS) as pool, exact_convolutions():
        data = Data(settings, torch.device(device), pool, examples=examples)
        return snr_db(data.objective(QuantizedModel(design), power_uw, data.validation).loss())


def _train(
    settings: Config,
    data: Data,
    state: State,
    keep: Callable[[str, float, _Learner], None],
    given: FloatFilters | None,
) -> Result:
    power_dbm = settings.training.launch_power_dbm
    power_mw, power_uw = 1e3 * watts(power_dbm), launch_power_uw(power_dbm)
    _, signal_end, tap_end = accumulate(phase_lengths(settings))

    floats = state.floats
    begins = floats is None
    if floats is None:
        floats = given or _learn_floats(settings, data, state, keep)
        state.end_floats(floats)
    polarizations = settings.link.impairments.polarizations
    ended = Model(floats, polarizations)
    snr_db_float = snr_db(data.objective(ended, power_mw, data.validation).loss())

    start = floats
    if settings.training.fill_codes:
        start = filled(floats, settings.learned.coefficient_bits)
    design = export(start, settings.learned, settings.datapath, polarizations)
    design = _with_bits_that_pay(design, start, power_uw, data)
    quantized = QuantizedModel(design, start)
    quantized.rounded = len(state.history) > signal_end
    learner = _Learner(quantized, power_uw, data, state)
    if begins:
        learner.begin(state)
    if not quantized.rounded:
        while len(state.history) < signal_end:
            keep("signals", learner.iterate(len(state.history)), learner)
        if state.fell(SNR_TOLERANCE_DB):
            learner.take_best(state)
        # Taps are rounded from where they are now; each rounded by itself is the best state yet.
        quantized.rounded = True
        learner.begin(state, ROUNDED_DAMPING)
        quantized.rounded = False
    while len(state.history) < tap_end:
        keep("taps", learner.round_taps(quantized, state), learner)
    learner.take_best(state)
    result = Result(
        quantized.design(f"learned-{design.name}"),
        floats,
        power_dbm,
        snr_db_float,
        learner.validate(),
        tuple(state.history),
    )
    _require_better_than_linear(result, settings, data)
    return result


def _with_bits_that_pay(design: Design, start: FloatFilters, power_uw: int, data: Data) -> Design:
    """The formats of ``design`` without the bits that bring less than their prices.

    They follow from ``start``, the taps before their rounding, and from the data: the same again
    when a killed run goes on.
    """
    training = data.training
    if not (training.coefficient_bit_price_mdb or training.signal_bit_price_mdb):
        return design

    def objective(tried: Design) -> gauss_newton.Objective:
        model = QuantizedModel(tried, start)
        model.rounded = False
        return data.objective(model, power_uw, data.train)

    whole = objective(design)
    mdb = math.log(10) * 1e-4 * whole.loss()
    wires = [0] * len(design.rotations)
    if training.signal_bit_price_mdb:
        wires = bit_allocation.allocate_wire_bits(
            design, lambda tried: objective(tried).loss(), training.signal_bit_price_mdb * mdb
        )
    taps = [0] * len(design.filters)
    if training.coefficient_bit_price_mdb:
        model = whole.model
        assert isinstance(model, QuantizedModel)
        count = model.tap_parameters
        blocks = np.arange(min(data.curvature_blocks, whole.blocks))
        losses = bit_allocation.rounding_losses(
            whole.curvature(blocks)[:count, :count], model.taps_of(model.steps)
        )
        ends = np.cumsum([2 * len(f.half_taps_i) for f in design.filters])[:-1]
        of_filters = [float(part.sum()) for part in np.split(losses, ends)]
        taps = bit_allocation.allocate_tap_bits(
            design, of_filters, training.coefficient_bit_price_mdb * mdb, after=(0, *wires)
        )
    return bit_allocation.with_fewer_tap_bits(
        bit_allocation.with_fewer_wire_bits(design, wires), taps
    )


def _require_better_than_linear(result: Result, settings: Config, data: Data) -> None:
    """Raise `InputError` where compensating the dispersion alone does better than what was learned.

    Linear compensation may have the noise of the design's formats.
    """
    ideal = linear_compensation.loss(settings.link, data.validation, data.detector)
    linear_db = snr_db(ideal)
    least_db = snr_db(ideal + linear_compensation.rounding(result.design))
    if result.snr_db_quantized >= least_db:
        return
    learned, training, datapath = settings.learned, settings.training, settings.datapath
    if result.snr_db_float < least_db:
        advice = (
            f"the filters are at fault: change learned.taps = {shown(learned.taps)} (a span "
            f"spreads over {spread_samples(settings.link):.0f} samples), "
            f"training.start_iterations = {training.start_iterations}, "
            f"training.symbols = {training.symbols} or "
            f"training.launch_power_dbm = {training.launch_power_dbm:g}"
        )
    else:
        advice = (
            f"their rounding is at fault: raise learned.coefficient_bits = "
            f"{learned.coefficient_bits}, datapath.taylor_order = {datapath.taylor_order}, "
            f"learned.signal_bits = {learned.signal_bits} or datapath.rotation_guard_bits = "
            f"{datapath.rotation_guard_bits}"
        )
    raise InputError(
        f"learning reached {result.snr_db_quantized:.2f} dB of effective SNR at "
        f"{result.launch_power_dbm:+g} dBm ({result.snr_db_float:.2f} dB in floating point), "
        f"linear compensation alone {linear_db:.2f} dB: no design is exported; {advice}"
    )


def _learn_floats(
    settings: Config,
    data: Data,
    state: State,
    keep: Callable[[str, float, _Learner], None],
) -> FloatFilters:
    """The float phase, from where it was killed, or from the better of two starts."""
    power_mw = 1e3 * watts(settings.training.launch_power_dbm)
    # The joint start takes seconds, and a state that goes on replaces its taps.
    polarizations = settings.link.impairments.polarizations
    model = Model(start_filters(settings, joint=not state.history), polarizations)
    learner = _Learner(model, power_mw, data, state)
    if not state.history:
        unlearned = start_filters(settings, joint=False)
        other = data.objective(Model(unlearned, polarizations), power_mw, data.validation)
        if snr_db(other.loss()) > learner.validate() + FALL_DB:
            learner.objective.parameters = other.parameters
        learner.begin(state)
    training = settings.training
    while len(state.history) < training.float_iterations:
        keep("float", learner.iterate(len(state.history)), learner)
    if len(state.history) < phase_lengths(settings)[0]:
        learner.take_best(state)
        keep("float", learner.descend(training.descent_steps), learner)
    if state.fell(SNR_TOLERANCE_DB):
        learner.take_best(state)
    return model.filters()


def _start(settings: Config, unlearned: FloatFilters) -> FloatFilters:
    """Filters designed jointly for the linear link, where learning begins."""
    learned = settings.learned
    return joint_start.design(
        unlearned,
        settings.link,
        Layout.of(learned, settings.link),
        learned.kerr_taps,
        largest_tap=LARGEST_TAP,
        iterations=settings.training.start_iterations,
        seed=settings.seed,
    )


class _Learner:
    """One model and its parameters as they are learned, from a checkpoint's ``state`` on."""

    def __init__(
        self, model: Model | QuantizedModel, launch_power: float, data: Data, state: State
    ) -> None:
        self._data, self.damping = data, DAMPING
        self.objective = data.objective(model, launch_power, data.train)
        self._validation = data.objective(model, launch_power, data.validation)
        self._is_tap = np.arange(self.objective.parameters.size) < model.tap_parameters
        self._limits = self._tap_limits(model)
        self._digit_weights = np.ones(int(self._is_tap.sum()))
        if isinstance(model, QuantizedModel):
            self._digit_weights = model.digit_weights()
            self._last, self._last_norm = model.last_filter()
        if state.parameters is not None:
            self.objective.parameters, self.damping = state.parameters, state.damping

    def validate(self) -> float:
        """Effective SNR in dB on the validation data."""
        return snr_db(self._validation.loss())

    def begin(self, state: State, damping: float = DAMPING) -> None:
        """Begin a phase with the parameters as they are."""
        self.damping = damping
        state.begin(self.objective.parameters, self.validate(), self.charge_db())

    def take_best(self, state: State) -> None:
        """Go back to the best state of the phase."""
        assert state.best is not None
        self.objective.parameters = state.best

    def iterate(self, iteration: int) -> float:
        """Move all parameters; returns the loss."""
        everything = np.ones_like(self._is_tap)
        loss, self.damping = gauss_newton.iterate(
            self.objective, self._curvature(iteration), self.damping, everything, self._limits
        )
        return loss

    def descend(self, steps: int) -> float:
        """Move all parameters to the best validated state of a descent; returns its loss."""
        best, best_at = self.validate(), self.objective.parameters
        for _ in descent.descend(self.objective, steps, self._data.seed, self._limits):
            if (found := self.validate()) > best:
                best, best_at = found, self.objective.parameters
        self.objective.parameters = best_at
        return self.objective.loss()

    def round_taps(self, model: QuantizedModel, state: State) -> float:
        """Round the taps, again if they are rounded already, then move K; returns the loss.

        Where the last rounding fell far, this one begins at the best state, damped more. Where
        digits have a price, the first rounding is tried with and without it, and the better one
        stays; then each rounding begins at the best state, damped more after one that was no better
        and less after one that was, or that moved nothing.
        """
        objective, taps, training = self.objective, self._is_tap, self._data.training
        again = self._data.counts_digits and model.rounded
        if again:
            assert state.best is not None
            better = state.ends_at_best
            # One that moved no tap was damped too much.
            stays = np.array_equal(objective.parameters[taps], state.best[taps])
            self.damping *= 1 / EASIER if better or stays else FIRMER
        else:
            better = not state.fell(FALL_DB)
            self.damping *= 1.0 if better else gauss_newton.RETREAT
        if not better:
            self.take_best(state)
        curvature = self._curvature(len(state.history))
        matrix = curvature[np.ix_(taps, taps)]
        parameters = objective.parameters
        target = parameters[taps]
        slope = objective.slope()[taps] if model.rounded else np.zeros_like(target)
        if model.rounded:
            damped = matrix + self.damping * np.eye(len(matrix))
            target = target - np.linalg.solve(damped, slope)
        steps, *limits = map(model.taps_of, (model.steps, model.lowest, model.highest))
        rounded = integer_rounding.round_together(target, matrix, steps, limits)
        few = rounded
        if self._data.counts_digits:
            few = steps * self._few_digits(state, matrix, slope, (steps, *limits), rounded / steps)
        elif training.wide_search:
            few = digit_rounding.at_no_price(target, matrix, steps, limits, rounded)

        def take(chosen: gauss_newton.Vector) -> float:
            objective.parameters = np.concatenate([chosen, parameters[~taps]])
            model.rounded = True
            return gauss_newton.iterate(objective, curvature, DAMPING, ~taps, self._limits)[0]

        loss = take(few)
        if self._data.has_prices and not again:
            charged_db, priced = self.validate() - self.charge_db(), (objective.parameters, loss)
            loss = take(rounded)
            if charged_db > self.validate() - self.charge_db():
                objective.parameters, loss = priced
        return loss

    def _few_digits(
        self,
        state: State,
        matrix: NDArray[np.float64],
        slope: gauss_newton.Vector,
        formats: Sequence[gauss_newton.Vector],
        rounded: gauss_newton.Vector,
    ) -> digit_rounding.Codes:
        """Round the taps at the price of their digits, or within their budget, to codes.

        ``slope``: that at the taps, zero before their first rounding; ``formats``: steps, lowest
        and highest codes; ``rounded``: codes that know no price, which are improved on.
        """
        training = self._data.training
        damping = integer_rounding.DAMPING * self.damping / ROUNDED_DAMPING
        matrix = matrix + damping * np.eye(len(matrix))
        taps = self.objective.parameters[self._is_tap]
        steps, low, high = formats
        starts = [rounded, taps / steps]
        # The matrix and its prices are in units of the loss, which is near the least one so far.
        losses = [row.loss for row in state.history if row.phase != "float"]
        loss = min(losses) if losses else self.objective.loss()
        held, towards = self._held_scale(taps, loss)
        matrix, slope = matrix + held, slope + towards
        price = 1e-3 * training.digit_price_mdb * math.log(10) / 10 * loss
        half_tap_price = 1e-3 * training.half_tap_price_mdb * math.log(10) / 10 * loss
        # A budget asks for weights alone. Both parts of a half tap stand side by side.
        weight = 1.0 if training.digit_budget else price
        lattice = digit_rounding.Lattice(
            matrix,
            taps - np.linalg.solve(matrix, slope),
            steps,
            low.astype(np.int64),
            high.astype(np.int64),
            self._digit_weights * weight,
            np.full(len(taps), half_tap_price),
            np.arange(len(taps)) ^ 1,
        )
        codes = [
            np.clip(np.rint(start).astype(np.int64), lattice.low, lattice.high) for start in starts
        ]
        if not training.digit_budget:
            return digit_rounding.at_price(lattice, codes)
        found, price = digit_rounding.within_budget(lattice, codes, training.digit_budget)
        return found

    def _held_scale(
        self, taps: gauss_newton.Vector, loss: float
    ) -> tuple[NDArray[np.float64], gauss_newton.Vector]:
        """Matrix and slope of ``loss`` times the squared relative change of the last scale.

        Detection undoes the scale of what leaves, so the loss does not know of it, and a price of
        digits alone would let it grow until samples saturate.
        """
        along = np.where(self._last, taps, 0.0)
        along /= np.linalg.norm(along) * self._last_norm
        return loss * np.outer(along, along), loss * (along @ taps - 1.0) * along

    def charge_db(self) -> float:
        """What rounded taps cost in dB: the prices of their digits and half taps, or what digits
        beyond the budget do."""
        model, training = self.objective.model, self._data.training
        if not (self._data.counts_digits and isinstance(model, QuantizedModel) and model.rounded):
            return 0.0
        codes = model.codes()
        digits = digit_rounding.signed_digits(codes)
        if training.digit_budget:
            return OVER_BUDGET_DB * max(int(digits.sum()) - training.digit_budget, 0)
        half_taps = np.count_nonzero(codes.reshape(-1, 2).any(axis=1))
        digits_mdb = training.digit_price_mdb * float(self._digit_weights @ digits)
        return 1e-3 * (digits_mdb + training.half_tap_price_mdb * half_taps)

    def _curvature(self, iteration: int) -> NDArray[np.float64]:
        random = np.random.default_rng((self._data.seed, iteration))
        blocks = random.permutation(self.objective.blocks)[: self._data.curvature_blocks]
        return self.objective.curvature(blocks)

    def _tap_limits(
        self, model: Model | QuantizedModel
    ) -> tuple[gauss_newton.Vector, gauss_newton.Vector]:
        """Lowest and highest value of each parameter.

        In floating point taps stay within `LARGEST_TAP`, in fixed point within the scale of their
        filter. Kerr constants have no limits.
        """
        low = np.where(self._is_tap, -LARGEST_TAP, -np.inf)
        high = np.where(self._is_tap, LARGEST_TAP, np.inf)
        if isinstance(model, QuantizedModel):
            for limit, end in ((low, model.lowest), (high, model.highest)):
                limit[self._is_tap] = model.taps_of(end * model.steps)
        return low, high
