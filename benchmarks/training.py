"""Speed of a training step: the compiled chain beside torch's own operations, in one run.

Forward and backward through the 33 filters of the paper's link, 15 taps each, a batch of 64 blocks
of 512 samples, on one thread. Million samples (MS) per CPU-second, the best of `REPEATS`.

    python benchmarks/training.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dbp import config, filters, rounding
from dbp.model import Detector, Model, to_signal
from dbp.quantization import QuantizedModel, export

BLOCKS, SAMPLES = 64, 512
REPEATS = 7
GAUSS_NEWTON_BLOCKS = 16
GAUSS_NEWTON_SAMPLES = 1024


def cpu_seconds(run: Callable[[], object]) -> float:
    """The least of some runs, after one that compiles."""
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


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    print(f"{'form':12}{'Kerr taps':>10}{'plain':>8}{'compiled':>10}{'ratio':>8}")
    for kerr_taps in (1, 5):
        learned = config.Learned()
        start = filters.receiver(learned, config.Link())
        kerr = np.pad(start.kerr_rad_per_mw, [(0, 0), (kerr_taps // 2, 0)])
        chain = filters.FloatFilters(start.taps, kerr)
        floats = Model(chain)
        quantized = QuantizedModel(export(chain, learned, config.Datapath()), chain)

        def waveform(blocks: int, samples: int) -> np.ndarray:
            return rng.normal(0, 0.5**0.5, (blocks, samples, 2)).view(np.complex128)[..., 0]

        x = waveform(BLOCKS, SAMPLES)
        for name, model, signal, power in (
            ("float", floats, to_signal(x), 1.0),
            ("fixed point", quantized, quantized.convert(x), 1000),
        ):
            plain, compiled = (
                x.size / cpu_seconds(step(form, model, signal, power)) / 1e6
                for form in (model.plain, model)
            )
            ratio = compiled / plain
            print(f"{name:12}{kerr_taps:10}{plain:8.3f}{compiled:10.2f}{ratio:8.1f}")

        x = waveform(GAUSS_NEWTON_BLOCKS, GAUSS_NEWTON_SAMPLES)
        detector = Detector(0.1, GAUSS_NEWTON_SAMPLES)
        for name, model, signal, power in (
            ("float", floats, to_signal(x), 1.0),
            ("fixed point", quantized, quantized.convert(x), 1000),
        ):
            sent = detector.symbols(model(signal, power)).detach()
            seconds = cpu_seconds(
                lambda model=model, power=power, signal=signal, sent=sent: rounding.gauss_newton(
                    model, power, signal, sent, detector
                )
            )
            parameters = model.half_taps.numel() + model.kerr.numel()
            print(
                f"Gauss-Newton, {name}: {parameters} parameters, {sent.numel()} symbols, "
                f"{seconds:.2f} CPU-seconds"
            )


if __name__ == "__main__":
    main()
