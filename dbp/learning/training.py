"""Learning a receiver filter: from least squares over floating point to the integers of a Design.

1. Start: LS-CO filters, designed jointly as a chain (`dbp.learning.joint_start`), which needs no
data. 2. ``float``: damped Gauss-Newton steps (`dbp.learning.gauss_newton`) on the mean squared
error of the symbols,
   taps and Kerr constants together, in floating point.
3. ``signals``: the same on `dbp.learning.quantized_model.QuantizedModel` with signals and Kerr
constants
   rounded and the taps not yet.
4. ``taps``: all taps are rounded together (`dbp.learning.integer_rounding`), then the Kerr
constants take a step;
   from the integers so found another Gauss-Newton step says where the taps would go now, and they
   are rounded again. The best state on validation data is kept.

Training, validation and evaluation of one seed never share random numbers
(`dbp.link.transmission`). After every step the state is written to a checkpoint, from which a
killed run goes on to the same numbers.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dbp.config import Config, require_one_polarization
from dbp.datapath.design import Design, launch_power_uw
from dbp.errors import InputError, shown
from dbp.learning import float_filters as filters
from dbp.learning import gauss_newton, integer_rounding, joint_start
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Detector, Model, half_taps, to_signal
from dbp.learning.phase_turning import turned
from dbp.learning.quantized_model import QuantizedModel, export
from dbp.link import front_end, transmission
from dbp.link.model import watts
from dbp.support import threads
from dbp.support.files import read_npz, write_npz, write_text

# What start and learning keep both parts of every tap within: unlimited, some filters of a chain
# grow a tap larger than one and with it the scale and the rounding errors of all their taps.
LARGEST_TAP = 0.98
# Of the first step; the steps find their own. Rounded taps are far from where the quadratic
# approximation leads, and want more.
DAMPING = 1e-2
ROUNDED_DAMPING = 3e-2
# Batches run side by side.
TASKS = 64
PHASES = ("float", "signals", "taps")


@dataclass(frozen=True)
class Row:
    """One line of ``history.csv``: what a step led to.

    ``loss``: 1 / SNR on the training data; ``snr_db``: the effective SNR on validation data.
    """

    iteration: int
    phase: str
    loss: float
    snr_db: float


@dataclass(frozen=True)
class Result:
    """What learning gives: the design, its filters in floating point, and how it went.

    ``figures``: ``launch_power_dbm`` and, on validation data at that power, ``snr_db_baseline``,
    ``snr_db_float`` and ``snr_db_quantized``.
    """

    design: Design
    filters: FloatFilters
    figures: dict[str, float]
    history: tuple[Row, ...]

    def write_history(self, path: str | Path) -> None:
        """Write ``history.csv``."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(Row.__annotations__)
        writer.writerows(astuple(row) for row in self.history)
        write_text(path, table.getvalue())


def baseline(settings: Config) -> tuple[Design, FloatFilters]:
    """The unlearned LS-CO design of a configuration, and its filters in floating point.

    They are turned by constant phases for the sake of their rounding
    (`dbp.learning.phase_turning`).
    """
    floats = turned(filters.receiver(settings.baseline, settings.link), settings.baseline)
    design = export(floats, settings.baseline, settings.datapath)
    return replace(design, name=f"baseline-{design.name}"), floats


def find_device(name: str) -> torch.device:
    """A device of torch that this machine has; `InputError` where it is none."""
    try:
        # What learning needs of it; "meta", which only pretends, has nothing to copy back.
        torch.ones(1, dtype=torch.float64, device=name).cpu()
    except (RuntimeError, AssertionError, ImportError, TypeError):
        raise InputError(
            f"device = {name!r}: must be a device of torch with float64 that this machine has, "
            "such as cpu or cuda"
        ) from None
    return torch.device(name)


def train(
    settings: Config, checkpoint: Path | None = None, device: torch.device | str = "cpu"
) -> Result:
    """Learn the design of a configuration. Same configuration, same machine: same result.

    ``checkpoint``: a file that holds the state of learning after every step, from which it goes on
    if it is there and of the same configuration. On a ``device`` other than the CPU, the link is
    simulated there, and losses and slopes are computed there in torch's own operations.
    """
    require_one_polarization(settings.link, "learning")
    state = _State.load(checkpoint, settings)
    with threads.pool(TASKS) as pool:
        data = _Data(settings, torch.device(device), pool)
        with tqdm(total=sum(_lengths(settings)), desc="learning", unit="it", disable=None) as bar:

            def keep(phase: str, loss: float, learner: _Learner) -> None:
                state.add(phase, loss, learner)
                if checkpoint:
                    state.save(checkpoint)
                bar.update(len(state.history) - bar.n)
                bar.set_postfix_str(f"{phase} {state.history[-1].snr_db:.2f} dB")

            return _train(settings, data, state, keep)


def _lengths(settings: Config) -> tuple[int, int, int]:
    training = settings.training
    return training.float_iterations, training.signal_iterations, training.tap_iterations


def _train(
    settings: Config, data: _Data, state: _State, keep: Callable[[str, float, _Learner], None]
) -> Result:
    power_mw = 1e3 * watts(settings.training.launch_power_dbm)
    power_uw = launch_power_uw(settings.training.launch_power_dbm)
    float_end, signal_end, tap_end = accumulate(_lengths(settings))

    floats = state.floats
    if floats is None:
        # In a thread of the pool: torch would start threads for operations of microseconds.
        model = Model(data.pool.submit(_start, settings).result())
        learner = _Learner(model, power_mw, data, state)
        while len(state.history) < float_end:
            keep("float", learner.step(len(state.history)), learner)
        floats = model.filters()
        state.begin_fixed_point(floats)
    snr_db_float = _Learner(Model(floats), power_mw, data).validate()

    design = export(floats, settings.learned, settings.datapath)
    quantized = QuantizedModel(design, floats)
    quantized.rounded = len(state.history) > signal_end
    learner = _Learner(quantized, power_uw, data, state)
    while len(state.history) < signal_end:
        keep("signals", learner.step(len(state.history)), learner)
    while len(state.history) < tap_end:
        keep("taps", learner.round(len(state.history)), learner)
    if state.best is not None:
        learner.objective.parameters = state.best
    quantized.rounded = True

    reference = _Learner(QuantizedModel(baseline(settings)[0]), power_uw, data)
    figures = {
        "launch_power_dbm": settings.training.launch_power_dbm,
        "snr_db_baseline": reference.validate(),
        "snr_db_float": snr_db_float,
        "snr_db_quantized": learner.validate(),
    }
    named = quantized.design(f"learned-{design.name}")
    return Result(named, floats, figures, tuple(state.history))


def _start(settings: Config) -> FloatFilters:
    learned = settings.learned
    return joint_start.design(
        filters.receiver(learned, settings.link),
        settings.link,
        learned.rotation_offset_km,
        learned.taps,
        learned.kerr_taps,
        largest_tap=LARGEST_TAP,
        iterations=settings.training.start_iterations,
        seed=settings.seed,
    )


class _Data:
    """Training and validation data: circular blocks of the link, each a training example."""

    def __init__(self, settings: Config, device: torch.device, pool: ThreadPoolExecutor) -> None:
        training = settings.training
        # Learning has no carrier recovery in its loss, nor does it need lasers to turn with.
        still = front_end.without_lasers(settings.link)
        link_ = still.model_copy(update={"block_symbols": training.block_symbols})

        def simulate(purpose: transmission.Purpose, symbols: int) -> transmission.Received:
            return transmission.simulate(
                link_,
                training.launch_power_dbm,
                -(-symbols // training.block_symbols),
                seed=settings.seed,
                purpose=purpose,
                device=device,
                progress=purpose == "train",
            )

        self.train = simulate("train", training.symbols)
        self.validation = simulate("validate", training.validation_symbols)
        self.detector = Detector(link_.roll_off, 2 * training.block_symbols)
        self.device, self.pool = device, pool
        self.curvature_blocks = -(-training.curvature_symbols // training.block_symbols)
        self.seed = settings.seed


class _Learner:
    """One model and its parameters on the way, which go on where a ``state`` was kept."""

    def __init__(
        self,
        model: Model | QuantizedModel,
        launch_power: float,
        data: _Data,
        state: _State | None = None,
    ) -> None:
        convert = model.convert if isinstance(model, QuantizedModel) else to_signal

        def objective(received: transmission.Received) -> gauss_newton.Objective:
            signal = convert(received.waveform).to(data.device)
            sent = torch.from_numpy(received.symbols.T.astype(np.complex64)).to(data.device)
            return gauss_newton.Objective(
                model, launch_power, signal, sent, data.detector, data.pool
            )

        model.to(data.device)
        self._data, self.damping = data, DAMPING
        self.objective, self._validation = objective(data.train), objective(data.validation)
        self._is_tap = np.arange(self.objective.parameters.size) < model.half_taps.numel()
        self._limits = self._outermost(model)
        if state is not None and state.parameters is not None:
            self.objective.parameters, self.damping = state.parameters, state.damping

    def validate(self) -> float:
        """Effective SNR in dB on the validation data."""
        return -10 * math.log10(self._validation.loss())

    def step(self, iteration: int) -> float:
        """Move all parameters; returns the loss."""
        everything = np.ones_like(self._is_tap)
        loss, self.damping = gauss_newton.step(
            self.objective, self._curvature(iteration), self.damping, everything, self._limits
        )
        return loss

    def round(self, iteration: int) -> float:
        """Round the taps, again if they are rounded already, then move K; returns the loss."""
        model, objective, taps = self.objective.model, self.objective, self._is_tap
        curvature = self._curvature(iteration)
        matrix = curvature[np.ix_(taps, taps)]
        parameters = objective.parameters
        wanted = parameters[taps]
        if model.rounded:
            damped = matrix + ROUNDED_DAMPING * np.eye(len(matrix))
            wanted = wanted - np.linalg.solve(damped, objective.slope()[taps])
        shape = model.half_taps.shape
        steps, *limits = (
            p.expand(shape).double().cpu().numpy().ravel()
            for p in (model.steps, model.lowest, model.highest)
        )
        parameters[taps] = integer_rounding.round_together(wanted, matrix, steps, limits)
        objective.parameters = parameters
        model.rounded = True
        return gauss_newton.step(objective, curvature, DAMPING, ~taps, self._limits)[0]

    def _curvature(self, iteration: int) -> NDArray[np.float64]:
        random = np.random.default_rng((self._data.seed, iteration))
        blocks = random.permutation(self.objective.blocks)[: self._data.curvature_blocks]
        return self.objective.curvature(blocks)

    def _outermost(
        self, model: Model | QuantizedModel
    ) -> tuple[gauss_newton.Vector, gauss_newton.Vector]:
        """What taps must not grow beyond: in fixed point, what the scale of their filter holds."""
        low, high = (
            np.where(self._is_tap, -LARGEST_TAP, -np.inf),
            np.full(self._is_tap.size, np.inf),
        )
        high[self._is_tap] = LARGEST_TAP
        if isinstance(model, QuantizedModel):
            for limit, end in ((low, model.lowest), (high, model.highest)):
                scaled = (end * model.steps).expand(model.half_taps.shape)
                limit[self._is_tap] = scaled.double().cpu().numpy().ravel()
        return low, high


@dataclass
class _State:
    """All that learning needs to go on.

    ``parameters``, ``damping``: of the present model, None and the default where its phase is new;
    ``floats``: what the float phase ended with; ``best``: the rounded parameters with the highest
    validated effective SNR.
    """

    config_hash: str
    history: list[Row] = field(default_factory=list)
    parameters: gauss_newton.Vector | None = None
    damping: float = DAMPING
    floats: FloatFilters | None = None
    best: gauss_newton.Vector | None = None
    best_snr_db: float = -math.inf

    def add(self, phase: str, loss: float, learner: _Learner) -> None:
        """A step is done."""
        row = Row(len(self.history) + 1, phase, loss, learner.validate())
        self.history.append(row)
        self.parameters, self.damping = learner.objective.parameters, learner.damping
        if phase == "taps" and row.snr_db > self.best_snr_db:
            self.best, self.best_snr_db = self.parameters, row.snr_db

    def begin_fixed_point(self, floats: FloatFilters) -> None:
        """The float phase is done."""
        self.floats, self.parameters, self.damping = floats, None, DAMPING

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        arrays: dict[str, Any] = {
            "config_hash": self.config_hash,
            "parameters": self.parameters,
            "damping": self.damping,
            "best_snr_db": self.best_snr_db,
            **{key: [getattr(row, key) for row in self.history] for key in Row.__annotations__},
        }
        if self.floats is not None:
            arrays |= self.floats.arrays()
        if self.best is not None:
            arrays["best"] = self.best
        write_npz(path, **arrays)

    @classmethod
    def load(cls, path: Path | None, settings: Config) -> _State:
        """The state of a checkpoint; a new one where there is none of this configuration."""
        new = cls(settings.hash)
        if path is None or not path.is_file():
            return new
        try:
            arrays = read_npz(path)
            if str(arrays.pop("config_hash")) != new.config_hash:
                return new
            rows = zip(*(arrays.pop(key).tolist() for key in Row.__annotations__), strict=True)
            state = cls(
                new.config_hash,
                [Row(*row) for row in rows],
                arrays.pop("parameters"),
                arrays.pop("damping").item(),
                best=arrays.pop("best", None),
                best_snr_db=arrays.pop("best_snr_db").item(),
            )
            if arrays:
                state.floats = FloatFilters.from_arrays(arrays)
            state._check(settings)
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not a checkpoint: {error}; delete it to begin anew"
            ) from None
        return state

    def _check(self, settings: Config) -> None:
        """Raise ValueError where what was read does not fit the models of the configuration."""
        learned, spans = settings.learned, settings.link.spans
        size = (spans + 1) * 2 * (learned.taps // 2 + 1) + spans * (learned.kerr_taps // 2 + 1)
        for name, values in (("parameters", self.parameters), ("best", self.best)):
            if values is not None and (
                values.dtype != np.float64
                or values.shape != (size,)
                or not np.isfinite(values).all()
            ):
                raise ValueError(f"{name}: must be {size} finite float64 in one dimension")
        ends = list(accumulate(_lengths(settings)))
        for number, row in enumerate(self.history, 1):
            phase = PHASES[sum(number > end for end in ends)] if number <= ends[-1] else None
            figures = row.loss, row.snr_db
            if (row.iteration, row.phase) != (number, phase) or not all(
                isinstance(figure, float) and math.isfinite(figure) for figure in figures
            ):
                raise ValueError(f"history: row {number} is none of this configuration")
        if not isinstance(self.best_snr_db, float) or math.isnan(self.best_snr_db):
            raise ValueError(f"best_snr_db = {shown(self.best_snr_db)}: must be a number")
        floats = self.floats
        for name, value, start in (("filters", floats, ends[0]), ("best", self.best, ends[1])):
            if (value is None) == (len(self.history) > start):
                raise ValueError(f"{name}: must be there after {start} steps, and not before")
        if floats and half_taps(floats).numel() + floats.kerr_rad_per_mw.size != size:
            raise ValueError(f"filters: must have {size} half taps and Kerr constants in all")
        if not 0 < self.damping < math.inf:
            raise ValueError(f"damping = {self.damping}: must be greater than 0")
