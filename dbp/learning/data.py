"""Training and validation data: blocks of the link, simulated or cut from a recording.

Simulated blocks are circular. What is cut from a recording is not, so that its blocks overlap: each
has symbols at both ends that are received, since filters need them, and not compared with those
sent (`Examples`).
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dbp import config
from dbp.config import Config
from dbp.learning import gauss_newton
from dbp.learning.float_model import Detector, Model, to_signal
from dbp.learning.quantized_model import QuantizedModel
from dbp.link import front_end, transmission
from dbp.support import threads

# Batches run side by side.
TASKS = 64


class Pairs(Protocol):
    """What was received of blocks, and what was sent, as `dbp.link.transmission.Received` has them.

    ``waveform``: shape ``(blocks, [2,] link.adc_samples)``, mean power 1. ``symbols``: shape
    ``(blocks, [2,] n)``, all symbols of a block, or those that are not at its ends.
    """

    @property
    def symbols(self) -> NDArray[np.complexfloating]: ...

    @property
    def waveform(self) -> NDArray[np.complexfloating]: ...


@dataclass(frozen=True, repr=False, eq=False)
class Cut:
    """Blocks that were cut from a recording, as `Pairs` has them."""

    symbols: NDArray[np.complexfloating]
    waveform: NDArray[np.complexfloating]


@dataclass(frozen=True, repr=False, eq=False)
class Examples:
    """Blocks of a recording to learn on and to validate on, in the place of simulated ones.

    ``edge_symbols``: at each end of a block, beside the ``training.block_symbols`` that its
    ``symbols`` have.
    """

    train: Cut
    validation: Cut
    edge_symbols: int

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all numbers: a run goes on with these and with no others."""
        digest = hashlib.sha256()
        for cut in (self.train, self.validation):
            for array in (cut.symbols, cut.waveform):
                digest.update(f"{array.shape}".encode())
                digest.update(np.ascontiguousarray(array, "<c8").tobytes())
        return digest.hexdigest()


def learned_link(settings: Config, edge_symbols: int = 0) -> config.Link:
    """Return the link of a block of data.

    Learning has no carrier recovery in its loss, and needs no phase noise of lasers; nor is there
    an equaliser in it that would undo what mixes both polarisations.
    """
    ideal = front_end.without_lasers(settings.link)
    return ideal.model_copy(
        update={
            "block_symbols": settings.training.block_symbols + 2 * edge_symbols,
            "impairments": ideal.impairments.unmixed(),
        }
    )


class Data:
    """Training and validation data of a configuration; each block is a training example."""

    def __init__(
        self,
        settings: Config,
        device: torch.device,
        pool: ThreadPoolExecutor,
        progress: bool = True,
        memory_gib: float | None = None,
        examples: Examples | None = None,
    ) -> None:
        training = settings.training
        edge = examples.edge_symbols if examples else 0
        self._link, self._examples = learned_link(settings, edge), examples
        self.training = training
        self.has_prices = bool(training.digit_price_mdb or training.half_tap_price_mdb)
        self.counts_digits = self.has_prices or bool(training.digit_budget)
        self.detector = Detector(
            self._link.roll_off, self._link.adc_samples, self._link.adc_rate, edge
        )
        self.device, self.pool, self._progress = device, pool, progress
        # As many batches are differentiated side by side as the pool has threads.
        side_by_side = min(TASKS, threads.cores())
        self._memory = None if memory_gib is None else int(memory_gib * 2**30 / side_by_side)
        # It need not be exact: with two polarisations half the blocks have as many symbols.
        symbols = training.block_symbols * self._link.impairments.polarizations
        self.curvature_blocks = -(-training.curvature_symbols // symbols)
        self.seed = settings.seed

    @cached_property
    def train(self) -> Pairs:
        if self._examples:
            return self._examples.train
        return self._simulate("train", self.training.symbols)

    @cached_property
    def validation(self) -> Pairs:
        if self._examples:
            return self._examples.validation
        return self._simulate("validate", self.training.validation_symbols)

    def _simulate(self, purpose: transmission.Purpose, symbols: int) -> transmission.Received:
        return transmission.simulate(
            self._link,
            self.training.launch_power_dbm,
            -(-symbols // self.training.block_symbols),
            seed=self.seed,
            purpose=purpose,
            device=self.device,
            progress=self._progress and purpose == "train",
        )

    def objective(
        self, model: Model | QuantizedModel, launch_power: float, pairs: Pairs
    ) -> gauss_newton.Objective:
        """The loss of a model, which moves to the device, on some of the data."""
        convert = model.convert if isinstance(model, QuantizedModel) else to_signal
        signal = convert(pairs.waveform).to(self.device)
        symbols = pairs.symbols.reshape(-1, pairs.symbols.shape[-1])
        sent = torch.from_numpy(symbols.T.astype(np.complex64)).to(self.device)
        model.to(self.device)
        model.memory = self._memory
        return gauss_newton.Objective(model, launch_power, signal, sent, self.detector, self.pool)
