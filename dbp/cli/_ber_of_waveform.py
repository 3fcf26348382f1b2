"""``dbp ber --waveform``: bit errors on a waveform from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.cli._waveforms import design_receiver, prefix_errors, print_synchronization
from dbp.config import Link
from dbp.datapath.design import REFERENCE_EXAMPLES, REFERENCES, Design
from dbp.errors import InputError
from dbp.evaluation.points import Points
from dbp.records.provenance import (
    Stopwatch,
    package_versions,
    provenance,
    read_metrics,
    write_metrics,
)
from dbp.records.schemas import BerMetrics, Point, TrainMetrics
from dbp.runs import FoundDesign, config_of, differences, find_design, labels_of, settings_of
from dbp.support.files import write_npz
from dbp.waveforms.recording import Recording, read_recording

if TYPE_CHECKING:
    from dbp.evaluation.groups import Detection
    from dbp.evaluation.receivers import Receiver


class _Listener(NamedTuple):
    """A receiver, its design or None of a reference, and symbols that it spoils at each end.

    ``samples_per_symbol``: at which it works.
    """

    receiver: Receiver
    design: Design | None
    memory_symbols: int
    samples_per_symbol: Fraction


def ber_of_waveform(
    names: Sequence[str],
    arithmetic: str,
    file: str | Path,
    out: Path,
    config_name: str | None = None,
    detection: Detection = "genie",
) -> Points:
    """Count the bit errors of designs and reference receivers on a waveform file.

    Writes ``metrics.json``, ``ber.csv`` and ``constellation.npz`` as `dbp.cli.ber.ber` does.
    ``config_name``: of the configuration whose link the references undo. ``detection``: who finds
    the symbols behind the receivers.
    """
    from dbp.evaluation import blind_on_waveform, on_waveform
    from dbp.evaluation.plan import CONSTELLATION_POINTS

    stopwatch = Stopwatch()
    if not names:
        raise InputError("dbp ber --waveform: must have DESIGN...")
    names = list(dict.fromkeys(names))
    recording, first_sample = _unseen(_read_countable(file), names)
    listeners = _listeners(names, arithmetic, recording, config_name)
    detect = blind_on_waveform.DETECTIONS[detection]
    points: list[Point] = []
    clouds: dict[str, NDArray[np.complex64]] = {}
    for receiver, design, memory, rate in listeners:
        label = receiver.name
        with prefix_errors(file):
            waveform = on_waveform.stream(recording, rate)
        with prefix_errors(f"{file}: {label}"):
            equalized = detect(receiver, memory, waveform, recording, rate)
            points.append(on_waveform.point(receiver, design, recording, equalized))
        print_synchronization(f"{label}, {receiver.arithmetic}", equalized, recording)
        each = CONSTELLATION_POINTS // recording.polarizations
        cloud = equalized.aligned[..., :each].reshape(-1)
        clouds.setdefault(label, cloud.astype(np.complex64))
    hashes = {design.hash for _, design, *_ in listeners if design is not None}
    metrics = BerMetrics(
        points=tuple(points),
        waveform=str(file),
        receiver=detection,
        **({"first_sample": first_sample} if first_sample else {}),
        **provenance(
            design_hash=hashes.pop() if len(hashes) == 1 else None,
            config_hash=None,
            seed=None,
            versions=package_versions("torch", "numpy", "scipy", "h5py"),
            stopwatch=stopwatch,
        ),
    )
    write_metrics(out / "metrics.json", metrics)
    Points(points).to_csv(out / "ber.csv")
    write_npz(out / "constellation.npz", **clouds)
    return Points(points)


def _listeners(
    names: Sequence[str], arithmetic: str, recording: Recording, config_name: str | None
) -> list[_Listener]:
    """Find the receivers of the names, in each arithmetic; say where they are for another link."""
    from dbp.evaluation import on_waveform
    from dbp.evaluation.receivers import Reference, is_reference

    designs = {
        name: find_design(name, REFERENCE_EXAMPLES) for name in names if not is_reference(name)
    }
    labels = labels_of(designs)
    if config_name and len(designs) == len(names):
        raise InputError(f"--waveform: --config is for the references ({REFERENCES})")
    kinds = ("fixed", "float") if arithmetic == "both" else (arithmetic,)
    link = _link(recording, designs, config_name) if len(designs) < len(names) else None
    listeners = []
    for name in names:
        if name in designs:
            design, folder = designs[name]
            own = settings_of(design, folder).link
            for note in on_waveform.notes(labels[name], design, own, recording):
                print(f"Note: {note}")
            listeners += [
                _Listener(
                    design_receiver(name, labels[name], designs[name], kind),
                    design,
                    on_waveform.memory_symbols(design),
                    design.samples_per_symbol,
                )
                for kind in kinds
            ]
        elif link is not None:
            memory = on_waveform.memory_symbols_of_link(link)
            listeners.append(_Listener(Reference(name, link), None, memory, link.adc_rate))
    return listeners


def _link(
    recording: Recording, designs: Mapping[str, FoundDesign], config_name: str | None
) -> Link:
    """Return the link that references undo, with what the recording says of it.

    It is that of the configuration or of the designs, which must then be the same; says which.
    """
    from dbp.evaluation import on_waveform

    if config_name:
        link, whose = config.load(config_name).link, config_name
    else:
        own = {name: settings_of(*found) for name, found in designs.items()} or {
            "paper": config_of(None)
        }
        whose = next(iter(own))
        link = own[whose].link
        for name, other in own.items():
            apart = [
                f"{key} = {ours} of {whose}, {theirs} of {name}"
                for key, ours, theirs in differences(own[whose], other)
                if key.startswith("link.")
            ]
            if apart:
                raise InputError(
                    f"references undo one link, and those of the designs differ: "
                    f"{'; '.join(apart)}: --config must say which"
                )
    link = on_waveform.link_as_recorded(link, recording)
    stated = f", {', '.join(recording.link)} as the waveform states" if recording.link else ""
    print(
        f"Note: references undo the link of {whose}: {link.spans} x {link.span_km:g} km, "
        f"{link.dispersion_ps_per_nm_km:g} ps/nm/km, {link.nonlinearity_per_w_km:g} /W/km{stated}; "
        "--config names another"
    )
    return link


def _unseen(recording: Recording, names: Sequence[str]) -> tuple[Recording, int]:
    """Return the part of a recording that no design of these was learned on, and where it begins.

    It is counted for all receivers, so that they stand side by side. Says which design it was.
    """
    from dbp.evaluation.receivers import is_reference

    part, whose = recording, ""
    for name in names:
        if is_reference(name):
            continue
        design, folder = find_design(name, REFERENCE_EXAMPLES)
        metrics = folder and read_metrics(folder / "train" / "metrics.json", TrainMetrics)
        if not metrics or metrics.held_out is None or metrics.design_hash != design.hash:
            continue
        if metrics.waveform_hash == recording.hash:
            _, behind = recording.parts(metrics.held_out)
            if behind.waveform.shape[-1] < part.waveform.shape[-1]:
                part, whose = behind, name
    first = recording.waveform.shape[-1] - part.waveform.shape[-1]
    if first:
        print(
            f"Note: {whose} was learned on this waveform but for its end: counted from sample "
            f"{first} on, as if the waveform began there"
        )
    return part, first


def _read_countable(file: str | Path) -> Recording:
    recording = read_recording(file)
    if recording.symbols is None or recording.modulation is None:
        raise InputError(f"{file}: symbols or bits, and modulation: must be there to count errors")
    if recording.modulation == "gaussian":
        raise InputError(f"{file}: modulation = 'gaussian': has no bits to count")
    return recording
