"""Learning a receiver filter: from least squares over floating point to the integers of a Design.

1. Start: LS-CO filters, designed jointly as a chain (`dbp.cascade`), which needs no data.
2. Floating point: Adam on the mean squared error of the symbols, taps and Kerr constants together.
3. Fixed point: the same on `dbp.quantization.QuantizedModel`, first with signals and Kerr constants
   rounded; then all taps are rounded together (`dbp.rounding`); then the Kerr constants learn on
   and the best validated state is kept.

Training, validation and evaluation of one seed never share random numbers (`dbp.link`).
"""

from __future__ import annotations

import copy
import csv
import io
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dbp import cascade, filters, link, rounding
from dbp.config import Config
from dbp.design import Design, launch_power_uw
from dbp.files import write_text
from dbp.filters import FloatFilters
from dbp.model import Detector, Model, to_signal
from dbp.quantization import QuantizedModel, export
from dbp.turning import turned

# Every batch is split between so many threads, whatever the machine, so that sums of gradients
# are the same everywhere.
WORKERS = 2
# What start and learning keep both parts of every tap within: unlimited, some filters of a chain
# grow a tap larger than one and with it the scale and the rounding errors of all their taps.
LARGEST_TAP = 0.98
BETAS = 0.9, 0.99
ROW_EVERY = 50
VALIDATE_EVERY = 10
# Part of the fixed-point iterations before the taps are rounded.
ROUND_AFTER = 0.9
# Symbols on which the effect of taps is measured for their rounding: many times their number.
ROUNDING_SYMBOLS = 8192


@dataclass(frozen=True)
class Row:
    """One line of ``history.csv``; ``snr_db`` is the effective SNR on the validation data."""

    iteration: int
    phase: str
    taps: int
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

    They are turned by constant phases for the sake of their rounding (`dbp.turning`).
    """
    floats = turned(filters.receiver(settings.baseline, settings.link), settings.baseline)
    design = export(floats, settings.baseline, settings.datapath)
    return replace(design, name=f"baseline-{design.name}"), floats


def train(settings: Config) -> Result:
    """Learn the design of a configuration. Same configuration, same machine: same result."""
    threads = torch.get_num_threads()
    # One thread per worker: threads inside torch's small operations would wait for each other.
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            return _train(settings, pool)
    finally:
        torch.set_num_threads(threads)


def _train(settings: Config, pool: ThreadPoolExecutor) -> Result:
    data = _Data(settings, pool)
    power_mw = 1e3 * link.watts(settings.training.launch_power_dbm)
    power_uw = launch_power_uw(settings.training.launch_power_dbm)
    history: list[Row] = []

    model = Model(_start(settings))
    learner = _Learner(model, lambda x: model(x, power_mw), data, to_signal, settings, history)
    learner.float_phase()
    floats = model.filters()
    snr_db_float = learner.validate()

    design = export(floats, settings.learned, settings.datapath)
    quantized = QuantizedModel(design, floats)
    learner = _Learner(
        quantized, lambda x: quantized(x, power_uw), data, quantized.convert, settings, history
    )
    learner.quantized_phase(power_mw)
    snr_db_quantized = learner.validate()

    reference = QuantizedModel(baseline(settings)[0])
    snr_db_baseline = data.snr_db(lambda x: reference(x, power_uw), reference.convert)
    figures = {
        "launch_power_dbm": settings.training.launch_power_dbm,
        "snr_db_baseline": snr_db_baseline,
        "snr_db_float": snr_db_float,
        "snr_db_quantized": snr_db_quantized,
    }
    return Result(quantized.design(f"learned-{design.name}"), floats, figures, tuple(history))


def _start(settings: Config) -> FloatFilters:
    learned = settings.learned
    return cascade.design(
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

    def __init__(self, settings: Config, pool: ThreadPoolExecutor) -> None:
        training = settings.training
        blocks = -(-training.symbols // training.block_symbols)
        validation = -(-training.validation_symbols // training.block_symbols)
        link_ = settings.link.model_copy(update={"block_symbols": training.block_symbols})

        def simulate(purpose: link.Purpose, blocks: int) -> link.Received:
            return link.simulate(
                link_,
                training.launch_power_dbm,
                blocks,
                seed=settings.seed,
                purpose=purpose,
                progress=purpose == "train",
            )

        train = simulate("train", blocks)
        self.validation = simulate("validate", validation)
        self.waveform = train.waveform
        self.symbols = _symbols(train.symbols)
        self.detector = Detector(link_.roll_off, 2 * training.block_symbols)
        self.pool = pool
        self._chunk = -(-training.batch_blocks // WORKERS)
        self._random = np.random.default_rng(settings.seed)

    def batches(self) -> Iterator[list[np.ndarray]]:
        """Numbers of the blocks of one batch, split over the workers, without end."""
        blocks = self.waveform.shape[0]
        order = np.empty(0, np.int64)
        while True:
            while order.size < WORKERS * self._chunk:
                order = np.concatenate((order, self._random.permutation(blocks)))
            batch, order = np.split(order, [WORKERS * self._chunk])
            yield np.split(batch, WORKERS)

    def snr_db(
        self,
        receive: Callable[[Tensor], Tensor],
        convert: Callable[[np.ndarray], Tensor],
    ) -> float:
        """Effective SNR of a receiver on the validation data."""
        signal = convert(self.validation.waveform)
        with torch.no_grad():
            received = torch.cat(
                list(self.pool.map(_no_grad(receive), signal.split(self._chunk, -1))), -1
            )
            loss = self.detector.loss(received, _symbols(self.validation.symbols))
        return -10 * math.log10(loss.item())


def _no_grad(receive: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        with torch.no_grad():  # a thread has its own mode
            return receive(x.contiguous())

    return run


def _symbols(symbols: np.ndarray) -> Tensor:
    return torch.from_numpy(symbols.T.astype(np.complex64))


class _Learner:
    """Adam on the parameters of a model; each batch is split between the workers."""

    def __init__(
        self,
        model: Model | QuantizedModel,
        receive: Callable[[Tensor], Tensor],
        data: _Data,
        convert: Callable[[np.ndarray], Tensor],
        settings: Config,
        history: list[Row],
    ) -> None:
        self.model = model
        self._receive, self._data, self._convert = receive, data, convert
        self._training, self._taps = settings.training, settings.learned.taps
        self._history = history
        self._signal = convert(data.waveform)
        self._batches = data.batches()
        # Taps are of the order of 1; Kerr constants get steps relative to their own size.
        self._sizes = [1.0, float(model.kerr.detach().abs().max()) if model.kerr.numel() else 1.0]
        self._adam = torch.optim.Adam(
            [{"params": [p]} for p in (model.half_taps, model.kerr)], betas=BETAS
        )

    def validate(self) -> float:
        """Effective SNR in dB on the validation data."""
        return self._data.snr_db(self._receive, self._convert)

    def float_phase(self) -> None:
        """Learn everything, with a step size that falls to almost nothing."""
        total = self._training.float_iterations
        for iteration in self._iterations("float", total):
            self._step(self._rate(iteration, total))

    def quantized_phase(self, launch_power_mw: float) -> None:
        """Learn on rounded signals, round the taps, learn the rotations, keep the best state."""
        total = self._training.quantized_iterations
        last = math.floor(ROUND_AFTER * total)
        self.model.rounded = False
        for iteration in self._iterations("signals", last):
            self._step(self._rate(iteration, last))
        self._round(launch_power_mw)
        best, state = self.validate(), copy.deepcopy(self.model.state_dict())
        for iteration in self._iterations("rotations", total - last):
            self._step(self._rate(iteration, total - last))
            if iteration % VALIDATE_EVERY == VALIDATE_EVERY - 1:
                snr_db = self.validate()
                if snr_db > best:
                    best, state = snr_db, copy.deepcopy(self.model.state_dict())
        self.model.load_state_dict(state)

    def _round(self, launch_power_mw: float) -> None:
        """Round all taps together."""
        model, data = self.model, self._data
        count = max(1, ROUNDING_SYMBOLS // WORKERS // self._training.block_symbols)
        floats = Model(model.floats())
        size = model.half_taps.numel()

        def matrix(worker: int) -> np.ndarray:
            blocks = np.arange(worker * count, (worker + 1) * count) % len(data.waveform)
            x = to_signal(data.waveform[blocks])
            products, _ = rounding.gauss_newton(
                floats, launch_power_mw, x, data.symbols[:, blocks], data.detector
            )
            return products[:size, :size]

        taps = model.half_taps.detach().double()
        flat = [
            p.expand_as(taps).double().numpy().ravel()
            for p in (model.steps, model.lowest, model.highest)
        ]
        rounded = rounding.round_together(
            taps.numpy().ravel(),
            sum(data.pool.map(matrix, range(WORKERS))) / WORKERS,
            flat[0],
            flat[1:],
        )
        with torch.no_grad():
            model.half_taps.copy_(torch.from_numpy(rounded).view_as(taps))
        model.rounded = True
        model.half_taps.requires_grad_(False)

    def _rate(self, iteration: int, total: int) -> float:
        """A step size that rises for a moment and falls to almost nothing."""
        fall = 0.5 * (1 + math.cos(math.pi * iteration / total))
        return self._training.learning_rate * min(1, (iteration + 1) / 20) * fall

    def _step(self, rate: float) -> None:
        for group, size in zip(self._adam.param_groups, self._sizes, strict=True):
            group["lr"] = rate * size
        jobs = list(self._data.pool.map(self._gradients, next(self._batches)))
        self.loss = sum(loss for loss, _ in jobs) / len(jobs)
        for parameter, *parts in zip(self._learned(), *(slopes for _, slopes in jobs), strict=True):
            parameter.grad = sum(parts)
        self._adam.step()
        self._adam.zero_grad()
        if self.model.half_taps.requires_grad:
            with torch.no_grad():
                self.model.half_taps.clamp_(-LARGEST_TAP, LARGEST_TAP)

    def _learned(self) -> list[Tensor]:
        return [p for p in (self.model.half_taps, self.model.kerr) if p.requires_grad]

    def _gradients(self, blocks: np.ndarray) -> tuple[float, tuple[Tensor, ...]]:
        blocks = torch.from_numpy(blocks)
        received = self._receive(self._signal[..., blocks])
        loss = self._data.detector.loss(received, self._data.symbols[:, blocks])
        return loss.item(), torch.autograd.grad(loss, self._learned())

    def _iterations(self, phase: str, total: int) -> Iterator[int]:
        """Count, show the loss, and write a row of history every `ROW_EVERY` iterations."""
        start = self._history[-1].iteration if self._history else 0
        with tqdm(total=total, desc=f"learning, {phase}", unit="it", disable=None) as bar:
            for iteration in range(total):
                yield iteration
                bar.update()
                bar.set_postfix_str(f"loss {10 * math.log10(self.loss):.2f} dB")
                if (iteration + 1) % ROW_EVERY == 0 or iteration == total - 1:
                    row = Row(start + iteration + 1, phase, self._taps, self.loss, self.validate())
                    self._history.append(row)
