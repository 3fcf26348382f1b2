"""Speed of learning: the compiled chain and torch's own operations, in one run.

Forward and backward through the 33 filters of the paper's link, 15 taps each, a batch of 64 blocks
of 512 samples, on one thread. Million samples (MS) per CPU-second, the best of `REPEATS`. Then the
Gauss-Newton matrix of all parameters on 8,192 symbols.

    python benchmarks/training.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dbp import config
from dbp.learning import float_filters, gauss_newton, least_squares
from dbp.learning.export import export
from dbp.learning.float_model import Detector, Model, to_signal
from dbp.learning.quantized_model import QuantizedModel

BLOCKS, SAMPLES = 64, 512
REPEATS = 7
GAUSS_NEWTON_BLOCKS = 16
GAUSS_NEWTON_SAMPLES = 1024


def cpu_seconds(run: Callable[[], object]) -> float:
    """The shortest of several runs, after one that compiles."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def step(
    receive: Callable[[Tensor, float], Tensor],
    model: Model | QuantizedModel,
    x: Tensor,
    power: float,
) -> Callable[[], object]:
    """Forward and backward, from the same gradient behind the chain."""
    gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x)
    parameters = model.half_taps, model.kerr
    return lambda: torch.autograd.grad(receive(x, power), parameters, gradient)


def waveform(blocks: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(0, 0.5**0.5, (blocks, samples, 2)).view(np.complex128)[..., 0]


def main() -> None:
    torch.set_num_threads(1)
    detector = Detector(0.1, GAUSS_NEWTON_SAMPLES)
    print("form         Kerr taps   plain  compiled   ratio   Gauss-Newton, CPU-seconds")
    for kerr_taps in (1, 5):
        learned = config.Learned()
        start = least_squares.unlearned_filters(learned, config.Link())
        kerr = np.pad(start.kerr_rad_per_mw, [(0, 0), (kerr_taps // 2, 0)])
        chain = float_filters.FloatFilters(start.taps, kerr)
        quantized = QuantizedModel(export(chain, learned, config.Datapath()), chain)
        for name, model, convert, power in (
            ("float", Model(chain), to_signal, 1.0),
            ("fixed point", quantized, quantized.convert, 1000),
        ):
            x = convert(waveform(BLOCKS, SAMPLES))
            plain, compiled = (
                BLOCKS * SAMPLES / cpu_seconds(step(form, model, x, power)) / 1e6
                for form in (model.plain, model)
            )
            x = convert(waveform(GAUSS_NEWTON_BLOCKS, GAUSS_NEWTON_SAMPLES))
            sent = detector.symbols(model(x, power)).detach()
            seconds = cpu_seconds(
                partial(gauss_newton.curvature_and_slope, model, power, x, sent, detector)
            )
            print(
                f"{name:12}{kerr_taps:10}{plain:8.3f}{compiled:10.2f}{compiled / plain:8.1f}"
                f"{seconds:8.2f}"
            )


if __name__ == "__main__":
    main()
