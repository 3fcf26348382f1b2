"""``dbp train``: simulate the link, learn and quantize filters, export a design."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbp.api import learning
from dbp.cli._waveforms import prefix_errors
from dbp.config import Config, period
from dbp.config.limits import USUALLY_HELD_OUT
from dbp.datapath.design import Design
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import TrainMetrics
from dbp.runs import place
from dbp.waveforms.recording import read_recording

if TYPE_CHECKING:
    from dbp.evaluation.recorded_examples import Prepared
    from dbp.evaluation.recorded_state import Tracked


def train(
    settings: Config,
    out: Path,
    device: str = "cpu",
    memory_gib: float | None = None,
    waveform: str | Path | None = None,
    held_out: float = USUALLY_HELD_OUT,
) -> None:
    """Learn a design and write it, its floats and its history into ``out``.

    A killed run goes on from ``out/train/checkpoint.npz``. ``device``: of torch, by its name.
    ``memory_gib``: as `dbp.learn` has it. ``waveform``: a file to learn on in place of simulated
    data, but for its last share ``held_out``, which validates.
    """
    from dbp.learning import training
    from dbp.learning.digit_rounding import design_digits

    torch_device = training.find_device(device)
    memory = learning.memory(memory_gib, torch_device.type)
    stopwatch = Stopwatch()
    prepared = None if waveform is None else _prepared(waveform, settings, held_out)
    examples = prepared.examples if prepared else None
    out.mkdir(parents=True, exist_ok=True)
    print(
        f"Learning {_lengths(settings)} taps with {settings.learned.coefficient_bits}-bit "
        f"coefficients and {settings.learned.signal_bits}-bit signals, seed {settings.seed}",
        flush=True,
    )
    checkpoint = out / "train" / "checkpoint.npz"
    design = learning.of_result(
        training.train(settings, checkpoint, torch_device, memory_gib=memory, examples=examples)
    )
    unlearned, _ = training.baseline(settings)
    snr_db_baseline = training.validated_snr_db(unlearned, settings, torch_device, examples)
    place(design, settings, out)
    design.float_filters.save(out / "train" / "float.npz")
    training.write_history(out / "train" / "history.csv", design.history)
    metrics = TrainMetrics(
        launch_power_dbm=design.launch_power_dbm,
        snr_db_baseline=snr_db_baseline,
        snr_db_float=design.snr_db_float,
        snr_db_quantized=design.snr_db_quantized,
        design=design.name,
        signed_digits=design_digits(design),
        hardwired_adders=_hardwired_adders(design),
        **(_figures(waveform, prepared, held_out) if prepared else {}),
        **provenance(
            design_hash=design.hash,
            config_hash=settings.hash,
            seed=settings.seed,
            versions=package_versions("torch", "numpy", "numba"),
            stopwatch=stopwatch,
        ),
    )
    write_metrics(out / "train" / "metrics.json", metrics)
    checkpoint.unlink(missing_ok=True)
    print(
        f"Effective SNR at {metrics.launch_power_dbm:+g} dBm on unseen data: "
        f"baseline {metrics.snr_db_baseline:.2f} dB, learned {metrics.snr_db_float:.2f} dB "
        f"in float and {metrics.snr_db_quantized:.2f} dB quantized; "
        f"{metrics.signed_digits} signed digits, {metrics.hardwired_adders} adders a sample if "
        "hardwired; "
        f"{metrics.wall_time_s:.0f} s -> {out / 'design.json'}",
        flush=True,
    )


def _prepared(file: str | Path, settings: Config, held_out: float) -> Prepared:
    """Read a waveform file and cut it into examples; says what was found."""
    from dbp.evaluation import recorded_examples

    recording = read_recording(file)
    with prefix_errors(file):
        prepared = recorded_examples.prepare(recording, settings, held_out)
    for what, cut, state in zip(
        ("learned on", "held out"), prepared.cuts, prepared.states, strict=True
    ):
        print(f"{file}, {what}: {cut.symbols.size} symbols; {_found(state, settings)}", flush=True)
    return prepared


def _found(state: Tracked, settings: Config) -> str:
    carrier_mhz = 1e3 * settings.link.symbol_rate_gbd * state.frequency
    return (
        f"carrier {carrier_mhz:+.1f} MHz, clock {1e6 * state.drift:+.2f} ppm, coherence "
        f"{state.coherence:.4f}" + (", by conjugates" if state.conjugated else "")
    )


def _figures(file: str | Path | None, prepared: Prepared, held_out: float) -> dict[str, Any]:
    """What `TrainMetrics` states of a recording."""
    learned, validated = (cut.symbols.size for cut in prepared.cuts)
    return {
        "waveform": str(file),
        "waveform_hash": prepared.recording.hash,
        "held_out": held_out,
        "learned_symbols": learned,
        "validated_symbols": validated,
    }


def _lengths(settings: Config) -> str:
    """Return the lengths of the filters, in the direction of the light."""
    return "/".join(map(str, period(settings.learned, settings.link).taps))


def _hardwired_adders(design: Design) -> int:
    """Count the adders of two inputs of all filters that `dbp rtl --filters hardwired` builds."""
    from dbp.rtl.blocks.hardwired import graph_sizes
    from dbp.rtl.pipeline import HardwiredPipeline

    sizes = (
        graph_sizes(filter_, design.filter_input_bits(k), HardwiredPipeline())
        for k, filter_ in enumerate(design.filters)
    )
    return sum(size.shared.adders for size in sizes)


def baseline(settings: Config, out: Path) -> None:
    """Write the least-squares baseline of the configuration into a folder of its own."""
    from dbp.learning import training

    design, filters = training.baseline(settings)
    place(design, settings, out)
    filters.save(out / "train" / "float.npz")
