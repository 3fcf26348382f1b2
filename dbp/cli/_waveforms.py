"""Functions that the commands on waveform files share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.runs import float_filters
from dbp.waveforms.recording import Recording

if TYPE_CHECKING:
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver
    from dbp.waveforms.synchronization import Synchronization


@contextlib.contextmanager
def prefix_errors(source: object) -> Iterator[None]:
    """Put the name of a file, or of more, before the message of an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def design_receiver(
    name: str, label: str, design_and_folder: tuple[Design, Path | None], arithmetic: str
) -> FixedReceiver | FloatReceiver:
    """Return the receiver of a design that `dbp.runs.find_design` returned for that name."""
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver

    design, folder = design_and_folder
    if arithmetic == "fixed":
        return FixedReceiver(label, design)
    return FloatReceiver(label, float_filters(name, folder))


def print_synchronization(
    label: str, synchronization: Synchronization, recording: Recording
) -> None:
    """Print where the sent symbols were found in the equalised waveform."""
    delay_samples = synchronization.delay_symbols * float(recording.samples_per_symbol)
    print(
        f"{label}: first of the symbols sent at sample {delay_samples:.3f}, phase "
        f"{synchronization.phase_rad:+.3f} rad, gain {synchronization.gain:.4g}, "
        f"coherence {synchronization.coherence:.4f}"
    )
    if synchronization.conjugated:
        print(
            f"Note: {label}: waveform and symbols are those of the conjugate fibre equation "
            "(carrier exp(+j omega t)): received by their conjugates"
        )
