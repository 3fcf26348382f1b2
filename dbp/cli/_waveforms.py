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
    from dbp.evaluation.on_waveform import Equalized
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver


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


def print_synchronization(label: str, equalized: Equalized, recording: Recording) -> None:
    """Print where the sent symbols were found in the equalised waveform."""
    from dbp.evaluation import on_waveform

    found = equalized.synchronizations
    for name, of_one in zip(("",) if len(found) == 1 else (", x", ", y"), found, strict=True):
        delay_samples = of_one.delay_symbols * float(recording.samples_per_symbol)
        genie = f"phase {of_one.phase_rad:+.3f} rad, gain {of_one.gain:.4g}, "
        print(
            f"{label}{name}: first of the symbols sent at sample {delay_samples:.3f}, "
            f"{genie if equalized.reception is None else ''}coherence {of_one.coherence:.4f}"
        )
    if (reception := equalized.reception) is not None:
        print(
            f"{label}: carrier {on_waveform.carrier_offset_mhz(recording, reception):+.1f} MHz, "
            f"clock {1e6 * reception.clock.drift:+.2f} ppm"
        )
    elif on_waveform.are_swapped(found):
        print(
            f"Note: {label}: polarisations swapped: most of symbols[0] is in waveform[1], and of "
            "symbols[1] in waveform[0]: received so"
        )
    if found[0].conjugated:
        print(
            f"Note: {label}: waveform and symbols are those of the conjugate fibre equation "
            "(carrier exp(+j omega t)): received by their conjugates"
        )
