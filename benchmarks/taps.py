"""Effective SNR of learned filters, in floating point on fresh data, against their total taps.

    python benchmarks/taps.py OUT

On the paper's link (preset demo) and on that of isit2018, each at its launch power. The longest
filters are learned as `dbp train` does, from the joint least squares of all of them. Where that
start fails, filters are pruned: a penalty on the outermost taps grows from one Gauss-Newton
iteration to the next until they are gone ("prune the outer taps while descending", Fougstedt et
al., ECOC 2018), first those of every other filter, then those of the rest. Writes ``taps.csv`` and
``taps.svg``.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from isit2018 import fresh_snr_db
from matplotlib.figure import Figure

from dbp import config
from dbp.evaluation.receivers import FloatReceiver
from dbp.learning import gauss_newton, training
from dbp.learning.data import TASKS, Data
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Model, to_signal
from dbp.link import closed_forms
from dbp.support import files, threads
from dbp.support.svg import to_svg

# Preset, taps learned from a joint start, and the taps down to which the last of them are pruned.
LINKS = ("demo", (25, 19, 17), 11), ("isit2018", (9,), 3)
ITERATIONS = 12
# Enough where the path from one length to the next matters more than its end.
CURVATURE_SYMBOLS = 8192
# The penalty relative to the loss; taps are gone when their squares sum to less than `GONE`.
FIRST_WEIGHT, GROWTH, MAX_ITERATIONS = 1e-3, 1.4, 80
GONE = 1e-5
# On the way to fewer taps the others grow, for a while; in floating point that costs nothing.
LARGEST_TAP = 1.6


class Objective(gauss_newton.Objective):
    """A loss with ``penalties`` (one of each parameter) on the squares of parameters."""

    penalties: gauss_newton.Vector | float = 0.0

    def loss(self) -> float:
        return super().loss() + float(np.sum(self.penalties * self.parameters**2))

    def slope(self) -> gauss_newton.Vector:
        return super().slope() + self.penalties * self.parameters

    def curvature(self, blocks: np.ndarray) -> np.ndarray:
        return super().curvature(blocks) + np.diag(self.penalties * np.ones(self.parameters.size))


class Descent:
    """Gauss-Newton iterations of some filters, of which only the taps within ``lengths`` stay."""

    def __init__(self, filters: FloatFilters, data: Data, launch_power_mw: float) -> None:
        self.model = Model(filters)
        sent = torch.from_numpy(data.train.symbols.T.astype(np.complex64))
        signal = to_signal(data.train.waveform)
        self.objective = Objective(
            self.model, launch_power_mw, signal, sent, data.detector, data.pool
        )
        self.data, self.damping, self.iterations = data, gauss_newton.DAMPING, 0
        taps, count = self.model.tap_parameters, self.objective.parameters.size
        limit = np.where(np.arange(count) < taps, LARGEST_TAP, np.inf)
        self.limits = -limit, limit

    def inside(self, lengths: list[int]) -> np.ndarray:
        """Whether each parameter belongs to filters of these lengths."""
        half = self.model.half_taps.shape[1]
        rows = [np.arange(half) >= half - n // 2 - 1 for n in lengths]
        taps = np.repeat(np.concatenate(rows), 2)
        return np.concatenate((taps, np.ones(self.model.kerr.numel(), bool)))

    def iterate(self, free: np.ndarray) -> bool:
        """Do one iteration; returns whether any parameter moved."""
        before = self.objective.parameters
        random = np.random.default_rng((self.data.seed, self.iterations))
        blocks = random.permutation(self.objective.blocks)[: self.data.curvature_blocks]
        curvature = self.objective.curvature(blocks)
        self.iterations += 1
        _, self.damping = gauss_newton.iterate(
            self.objective, curvature, self.damping, free, self.limits
        )
        return not np.array_equal(before, self.objective.parameters)

    def prune(self, inside: np.ndarray, kept: np.ndarray) -> None:
        """Drive the parameters that are not ``kept`` to zero."""
        objective, going, weight = self.objective, inside & ~kept, FIRST_WEIGHT
        while np.sum(objective.parameters[going] ** 2) > GONE and self.iterations < MAX_ITERATIONS:
            objective.penalties = weight * going
            if self.iterate(inside):
                weight *= GROWTH
        objective.penalties = 0.0
        objective.parameters = np.where(going, 0.0, objective.parameters)


def learn(
    filters: FloatFilters, lengths: list[int], data: Data, launch_power_mw: float
) -> FloatFilters:
    """Filters of these lengths, from others that are as long or longer."""
    descent = Descent(filters, data, launch_power_mw)
    kept = descent.inside(lengths)
    descent.prune(descent.inside([taps.size for taps in filters.taps]), kept)
    descent.damping = gauss_newton.DAMPING
    for _ in range(ITERATIONS):
        descent.iterate(kept)
    learned = descent.model.filters()
    middle = learned.taps[0].size // 2
    return FloatFilters(
        tuple(
            taps[middle - n // 2 : middle + n // 2 + 1]
            for taps, n in zip(learned.taps, lengths, strict=True)
        ),
        learned.kerr_rad_per_mw,
    )


def curve(preset: str, joint: tuple[int, ...], shortest: int, pool: ThreadPoolExecutor):
    """Rows of ``taps.csv``."""
    settings = config.load(preset)
    quick = settings.training.model_copy(update={"curvature_symbols": CURVATURE_SYMBOLS})
    settings = settings.model_copy(update={"training": quick})
    power_dbm = settings.training.launch_power_dbm
    power_mw = 1e3 * closed_forms.watts(power_dbm)
    data = Data(settings, torch.device("cpu"), pool)

    def row(filters: FloatFilters, start: str, begin: float):
        sizes = [taps.size for taps in filters.taps]
        per_step = "/".join(str(n) for n in sorted(set(sizes), reverse=True))
        snr_db = fresh_snr_db(FloatReceiver("learned", filters), settings, power_dbm)
        spent = time.process_time() - begin
        print(f"{preset:10}{per_step:>6} taps, {start:6}: {snr_db:6.2f} dB, {spent:.0f} s of CPU")
        sys.stdout.flush()
        return preset, per_step, sum(sizes), start, power_dbm, round(snr_db, 3)

    for taps in joint:
        begin = time.process_time()
        chosen = settings.learned.model_copy(update={"taps": taps})
        start = settings.model_copy(update={"learned": chosen})
        filters = pool.submit(training._start, start).result()
        filters = learn(filters, [taps] * len(filters.taps), data, power_mw)
        yield row(filters, "joint", begin)
    for taps in range(joint[-1] - 2, shortest - 1, -2):
        for other in (taps + 2, taps):
            begin = time.process_time()
            lengths = [other if k % 2 else taps for k in range(len(filters.taps))]
            filters = learn(filters, lengths, data, power_mw)
            yield row(filters, "pruned", begin)


def draw(rows: list[tuple]) -> str:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, (preset, *_) in zip(figure.subplots(1, len(LINKS)), LINKS, strict=True):
        for start in ("joint", "pruned"):
            points = [r for r in rows if (r[0], r[3]) == (preset, start)]
            axis.plot([r[2] for r in points], [r[5] for r in points], "o-", label=start)
            for point in points:
                axis.annotate(point[1], (point[2], point[5]), fontsize=7, ha="left", va="top")
        axis.set(title=preset, xlabel="total taps", ylabel="effective SNR (dB)")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return to_svg(figure)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    rows = []
    with threads.pool(TASKS) as pool:
        for chosen in LINKS:
            rows += curve(*chosen, pool)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("preset", "taps", "total_taps", "start", "launch_power_dbm", "snr_db"))
    writer.writerows(rows)
    files.write_text(out / "taps.csv", table.getvalue())
    files.write_text(out / "taps.svg", draw(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
