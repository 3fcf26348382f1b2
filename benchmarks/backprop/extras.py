"""Questions of the study that are no race: saliency of taps, how adjoints decay, recomputation.

Each unit is a line of ``extras.jsonl`` as soon as it is done.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.backprop import adjoints, saliency
from benchmarks.backprop.task import Size, Task
from dbp import config
from dbp.learning import least_squares
from dbp.learning.float_model import Model, to_signal

DAMPING = 1e-4
# Taps that are pruned together, as shares of all.
PRUNED = 0.05, 0.1, 0.2
# Filters of the chains, and shares of the memory that a derivative without recomputation keeps.
CHAINS, SHARES = (33, 65, 129), (None, 1 / 2, 1 / 4)
# Of malloc.h: larger blocks are mapped from the system one by one.
M_MMAP_THRESHOLD = -3
# A batch, as learning has them: blocks and samples of each.
BLOCKS, SAMPLES = 32, 1024


def saliencies(task: Task) -> dict[str, Any]:
    """How well each measure predicts what pruning a tap costs, and what is left when some go.

    The truth is the loss with the tap zero; "inverse" is also held against the loss after the best
    move of all others.
    """
    model = Model(task.learned)
    objective = task.objective(model, task.train)
    values, loss = objective.parameters, objective.loss()
    taps = np.arange(values.size) < model.tap_parameters
    matrix = task.curvature(objective, 0)[np.ix_(taps, taps)]
    said = saliency.predictions(values[taps], objective.slope()[taps], matrix, DAMPING)

    def loss_with(changed: np.ndarray) -> float:
        objective.parameters = np.concatenate((changed, values[~taps]))
        return objective.loss()

    count = int(taps.sum()) // 2
    alone, together = np.zeros(count), np.zeros(count)
    for n in range(count):
        zero = values[taps].copy()
        zero[2 * n : 2 * n + 2] = 0
        alone[n] = loss_with(zero) - loss
        others = saliency.compensated(values[taps], matrix, DAMPING, np.array([n]))
        together[n] = loss_with(others) - loss
    out: dict[str, Any] = {"whole_db": task.snr_db(Model(task.learned), task.fresh)}
    for name, measure in said.items():
        out[f"{name} rank alone"] = saliency.rank_correlation(measure, alone)
        out[f"{name} rank compensated"] = saliency.rank_correlation(measure, together)
        for share in PRUNED:
            pruned = np.argsort(measure)[: round(share * count)]
            left = saliency.compensated(values[taps], matrix, DAMPING, pruned)
            objective.parameters = np.concatenate((left, values[~taps]))
            out[f"{name} {share:g} pruned db"] = task.snr_db(model, task.fresh)
    return out


def decay(task: Task) -> dict[str, Any]:
    """Norms of the gradients of the start's filters, the last first, and their rate of decay."""
    model = Model(task.start)
    slope = task.objective(model, task.train).slope()[: model.tap_parameters]
    ends = np.cumsum(2 * model.halves)[:-1]
    norms = np.array([np.linalg.norm(part) for part in np.split(slope, ends)][::-1])
    depths = {f"{t:g}": adjoints.truncation_depth(norms, t) for t in (0.1, 0.3, 0.9)}
    return {"norms": norms.tolist(), "beta": adjoints.decay(norms), "depths": depths}


def memory_of(filters: int, share: float | None) -> dict[str, Any]:
    """Time and peak of memory of forward and backward pass in torch's own operations."""
    torch.set_num_threads(1)
    link = config.Link(spans=filters - 1)
    model = Model(least_squares.unlearned_filters(config.Learned(kerr_taps=1), link))
    random = np.random.default_rng(0)
    waveform = random.normal(0, 0.5**0.5, (BLOCKS, SAMPLES, 2)).view(np.complex128)[..., 0]
    x, kept = to_signal(waveform), {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    few = x[..., :1].contiguous()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model.plain(few, 1.0)
    del y
    whole = sum(kept.values())
    # Code that is loaded at the first derivative is no memory of the derivative.
    model.memory = None if share is None else int(share * whole)
    torch.autograd.grad(model.plain(few, 1.0).sum(), (model.half_taps, model.kerr))
    model.memory = None if share is None else int(share * whole * BLOCKS)
    _give_back_what_is_freed()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    y = model.plain(x, 1.0)
    gradients = torch.autograd.grad(y.square().sum(), (model.half_taps, model.kerr))
    return {
        "allowed_mib": None if share is None else model.memory / 2**20,
        "seconds": time.process_time() - begin,
        "peak_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "gradient": hashlib.sha256(b"".join(g.numpy().tobytes() for g in gradients)).hexdigest(),
    }


def _give_back_what_is_freed() -> None:
    """Let the C library return every large block at once: the peak is then that of live tensors."""
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "mallopt"):
        c_library.mallopt(M_MMAP_THRESHOLD, 1 << 16)


def units(
    size: Size, folder: Path, seeds: Sequence[int]
) -> dict[str, tuple[Callable[..., dict[str, Any]], tuple]]:
    """All units by their names."""
    out: dict[str, tuple[Callable[..., dict[str, Any]], tuple]] = {}
    for seed in seeds:
        out[f"saliency {seed}"] = _on_task, (saliencies, size, seed, folder)
        out[f"decay {seed}"] = _on_task, (decay, size, seed, folder)
    for filters in CHAINS:
        for share in SHARES:
            name = "all" if share is None else str(Fraction(share))
            out[f"memory {filters} {name}"] = memory_of, (filters, share)
    return out


def _on_task(
    function: Callable[[Task], dict[str, Any]], size: Size, seed: int, folder: Path
) -> dict[str, Any]:
    torch.set_num_threads(1)
    return function(Task(size, seed, folder))


def read(path: Path) -> dict[str, dict[str, Any]]:
    """What is done, by name."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return {entry.pop("unit"): entry for entry in map(json.loads, lines)}


def work(size: Size, folder: Path, seeds: Sequence[int], until: float) -> bool:
    """Do what is missing until a time, one process each; tell whether nothing is left."""
    path = folder / "extras.jsonl"
    context = multiprocessing.get_context("fork")
    for name, (function, arguments) in units(size, folder, seeds).items():
        if name in read(path):
            continue
        if time.monotonic() > until:
            return False
        parent, child = context.Pipe(False)
        process = context.Process(target=_send, args=(child, function, arguments))
        process.start()
        child.close()
        entry = parent.recv()
        process.join()
        with path.open("a") as file:
            file.write(json.dumps({"unit": name, **entry}) + "\n")
        print(name, flush=True)
    return True


def _send(pipe: Any, function: Callable[..., dict[str, Any]], arguments: tuple) -> None:
    pipe.send(function(*arguments))
    pipe.close()
