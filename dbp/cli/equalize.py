"""``dbp equalize``: equalise a waveform file with a design."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dbp.cli._waveforms import design_receiver, prefix_errors, print_synchronization
from dbp.runs import find_design, settings_of
from dbp.support import untrusted_files
from dbp.waveforms.recording import read_recording, write_recording


def equalize(name: str, arithmetic: str, file: str | Path, out: Path) -> None:
    """Equalise a waveform file with a design and write another, at its samples per symbol.

    Where the file has the symbols sent, the received ones are written beside them.
    """
    from dbp.evaluation import on_waveform

    untrusted_files.check_suffix(out)
    design, folder = find_design(name)
    recording = read_recording(file)
    own = settings_of(design, folder).link
    for note in on_waveform.notes(design.name, design, own, recording):
        print(f"Note: {note}")
    receiver = design_receiver(name, design.name, (design, folder), arithmetic)
    with prefix_errors(file):
        rate = design.samples_per_symbol
        waveform = on_waveform.stream(recording, rate)
        memory = on_waveform.memory_symbols(design)
        edge = on_waveform.edge_symbols(memory, int(waveform.shape[-1] / rate))
        edge_samples = math.ceil(edge * rate)
        fields: dict[str, Any] = {"edge_samples": edge_samples}
        if recording.symbols is None:
            print("Note: no symbols or bits in the file: neither delay nor conjugation are known")
            samples = receiver(waveform[np.newaxis], recording.launch_power_dbm)[0]
        else:
            equalized = on_waveform.equalize(receiver, memory, waveform, recording, rate)
            print_synchronization(design.name, equalized, recording)
            samples = equalized.synchronization.equalized
            fields |= {"sent_symbols": equalized.sent, "received_symbols": equalized.aligned}
    write_recording(out, replace(recording, waveform=samples, samples_per_symbol=rate), **fields)
    print(
        f"{samples.shape[-1]} samples, all but {edge_samples} at each end equalised -> {out}",
        flush=True,
    )
