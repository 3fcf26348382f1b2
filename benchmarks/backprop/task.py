"""The one task of the study: a link, its data, where learning starts, and what a result is worth.

All methods of a seed see the same training data, start at the same filters and are judged on the
same fresh data, which nothing was chosen on.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dbp import config
from dbp.datapath.design import launch_power_uw
from dbp.learning import gauss_newton, integer_rounding, training
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Detector, Model, to_signal
from dbp.learning.gauss_newton import Objective
from dbp.learning.linear_compensation import snr_db
from dbp.learning.quantized_model import QuantizedModel
from dbp.link import transmission
from dbp.link.closed_forms import watts

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How large the study is. ``seconds``: of processor time, the budget of a run."""

    name: str
    spans: int
    symbols: int
    seconds: float
    launch_power_dbm: float
    start_iterations: int
    float_iterations: int
    curvature_symbols: int


SMALL = Size("small", 8, 16384, 2.0, 3.0, 600, 4, 8192)
FULL = Size("full", 32, 32768, 30.0, 0.5, 3000, 6, 8192)
SIZES = {size.name: size for size in (SMALL, FULL)}

# Training blocks that a step of a first-order method sees.
BATCH_BLOCKS = 16
# Formats of the fixed-point tasks beside the bits of taps and signals.
DATAPATH = {
    "rotation_guard_bits": 1,
    "centre_power": True,
    "taylor_order": 2,
    "adc_rms_permille": 235,
}


def settings_of(size: Size, seed: int, tap_bits: int = 6, signal_bits: int = 9) -> config.Config:
    """The configuration of a task."""
    return config.checked(
        {
            "seed": seed,
            "link": {"spans": size.spans},
            "learned": {
                "taps": 15,
                "kerr_taps": 3,
                "coefficient_bits": tap_bits,
                "signal_bits": signal_bits,
            },
            "datapath": DATAPATH | {"max_launch_power_dbm": size.launch_power_dbm + 1},
            "training": {
                "launch_power_dbm": size.launch_power_dbm,
                "symbols": size.symbols,
                "validation_symbols": size.symbols,
                "curvature_symbols": size.curvature_symbols,
                "start_iterations": size.start_iterations,
                "float_iterations": size.float_iterations,
            },
        }
    )


class Task:
    """One seed of the task. ``symbols``: to train on, all by default; ``folder`` keeps the starts.

    ``largest_tap``: the limit of taps of the start and the learned filters.
    """

    def __init__(
        self,
        size: Size,
        seed: int,
        folder: Path,
        symbols: int | None = None,
        largest_tap: float = training.LARGEST_TAP,
    ) -> None:
        self.size, self.seed, self.largest_tap = size, seed, largest_tap
        self.settings, self._folder = settings_of(size, seed), folder
        self.power_mw = 1e3 * watts(size.launch_power_dbm)
        self.power_uw = launch_power_uw(size.launch_power_dbm)
        self.link = self.settings.link.model_copy(
            update={"block_symbols": self.settings.training.block_symbols}
        )
        self.detector = Detector(self.link.roll_off, self.link.adc_samples, self.link.adc_rate)
        self.blocks = (symbols or size.symbols) // self.link.block_symbols
        self.pool = ThreadPoolExecutor(1)

    def data(self, purpose: transmission.Purpose, blocks: int) -> transmission.Received:
        """Blocks of the link, simulated or from the cache of the package."""
        power = self.size.launch_power_dbm
        return transmission.simulate(
            self.link, power, blocks, seed=self.seed, purpose=purpose, progress=False
        )

    @cached_property
    def train(self) -> transmission.Received:
        return self.data("train", self.blocks)

    @cached_property
    def validation(self) -> transmission.Received:
        return self.data("validate", self.size.symbols // self.link.block_symbols)

    @cached_property
    def fresh(self) -> transmission.Received:
        return self.data("evaluate", self.size.symbols // self.link.block_symbols)

    def objective(
        self, model: Model | QuantizedModel, received: transmission.Received
    ) -> Objective:
        """The loss of a model on some of the data, as `dbp.learning.training` has it."""
        fixed = isinstance(model, QuantizedModel)
        signal = model.convert(received.waveform) if fixed else to_signal(received.waveform)
        power = self.power_uw if fixed else self.power_mw
        sent = torch.from_numpy(received.symbols.T.astype(np.complex64))
        return Objective(model, power, signal, sent, self.detector, self.pool)

    def batches(
        self, model: Model | QuantizedModel, seed: int, blocks: int = BATCH_BLOCKS
    ) -> list[tuple[Tensor, Tensor]]:
        """All training blocks in random order, in batches of signals and sent symbols."""
        order = np.random.default_rng(seed).permutation(self.blocks)
        fixed = isinstance(model, QuantizedModel)
        waveform = self.train.waveform[order]
        signal = model.convert(waveform) if fixed else to_signal(waveform)
        sent = torch.from_numpy(self.train.symbols[order].T.astype(np.complex64))
        parts = zip(signal.split(blocks, -1), sent.split(blocks, -1), strict=True)
        return [(x.contiguous(), s.contiguous()) for x, s in parts]

    def snr_db(self, model: Model | QuantizedModel, received: transmission.Received) -> float:
        """Effective SNR on some of the data."""
        return snr_db(self.objective(model, received).loss())

    @cached_property
    def start(self) -> FloatFilters:
        """The joint start of the package, designed for the linear link without data."""
        return self._kept("start", self._start)

    def _start(self) -> FloatFilters:
        before = training.LARGEST_TAP
        training.LARGEST_TAP = self.largest_tap
        try:
            return training.start_filters(self.settings)
        finally:
            training.LARGEST_TAP = before

    @cached_property
    def learned(self) -> FloatFilters:
        """The start after a few Gauss-Newton iterations: where fixed-point tasks begin."""
        return self._kept("learned", self._learn)

    def _learn(self) -> FloatFilters:
        model = Model(self.start)
        objective = self.objective(model, self.train)
        damping, limits = gauss_newton.DAMPING, self.limits(model)
        free = np.ones(objective.parameters.size, bool)
        for iteration in range(self.size.float_iterations):
            curvature = self.curvature(objective, iteration)
            _, damping = gauss_newton.iterate(objective, curvature, damping, free, limits)
        return model.filters()

    def curvature(self, objective: Objective, iteration: int, blocks: int | None = None) -> Vector:
        """The Gauss-Newton matrix of some training blocks."""
        count = blocks or self.size.curvature_symbols // self.link.block_symbols
        order = np.random.default_rng((self.seed, iteration)).permutation(objective.blocks)
        return objective.curvature(order[:count])

    def limits(self, model: Model | QuantizedModel) -> tuple[Vector, Vector]:
        """Lowest and highest value of each parameter, as `dbp.learning.training` has them."""
        size = model.parameters_of(model.half_taps, model.kerr).size
        is_tap = np.arange(size) < model.tap_parameters
        low, high = np.where(is_tap, -np.inf, -np.inf), np.where(is_tap, np.inf, np.inf)
        if isinstance(model, QuantizedModel):
            low[is_tap] = model.taps_of(model.lowest * model.steps)
            high[is_tap] = model.taps_of(model.highest * model.steps)
        else:
            low[is_tap], high[is_tap] = -self.largest_tap, self.largest_tap
        return low, high

    def quantized(self, filters: FloatFilters, tap_bits: int, signal_bits: int) -> QuantizedModel:
        """Filters in fixed point, their taps not yet rounded."""
        formats = settings_of(self.size, self.seed, tap_bits, signal_bits)
        design = export(filters, formats.learned, formats.datapath)
        model = QuantizedModel(design, filters)
        model.rounded = False
        return model

    def round_jointly(self, model: QuantizedModel, target: Vector | None = None) -> None:
        """Round all taps of a model together, once, by the package's integer least squares."""
        objective = self.objective(model, self.train)
        parameters = objective.parameters
        taps = np.arange(parameters.size) < model.tap_parameters
        matrix = self.curvature(objective, 0)[np.ix_(taps, taps)]
        steps, *limits = map(model.taps_of, (model.steps, model.lowest, model.highest))
        wanted = parameters[taps] if target is None else target
        parameters[taps] = integer_rounding.round_together(wanted, matrix, steps, limits)
        objective.parameters = parameters
        model.rounded = True

    @property
    def prepared(self) -> bool:
        """Whether start and learned filters are in the folder."""
        return self._path("learned").is_file()

    def _kept(self, name: str, make: Callable[[], FloatFilters]) -> FloatFilters:
        path = self._path(name)
        if not path.is_file():
            make().save(path)
        return FloatFilters.load(path)

    def _path(self, name: str) -> Path:
        limit = f"-{self.largest_tap:g}" if self.largest_tap != training.LARGEST_TAP else ""
        few = f"-{self.blocks}" if name == "learned" else ""
        return self._folder / f"{name}-{self.seed}{few}{limit}.npz"
