"""What a search computes of a candidate, step by step; each step is a pure function of its key.

``floats``: filters in floating point, shared by all candidates that differ in formats and prices
only. ``design``: those, rounded. ``price``: what the design costs. A step runs in any process that
has our sources; it is given what the step before it returned, and returns bytes that are kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from dbp.config import Config
from dbp.datapath.design import Design
from dbp.errors import DbpError, InputError
from dbp.learning import checkpoint, training
from dbp.learning.checkpoint import State
from dbp.learning.float_filters import FloatFilters
from dbp.link.arithmetic import hash_of_numbers, of_processor, on_one_thread
from dbp.support import cache, threads
from dbp.support.files import read_bytes, write_bytes
from dbp.support.sources import hash_of

# The code that decides what is learned, and the libraries.
SOURCES = (*checkpoint.SOURCES, "dbp.datapath")
LIBRARIES = ("numpy", "scipy", "numba", "torch")


@dataclass(frozen=True)
class Price:
    """What a whole receiver of a design is predicted to cost.

    ``extrapolates``: the design is outside of what the prediction was made from.
    """

    power_w: float
    area_mm2: float
    pj_per_bit: float
    extrapolates: bool


@dataclass(frozen=True)
class PriceList:
    """``price`` prices a design under its configuration; functions of the same ``key`` alike.

    Other processes find the function by its module and name.
    """

    key: str
    price: Callable[[Design, Config], Price]


@dataclass(frozen=True)
class Learned:
    """A learned design and its filters in floating point, or why there is none.

    ``snr_db``, ``snr_db_float``: their effective SNR on validation data.
    """

    design: Design | None = None
    filters: FloatFilters | None = None
    snr_db_float: float | None = None
    snr_db: float | None = None
    failed: str | None = None

    def to_bytes(self) -> bytes:
        """Return the ``.npz`` that `of` reads."""
        texts = {
            "design": self.design.to_json() if self.design else None,
            "failed": self.failed,
            "snr_db_float": self.snr_db_float,
            "snr_db": self.snr_db,
        }
        arrays: dict[str, Any] = self.filters.arrays() if self.filters else {}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, content=json.dumps(texts, allow_nan=False), **arrays)
        return buffer.getvalue()

    @classmethod
    def of(cls, content: bytes) -> Learned:
        """Return what `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        texts = json.loads(str(arrays.pop("content")))
        if texts["design"] is not None:
            texts["design"] = Design.from_json(texts["design"])
            texts["filters"] = FloatFilters.from_arrays(arrays)
        return cls(**texts)


def identity() -> dict[str, str]:
    """Return what must be the same wherever candidates are learned."""
    return {
        "sources": hash_of(*SOURCES)[:12],
        **{name: metadata.version(name) for name in LIBRARIES},
        "the arithmetic of the processor": of_processor(),
        "the arithmetic of BLAS": _of_blas(),
    }


@functools.cache
def _of_blas() -> str:
    """Return a hash of what BLAS computes here: its sums depend on the number of its threads."""
    size = 300
    x = np.sin(0.7 * np.arange(size * (size + 1))).reshape(size, size + 1)
    square, narrow = x @ x.T + np.eye(size), x.astype(np.float32)
    return hash_of_numbers([narrow @ narrow.T, square, np.linalg.solve(square, x[:, 0])])


def key_of_learning(settings: Config) -> str:
    """Return the key of the design that is learned with a configuration."""
    content = settings.model_dump(mode="json")
    # Learning reads nothing of these.
    for table in ("baseline", "evaluation", "hardware", "sweep", "explore"):
        del content[table]
    return hash_of_content([content, identity()])


def key_of_price(learned: Learned, settings: Config, prices: PriceList) -> str:
    """Return the key of what a design costs under a configuration."""
    assert learned.design is not None
    link = settings.link
    of_link = [link.modulation, link.symbol_rate_gbd, settings.hardware.model_dump(mode="json")]
    return hash_of_content([learned.design.hash, of_link, prices.key])


def hash_of_content(content: Any) -> str:
    """Return the SHA-256 of what JSON can hold, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# ---- what worker processes run -------------------------------------------------------------------


def learn_floats(settings: Config, expected: Mapping[str, str]) -> bytes:
    """Return the state of learning after its float phase, for `training.float_settings`."""
    with _alone(settings, expected):
        state = on_one_thread(_on_one_core, training.learn_floats, settings)
    return _to_bytes(state)


def learn_design(settings: Config, floats: bytes, expected: Mapping[str, str]) -> bytes:
    """Return the `Learned` of a configuration, from the state that `learn_floats` returned."""
    state = _from_bytes(floats, training.float_settings(settings))
    with _alone(settings, expected):
        try:
            result = on_one_thread(_on_one_core, _train, settings, state)
        except InputError as error:  # worse than linear compensation, say
            return Learned(failed=str(error)).to_bytes()
    learned = Learned(result.design, result.filters, result.snr_db_float, result.snr_db_quantized)
    return learned.to_bytes()


def price_design(learned: bytes, settings: Config, prices: PriceList) -> bytes:
    """Return the `Price` of a `Learned` design, as JSON."""
    design = Learned.of(learned).design
    assert design is not None
    return json.dumps(asdict(prices.price(design, settings)), allow_nan=False).encode()


def _train(settings: Config, state: State) -> training.Result:
    return training.train(settings, state=state, progress=False)


def _on_one_core(function: Callable[..., Any], *arguments: Any) -> Any:
    # Other tasks have the other cores.
    with threads.at_most(1):
        return function(*arguments)


@contextlib.contextmanager
def _alone(settings: Config, expected: Mapping[str, str]) -> Iterator[None]:
    """Check that this process computes what is asked for, and simulate the data of learning once.

    Processes of one machine wait for the first of them, and find the data in the cache.
    """
    different = [
        f"{name} {value}, not {expected.get(name)}"
        for name, value in identity().items()
        if value != expected.get(name)
    ]
    if different:
        raise DbpError(f"a worker would learn something else: it has {'; '.join(different)}")
    with _one_at_a_time("learning-data"):
        on_one_thread(training.simulate_data, settings)
    yield


@contextlib.contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    """Wait until no other process of this machine is in such a block; where files can be locked."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder = cache.folder()
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / f"{name}.lock").open("ab"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _to_bytes(state: State) -> bytes:
    with tempfile.TemporaryDirectory(prefix="dbp-explore-") as folder:
        file = Path(folder) / "state.npz"
        state.save(file)
        return read_bytes(file)


def _from_bytes(content: bytes, settings: Config) -> State:
    with tempfile.TemporaryDirectory(prefix="dbp-explore-") as folder:
        file = Path(folder) / "state.npz"
        write_bytes(file, content)
        return State.load(file, settings)
