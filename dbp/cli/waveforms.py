"""``dbp link``, ``dbp equalize``, ``dbp ber --waveform``: waveforms that come and go as files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dbp import config
from dbp.datapath.design import Design, launch_power_uw
from dbp.errors import InputError
from dbp.evaluation.evaluate import CONSTELLATION_POINTS, labels_of, of_design, print_best
from dbp.records.provenance import Stopwatch, package_versions, write_metrics
from dbp.records.schemas import Point
from dbp.runs import config_of, find_design, float_filters
from dbp.support import untrusted
from dbp.support.files import write_csv, write_npz
from dbp.waveforms import recording as waveform_file
from dbp.waveforms.recording import Recording

if TYPE_CHECKING:
    from dbp.evaluation.measures import Measures
    from dbp.evaluation.receivers import Receiver
    from dbp.waveforms.synchronization import Synchronization

# Of a stream, as `dbp.link.transmission` has blocks; fewer where it is short.
BLOCK_SYMBOLS, GROUP_BLOCKS = 1024, 8
MIN_COUNTED = 1024
# What the matched filter takes from beyond an end, beside the memory of the design.
FILTER_SYMBOLS = 64


def link(settings: config.Config, launch_power_dbm: float | None, symbols: int, out: Path) -> None:
    """Simulate one circular block of so many symbols over the link and write it as a file."""
    from dbp.link.transmission import simulate

    untrusted.check_suffix(out)
    if launch_power_dbm is None:
        launch_power_dbm = settings.training.launch_power_dbm
    whole = config.link_with(settings.link, {"block_symbols": symbols})
    received = simulate(whole, launch_power_dbm, 1, seed=settings.seed, purpose="evaluate")
    recording = Recording(
        waveform=received.waveform[0],
        samples_per_symbol=2,
        symbol_rate_baud=1e9 * whole.symbol_rate_gbd,
        roll_off=whole.roll_off,
        launch_power_dbm=launch_power_dbm,
        modulation=whole.modulation,
        symbols=received.symbols[0],
    )
    waveform_file.write(out, recording)
    print(
        f"{symbols} symbols of {whole.modulation} at {launch_power_dbm:+g} dBm, "
        f"seed {settings.seed} -> {out}",
        flush=True,
    )


def equalize(name: str, arithmetic: str, given: Path, out: Path) -> None:
    """Equalise a waveform file with a design and write another, at 2 samples per symbol.

    Where the file has the symbols sent, the received ones are written beside them.
    """
    from dbp.evaluation.measures import align
    from dbp.waveforms.synchronization import two_per_symbol

    untrusted.check_suffix(out)
    design, folder = find_design(name)
    recording = waveform_file.read(given)
    _print_notes(design.name, design, folder, recording)
    receiver = _receiver(name, design.name, design, folder, arithmetic)
    with _naming(given):
        waveform = two_per_symbol(recording.waveform, recording.samples_per_symbol)
        edge = _edge_symbols(design, waveform.size // 2)
        more: dict[str, Any] = {"edge_samples": 2 * edge}
        if recording.symbols is None:
            print("Note: no symbols or bits in the file: neither delay nor conjugation are known")
            equalized = receiver(waveform[np.newaxis], recording.launch_power_dbm)[0]
        else:
            found = _synchronize(receiver, waveform, recording)
            sent, received = _counted(found, recording, edge)
            _print_found(design.name, found, recording)
            equalized = found.equalized
            more |= {"sent_symbols": sent, "received_symbols": align(sent, received)}
    waveform_file.write(out, replace(recording, waveform=equalized, samples_per_symbol=2), **more)
    print(
        f"{equalized.size} samples, all but {2 * edge} at each end equalised -> {out}", flush=True
    )


def ber(names: Sequence[str], arithmetic: str, given: Path, out: Path) -> None:
    """Count the bit errors of designs on a waveform file.

    Writes ``metrics.json``, ``ber.csv`` and ``constellation.npz`` as `dbp.evaluation.evaluate.ber`
    does.
    """
    from dbp.evaluation.measures import align, summarize
    from dbp.waveforms.synchronization import two_per_symbol

    stopwatch = Stopwatch()
    if not names:
        raise InputError("dbp ber --waveform: must have DESIGN...")
    found = {name: find_design(name) for name in names}
    kinds = ("fixed", "float") if arithmetic == "both" else (arithmetic,)
    wanted = [(name, kind) for name in found for kind in kinds]
    labels = labels_of(wanted, found)
    recording = waveform_file.read(given)
    if recording.symbols is None or recording.modulation is None:
        raise InputError(f"{given}: symbols or bits, and modulation: must be there to count errors")
    if recording.modulation == "gaussian":
        raise InputError(f"{given}: modulation = 'gaussian': has no bits to count")
    receivers = {key: _receiver(key[0], labels[key[0]], *found[key[0]], key[1]) for key in wanted}
    for name, (design, folder) in found.items():
        _print_notes(labels[name], design, folder, recording)
    with _naming(given):
        waveform = two_per_symbol(recording.waveform, recording.samples_per_symbol)
    rows, clouds = [], {}
    for (name, kind), receiver in receivers.items():
        design, label = found[name][0], labels[name]
        with _naming(f"{given}: {label}"):
            edge = _edge_symbols(design, waveform.size // 2)
            synchronized = _synchronize(receiver, waveform, recording)
            sent, received = _counted(synchronized, recording, edge)
        _print_found(f"{label}, {kind}", synchronized, recording)
        row = {
            "design": label,
            "arithmetic": kind,
            "launch_power_dbm": recording.launch_power_dbm,
            **summarize(_measure(recording.modulation, sent, received)),
        }
        rows.append(row | of_design(row, design) | _figures(synchronized, recording, edge))
        clouds.setdefault(label, align(sent, received)[:CONSTELLATION_POINTS])
    hashes = [design.hash for design, _ in found.values()]
    write_metrics(
        out / "metrics.json",
        {"points": rows, "waveform": str(given)},
        design_hash=hashes[0] if len(hashes) == 1 else None,
        config_hash=None,
        seed=None,
        versions=package_versions("torch", "numpy", "scipy", "h5py"),
        stopwatch=stopwatch,
    )
    write_csv(out / "ber.csv", rows)
    write_npz(out / "constellation.npz", **{k: v.astype(np.complex64) for k, v in clouds.items()})
    print_best([Point(**row) for row in rows], ())
    print(f"{stopwatch.seconds:.0f} s -> {out / 'ber.csv'}", flush=True)


@contextlib.contextmanager
def _naming(what: object) -> Iterator[None]:
    """Errors say whose they are."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from None


def _receiver(
    name: str, label: str, design: Design, folder: Path | None, arithmetic: str
) -> Receiver:
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver

    if arithmetic == "fixed":
        return FixedReceiver(label, design)
    return FloatReceiver(label, float_filters(name, folder))


def _print_notes(label: str, design: Design, folder: Path | None, recording: Recording) -> None:
    """Where the waveform is not what the design is for."""
    uw = launch_power_uw(recording.launch_power_dbm)
    if any(rotation.kerr_saturates(uw) for rotation in design.rotations):
        power = f"{recording.launch_power_dbm:+g} dBm"
        print(f"Note: {label}: K is at the end of its range at {power}")
    of_link = config_of(folder).link
    for what, theirs, ours in (
        ("symbol_rate_baud", recording.symbol_rate_baud, 1e9 * of_link.symbol_rate_gbd),
        ("roll_off", recording.roll_off, of_link.roll_off),
    ):
        if abs(theirs - ours) > 1e-3 * ours:
            print(f"Note: {label}: {what} = {theirs:g}, for a link of {ours:g}")


def _edge_symbols(design: Design, symbols: int) -> int:
    """Symbols of each end that are not counted: the filters there wrap around."""
    edge = -(-design.delay // 2) + FILTER_SYMBOLS
    if symbols - 2 * edge < MIN_COUNTED:
        raise InputError(
            f"waveform: {symbols} symbols: must be at least {MIN_COUNTED + 2 * edge}, since "
            f"{edge} of each end are not counted"
        )
    return edge


def _synchronize(receiver: Receiver, waveform: Any, recording: Recording) -> Synchronization:
    from dbp.waveforms.synchronization import synchronize

    return synchronize(
        lambda stream: receiver(stream, recording.launch_power_dbm),
        waveform,
        recording.symbols,
        recording.roll_off,
    )


def _counted(found: Synchronization, recording: Recording, edge: int) -> tuple[Any, Any]:
    """Sent and received symbols without the ends, in blocks that all agree; shape ``(n,)``."""
    from dbp.waveforms.synchronization import coherence

    inside = slice(edge, found.received.size - edge)
    sent, received = recording.symbols[found.index[inside]], found.received[inside]
    block = _block_symbols(sent.size)
    for start in range(0, sent.size - block + 1, block):
        part = slice(start, start + block)
        if coherence(sent[part], received[part]) < 0.3 * found.coherence:
            raise InputError(
                f"symbols: found in the middle of the waveform, but not in its symbols "
                f"{edge + start}..{edge + start + block - 1}: must be those of the whole waveform, "
                "or one period of what repeats without gaps, at a steady symbol rate"
            )
    return sent, received


def _block_symbols(counted: int) -> int:
    return min(BLOCK_SYMBOLS, counted // GROUP_BLOCKS)


def _measure(modulation_: str, sent: Any, received: Any) -> list[Measures]:
    """Groups of blocks, the last with all blocks that are left; what fills none is not counted."""
    from dbp.evaluation.measures import measure
    from dbp.link import modulation

    block = _block_symbols(sent.size)
    blocks = sent.size // block
    shape = (blocks, block)
    sent, received = (part[: blocks * block].reshape(shape) for part in (sent, received))
    labels = modulation.decide(modulation_, sent)
    starts = range(0, blocks - GROUP_BLOCKS + 1, GROUP_BLOCKS)
    groups = [slice(k, None if k == starts[-1] else k + GROUP_BLOCKS) for k in starts]
    return [measure(modulation_, sent[g], labels[g], received[g]) for g in groups]


def _figures(found: Synchronization, recording: Recording, edge: int) -> dict[str, Any]:
    """What the synchronisation did, for ``metrics.json``; the delay in samples of the file."""
    return {
        "delay_samples": found.delay_symbols * recording.samples_per_symbol,
        "phase_rad": found.phase_rad,
        "gain": found.gain,
        "coherence": found.coherence,
        "conjugated": found.conjugated,
        "edge_symbols": edge,
    }


def _print_found(label: str, found: Synchronization, recording: Recording) -> None:
    figures = _figures(found, recording, 0)
    print(
        f"{label}: first of the symbols sent at sample {figures['delay_samples']:.3f}, phase "
        f"{found.phase_rad:+.3f} rad, gain {found.gain:.4g}, coherence {found.coherence:.4f}"
    )
    if found.conjugated:
        print(
            f"Note: {label}: waveform and symbols are those of the conjugate fibre equation "
            "(carrier exp(+j omega t)): received by their conjugates"
        )
