"""The state of learning after every step, on disk: a killed run goes on from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from dbp.config import Config
from dbp.errors import InputError, shown
from dbp.learning.float_filters import FloatFilters
from dbp.learning.gauss_newton import DAMPING, Vector
from dbp.learning.layout import Layout
from dbp.link.arithmetic import of_processor
from dbp.support.files import read_npz, write_npz
from dbp.support.sources import hash_of

PHASES = ("float", "signals", "taps")
# The code that decides the numbers of learning; a run goes on with the code that began it.
SOURCES = ("dbp.learning", "dbp.link")


@dataclass(frozen=True)
class Row:
    """One line of ``history.csv``: the figures after an iteration.

    ``loss``: 1 / SNR on the training data; ``snr_db``: the effective SNR on validation data.
    """

    iteration: int
    phase: str
    loss: float
    snr_db: float


def phase_lengths(settings: Config) -> tuple[int, int, int]:
    """Iterations of each of `PHASES`; the descent of the first counts as one."""
    training = settings.training
    floats = training.float_iterations + (training.descent_steps > 0)
    return floats, training.signal_iterations, training.tap_iterations


@dataclass
class State:
    """All that learning needs to go on.

    ``config_hash``: of the configuration, with that of a recording where one is learned on;
    ``parameters``, ``damping``: after the last iteration, None and the default in a new phase;
    ``floats``: the filters that the float phase ended with; ``best``: of all states of this phase,
    and that which it began with, the parameters with the highest validated effective SNR less
    ``charge_db``, the price of their digits.
    """

    config_hash: str
    history: list[Row] = field(default_factory=list)
    parameters: Vector | None = None
    damping: float = DAMPING
    floats: FloatFilters | None = None
    best: Vector | None = None
    best_snr_db: float = -math.inf
    best_charge_db: float = 0.0

    def add(
        self,
        phase: str,
        loss: float,
        snr_db: float,
        parameters: Vector,
        damping: float,
        charge_db: float = 0.0,
    ) -> None:
        """Take the results of an iteration."""
        self.history.append(Row(len(self.history) + 1, phase, loss, snr_db))
        self.parameters, self.damping = parameters, damping
        self._offer(parameters, snr_db, charge_db)

    def begin(self, parameters: Vector, snr_db: float, charge_db: float = 0.0) -> None:
        """Begin a phase with these parameters, its best so far."""
        self.parameters, self.best_snr_db = None, -math.inf
        self._offer(parameters, snr_db, charge_db)

    def end_floats(self, floats: FloatFilters) -> None:
        """End the float phase with its filters; what follows has other parameters."""
        self.floats, self.parameters, self.damping = floats, None, DAMPING

    def fell(self, margin_db: float) -> bool:
        """Whether the last iteration ended this far below the best state of its phase."""
        return bool(self.history) and (
            self.parameters is not None and self.history[-1].snr_db < self.best_snr_db - margin_db
        )

    @property
    def ends_at_best(self) -> bool:
        """Whether the last iteration ended at the best state of its phase."""
        return (
            self.parameters is not None
            and self.best is not None
            and np.array_equal(self.parameters, self.best)
        )

    def _offer(self, parameters: Vector, snr_db: float, charge_db: float) -> None:
        if snr_db - charge_db > self.best_snr_db - self.best_charge_db:
            self.best, self.best_snr_db, self.best_charge_db = parameters, snr_db, charge_db

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        write_npz(path, **self.arrays())

    def arrays(self) -> dict[str, Any]:
        """The content of the checkpoint."""
        arrays: dict[str, Any] = {
            "config_hash": self.config_hash,
            "sources": _made_by(),
            "parameters": self.parameters,
            "damping": self.damping,
            "best_snr_db": self.best_snr_db,
            "best_charge_db": self.best_charge_db,
            **{key: [getattr(row, key) for row in self.history] for key in Row.__annotations__},
        }
        if self.floats is not None:
            arrays |= self.floats.arrays()
        if self.best is not None:
            arrays["best"] = self.best
        return arrays

    @classmethod
    def load(cls, path: Path | None, settings: Config, data_hash: str | None = None) -> State:
        """Read the state to go on from, or return a new one.

        ``data_hash``: of recorded data, in place of simulated ones. A checkpoint of another
        configuration, of other data, of other sources of ours, or of another kind of processor is
        not gone on from. Raises `InputError` where the file is no checkpoint.
        """
        new = cls(settings.hash if data_hash is None else f"{settings.hash} {data_hash}")
        if path is None or not path.is_file():
            return new
        try:
            arrays = read_npz(path)
            # Old checkpoints name no sources.
            made_of = str(arrays.pop("config_hash")), str(arrays.pop("sources", None))
            if made_of != (new.config_hash, _made_by()):
                return new
            rows = zip(*(arrays.pop(key).tolist() for key in Row.__annotations__), strict=True)
            state = cls(
                new.config_hash,
                [Row(*row) for row in rows],
                arrays.pop("parameters"),
                _number(arrays, "damping"),
                best=arrays.pop("best", None),
                best_snr_db=_number(arrays, "best_snr_db"),
                best_charge_db=_number(arrays, "best_charge_db"),
            )
            if arrays:
                state.floats = FloatFilters.from_arrays(arrays)
            state._check(settings)
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: not a checkpoint: {error}; delete it to start from the beginning"
            ) from None
        return state

    def _check(self, settings: Config) -> None:
        """Raise ValueError where what was read does not fit the models of the configuration."""
        layout = Layout.of(settings.learned, settings.link)
        rotations, half_kerr = len(layout.kerr_spans), settings.learned.kerr_taps // 2 + 1
        size = sum(taps + 1 for taps in layout.taps) + rotations * half_kerr
        for name, values in (("parameters", self.parameters), ("best", self.best)):
            if values is not None and (
                values.dtype != np.float64
                or values.shape != (size,)
                or not np.isfinite(values).all()
            ):
                raise ValueError(f"{name}: must be {size} finite float64 in one dimension")
        ends = list(accumulate(phase_lengths(settings)))
        self._check_history(ends)
        for name, number in (("snr", self.best_snr_db), ("charge", self.best_charge_db)):
            if not math.isfinite(number):
                raise ValueError(f"best_{name}_db = {shown(number)}: must be a finite number")
        floats = self.floats
        for name, value, start in (("filters", floats, ends[0]), ("best", self.best, 0)):
            if (value is None) == (len(self.history) > start):
                raise ValueError(f"{name}: must be there after {start} steps, and not before")
        if floats and (
            tuple(taps.size for taps in floats.taps) != layout.taps
            or floats.kerr_rad_per_mw.shape != (rotations, half_kerr)
        ):
            raise ValueError(f"filters: must have {size} half taps and Kerr constants in all")
        if not 0 < self.damping < math.inf:
            raise ValueError(f"damping = {self.damping}: must be greater than 0")

    def _check_history(self, ends: list[int]) -> None:
        """Check that the rows are those of phases which end after their numbers of iterations."""
        for number, row in enumerate(self.history, 1):
            phase = PHASES[sum(number > end for end in ends)] if number <= ends[-1] else None
            if (row.iteration, row.phase) != (number, phase) or not all(
                isinstance(figure, float) and math.isfinite(figure)
                for figure in (row.loss, row.snr_db)
            ):
                raise ValueError(f"history: row {number} does not belong to this configuration")


def _made_by() -> str:
    # Learning's sums depend on the processor: no design is to be half of one, half of another.
    return f"{hash_of(*SOURCES)} {of_processor()}"


def _number(arrays: dict[str, np.ndarray], name: str) -> float:
    value = arrays.pop(name)
    if value.shape != () or value.dtype != np.float64:
        raise ValueError(f"{name}: {value.dtype} of shape {value.shape}: must be one float64")
    return float(value)
