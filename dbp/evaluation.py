"""``dbp ber``: designs and reference receivers over launch powers, to files and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbp import config, metrics
from dbp.complexity import complexity
from dbp.config import Config
from dbp.design import Design, launch_power_uw
from dbp.errors import InputError
from dbp.files import write_csv, write_npz, write_text
from dbp.runs import config_of, find_design, float_filters, read_config

if TYPE_CHECKING:
    from dbp.receivers import Receiver

CONSTELLATION_POINTS = 3000


def ber(
    names: Sequence[str],
    powers_dbm: Sequence[float] | None,
    out: Path,
    *,
    config_name: str | None,
    arithmetic: str,
    min_errors: int | None,
    max_bits: int | None,
    seed: int | None,
) -> None:
    """Evaluate designs and reference receivers over launch powers, by default the CONFIG's."""
    from dbp import references
    from dbp.ber import draw

    stopwatch = metrics.Stopwatch()
    found = {name: find_design(name) for name in names if name not in references.NAMES}
    folders = [folder for _, folder in found.values()]
    settings = config.load(config_name) if config_name else config_of(next(iter(folders), None))
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    kinds = ("fixed", "float") if arithmetic == "both" else (arithmetic,)
    wanted = [(name, kind) for name in names for kind in (kinds if name in found else ("float",))]
    receivers, points = _evaluate(wanted, found, settings, powers_dbm, out, min_errors, max_bits)
    write_text(out / "ber.svg", draw([point.model_dump() for point in points]))
    _save_constellations(receivers, points, settings, out)
    print(f"{stopwatch.seconds:.0f} s -> {out / 'ber.csv'}", flush=True)


def reproduce(
    powers_dbm: Sequence[float] | None,
    out: Path,
    *,
    config_name: str | None,
    min_errors: int | None,
    max_bits: int | None,
    seed: int | None,
) -> None:
    """Evaluate our receiver for every curve of the paper's BER and compare the two."""
    from dbp import published, reproduction

    stopwatch = metrics.Stopwatch()
    settings = read_config(config_name or "paper", seed)
    if settings.link.modulation != published.MODULATION:
        raise InputError(
            f"link.modulation = {settings.link.modulation!r}: must be that of the paper, "
            f"{published.MODULATION!r}"
        )
    curves = published.ber_curves()
    wanted = [(curve.receiver, curve.arithmetic) for curve in curves]
    found = {name: find_design(name) for name, _ in wanted if name != "linear"}
    _, points = _evaluate(wanted, found, settings, powers_dbm, out, min_errors, max_bits)
    write_text(out / "ber.svg", reproduction.draw(curves, points))
    rows = reproduction.compare(curves, points)
    write_csv(out / "reproduction.csv", rows)
    print(reproduction.to_text(rows))
    print(f"{stopwatch.seconds:.0f} s -> {out / 'reproduction.csv'}", flush=True)


def _evaluate(
    wanted: Sequence[tuple[str, str]],
    found: Mapping[str, tuple[Design, Path | None]],
    settings: Config,
    powers_dbm: Sequence[float] | None,
    out: Path,
    min_errors: int | None,
    max_bits: int | None,
) -> tuple[list[Receiver], list[metrics.Point]]:
    """Count the bit errors of receivers; writes ``metrics.json`` and ``ber.csv``.

    ``wanted``: name and arithmetic of each; the names in ``found`` are designs, the others
    reference receivers. What is None is the configuration's. Returns the receivers and all points.
    """
    from dbp import ber, references
    from dbp.receivers import FixedReceiver, FloatReceiver

    powers_dbm = powers_dbm or settings.evaluation.launch_power_dbm
    names = list(dict.fromkeys(name for name, _ in wanted))
    short = {name: found[name][0].name if name in found else name for name in names}
    # Designs of the same name are told apart as they were typed.
    labels = {
        name: name if list(short.values()).count(label) > 1 else label
        for name, label in short.items()
    }
    receivers: list[Receiver] = []
    for name, arithmetic in wanted:
        label = labels[name]
        if name not in found:
            receivers.append(references.Reference(label, settings.link))
        elif arithmetic == "fixed":
            receivers.append(FixedReceiver(label, found[name][0]))
        else:
            filters = float_filters(name, found[name][1])
            receivers.append(FloatReceiver(label, filters))

    stopwatch = metrics.Stopwatch()
    out.mkdir(parents=True, exist_ok=True)
    for name, arithmetic in wanted:
        for power in powers_dbm if arithmetic == "fixed" else ():
            if any(r.kerr_saturates(launch_power_uw(power)) for r in found[name][0].rotations):
                print(f"Note: {labels[name]}: K is at the end of its range at {power:+g} dBm")
    print(
        f"Counting bit errors of {', '.join(labels.values())} at "
        f"{', '.join(f'{power:+g}' for power in powers_dbm)} dBm",
        flush=True,
    )
    counted = ber.evaluate(
        receivers,
        settings.link,
        powers_dbm,
        min_errors=min_errors or settings.evaluation.min_errors,
        max_bits=max_bits or settings.evaluation.max_bits,
        seed=settings.seed,
    )
    designs = {labels[name]: design for name, (design, _) in found.items()}
    points = [{**point, **_of_design(point, designs.get(point["design"]))} for point in counted]
    hashes = [design.hash for design in designs.values()]
    metrics.write_metrics(
        out / "metrics.json",
        {"points": points},
        design_hash=hashes[0] if len(hashes) == 1 else None,
        config_hash=settings.hash,
        seed=settings.seed,
        versions=metrics.package_versions("torch", "numpy", "scipy"),
        stopwatch=stopwatch,
    )
    write_csv(out / "ber.csv", points)
    checked = [metrics.Point(**point) for point in points]
    _print_best(checked)
    return receivers, checked


def _of_design(point: Mapping[str, Any], design: Design | None) -> dict[str, Any]:
    """What a point tells of its design: hash and, in fixed point, the cost per complex sample."""
    cost = complexity(design) if design and point["arithmetic"] == "fixed" else None
    return {
        "design_hash": design.hash if design else None,
        "multiplier_bits": cost.multiplier_bits if cost else None,
        "adder_bits": cost.adder_bits if cost else None,
    }


def _print_best(points: Sequence[metrics.Point]) -> None:
    """A table of every receiver's best point."""
    from dbp.report import aligned, best_points

    rows = [["design", "arithmetic", "BER", "95 % interval", "SNR dB", "at dBm"]]
    rows[0] += ["multiplier bits", "adder bits"]
    for (label, kind), point in best_points(points).items():
        interval = f"{point.ber_low:.2e} .. {point.ber_high:.2e}"
        row = [label, kind, f"{point.ber:.2e}", interval, f"{point.snr_db:.2f}"]
        costs = (point.multiplier_bits, point.adder_bits)
        row += [f"{point.launch_power_dbm:+g}", *("-" if n is None else f"{n:,}" for n in costs)]
        rows.append(row)
    print(aligned(rows))


def _save_constellations(
    receivers: Sequence[Receiver],
    points: Sequence[metrics.Point],
    settings: Config,
    out: Path,
) -> None:
    """``constellation.npz``: symbols as received, and as each receiver leaves them.

    The first receiver's best launch power serves all.
    """
    from dbp.ber import GROUP_SYMBOLS
    from dbp.detection import align, matched_filter
    from dbp.link import simulate
    from dbp.report import best_points

    first = receivers[0]
    power_dbm = best_points(points)[first.name, first.arithmetic].launch_power_dbm
    blocks = -(-GROUP_SYMBOLS // settings.link.block_symbols)
    received = simulate(
        settings.link, power_dbm, blocks, seed=settings.seed, purpose="evaluate", progress=False
    )
    clouds: dict[str, Any] = {}
    for receiver in receivers:
        # One arithmetic of each design is enough to see: the one named first.
        clouds.setdefault(receiver.name, receiver(received.waveform, power_dbm))
    # As it came, nothing of it stands at the symbols sent: shown at its own power.
    raw = matched_filter(received.waveform, settings.link.roll_off)
    symbols = {"received": raw / np.sqrt(np.mean(np.abs(raw) ** 2))}
    for name, waveform in clouds.items():
        equalised = matched_filter(waveform, settings.link.roll_off)
        symbols[name] = align(received.symbols, equalised)
    some = {name: x.reshape(-1)[:CONSTELLATION_POINTS] for name, x in symbols.items()}
    write_npz(
        out / "constellation.npz", **{name: x.astype(np.complex64) for name, x in some.items()}
    )
