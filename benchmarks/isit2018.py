"""Core-seconds and effective SNR of `dbp train isit2018`, floating point, on fresh data.

    python benchmarks/isit2018.py

The preset's link (Haeger and Pfister, ISIT 2018) at 0 dBm. The authors' public code goes from 20.81
to 22.61 dB there in 1,500 iterations of 0.22 core-seconds: 330. Compilation and the simulation of
the link are stated apart; the rest is all that learning costs here, on any number of threads.
"""

from __future__ import annotations

import os
import tempfile
import time

from dbp import config
from dbp.evaluation.measures import effective_snr_db, matched_filter
from dbp.evaluation.receivers import FloatReceiver, Receiver, Reference
from dbp.learning import training
from dbp.learning.checkpoint import State
from dbp.link import transmission

AUTHORS_SNR_DB, AUTHORS_CORE_SECONDS = 22.61, 330
FRESH_SYMBOLS = 262_144


def fresh_snr_db(receiver: Receiver, settings: config.Config, launch_power_dbm: float) -> float:
    """Effective SNR on data of evaluation."""
    received = transmission.simulate(
        settings.link,
        launch_power_dbm,
        FRESH_SYMBOLS // settings.link.block_symbols,
        seed=settings.seed,
        purpose="evaluate",
    )
    equalized = receiver(received.waveform, launch_power_dbm)
    return effective_snr_db(received.symbols, matched_filter(equalized, settings.link.roll_off))


def main() -> None:
    settings = config.load("isit2018")
    power_dbm = settings.training.launch_power_dbm
    # One iteration of each phase on few data: compiles everything.
    few = {"symbols": 4096, "validation_symbols": 4096, "curvature_symbols": 1024}
    once = {"start_iterations": 1, "float_iterations": 1, "signal_iterations": 0}
    first = settings.training.model_copy(update=few | once | {"tap_iterations": 1})
    begin = time.process_time()
    training.train(settings.model_copy(update={"training": first}))
    print(f"compilation, if not cached: {time.process_time() - begin:.1f} core-seconds")

    blocks = settings.link.model_copy(update={"block_symbols": settings.training.block_symbols})
    begin = time.process_time()
    for purpose, symbols in (
        ("train", settings.training.symbols),
        ("validate", settings.training.validation_symbols),
    ):
        transmission.simulate(
            blocks,
            power_dbm,
            symbols // blocks.block_symbols,
            seed=settings.seed,
            purpose=purpose,
        )
    print(f"simulation of the link: {time.process_time() - begin:.1f} core-seconds")

    spent, add = [], State.add

    def watch(state: State, *step: object) -> None:
        add(state, *step)
        spent.append(time.process_time() - begin)

    State.add = watch
    begin = time.process_time()
    result = training.train(settings)
    print("iter  phase    core-seconds  validated dB")
    for row, seconds in zip(result.history, spent, strict=True):
        print(f"{row.iteration:4}  {row.phase:7}  {seconds:12.1f}  {row.snr_db:12.2f}")

    learned = fresh_snr_db(FloatReceiver("learned", result.filters), settings, power_dbm)
    start = FloatReceiver("start", training.baseline(settings)[1])
    print(f"\nfresh data: authors' start {fresh_snr_db(start, settings, power_dbm):.2f} dB")
    for name in ("dbp1", "dbp50"):
        snr_db = fresh_snr_db(Reference(name, settings.link), settings, power_dbm)
        print(f"fresh data: {name} {snr_db:.2f} dB")
    in_float = [s for row, s in zip(result.history, spent, strict=True) if row.phase == "float"]
    print(
        f"fresh data: learned, float {learned:.2f} dB in {in_float[-1]:.1f} core-seconds "
        f"(authors: {AUTHORS_SNR_DB} dB in {AUTHORS_CORE_SECONDS}, ratio "
        f"{AUTHORS_CORE_SECONDS / in_float[-1]:.0f})"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DBP_CACHE"] = cache
        main()
