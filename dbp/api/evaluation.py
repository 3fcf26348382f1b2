"""`dbp.evaluate`, `dbp.measure`, `dbp.load_waveform`: how good a receiver is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.datapath.design import Design
from dbp.errors import InputError

if TYPE_CHECKING:
    from dbp.evaluation.measures import Measurement
    from dbp.evaluation.points import Points
    from dbp.evaluation.receivers import Receiver
    from dbp.learning.float_filters import FloatFilters
    from dbp.link.modulation import Waveform
    from dbp.link.transmission import Received
    from dbp.waveforms.recording import Recording


def measure(received: Received, equalized: Waveform) -> Measurement:
    """Measure an equalised waveform: BER with its 95 % interval, effective SNR, GMI and their like.

    ``received``: what `dbp.Link.transmit` returned. ``equalized``: what a receiver made of its
    waveform, complex, same shape, in any unit, symbol n at sample 2 n. Matched filter, symbol
    timing and one complex gain over each group of at least 8,192 symbols use the sent symbols;
    where the link's lasers are not ideal, carrier recovery stands before them
    (`dbp.evaluation.measures`). Raises `InputError` for a shape or values that do not fit.
    """
    from dbp.evaluation.groups import measure_equalized

    if equalized.shape != received.waveform.shape or not np.iscomplexobj(equalized):
        raise InputError(
            f"equalized: {equalized.dtype} of shape {equalized.shape}: must be complex, of shape "
            f"{received.waveform.shape} as received.waveform"
        )
    return measure_equalized(received.link, received, equalized)


def evaluate(
    receivers: Iterable[Design | FloatFilters | Receiver | str],
    link: config.Link,
    launch_power_dbm: float | Sequence[float] | NDArray[np.floating],
    *,
    min_errors: int = 400,
    max_bits: int = 1_500_000,
    seed: int = 1,
    progress: bool = True,
) -> Points:
    """Count bit errors of receivers at each launch power, and return their points.

    ``receivers``: designs (fixed point, bit-exact), float filters, the names of references
    (``linear``, ``dbp1``, ``dbp50``), or callables of yours that `dbp.check_receiver` accepts. All
    receive the same waveforms. Each point is counted until ``min_errors`` errors, or before the
    group of blocks that would exceed ``max_bits`` bits; figures do not depend on what is evaluated
    together, nor on the number of cores.

    Returns a sequence of `dbp.records.schemas.Point` with ``.plot(ax)``, ``.to_csv(path)``,
    ``.best()``. Raises `InputError` for a receiver or a number that does not fit.
    """
    from dbp.evaluation import counting

    powers_dbm = [float(power) for power in np.atleast_1d(np.asarray(launch_power_dbm, float))]
    if not powers_dbm or not all(-30 <= power <= 20 for power in powers_dbm):
        raise InputError(f"launch_power_dbm = {powers_dbm}: must be within -30..20 dBm")
    for name, value in (("min_errors", min_errors), ("max_bits", max_bits)):
        if value < 1:
            raise InputError(f"{name} = {value!r}: must be at least 1")
    plain = config.link_with(link, {})
    return counting.evaluate(
        _named_apart([_receiver(each, plain) for each in receivers]),
        plain,
        powers_dbm,
        min_errors=min_errors,
        max_bits=max_bits,
        seed=seed,
        progress=progress,
    )


def _receiver(given: Design | FloatFilters | Receiver | str, link: config.Link) -> Receiver:
    from dbp.evaluation import receivers
    from dbp.learning.float_filters import FloatFilters

    if isinstance(given, Design):
        return receivers.FixedReceiver(given.name, given)
    if isinstance(given, FloatFilters):
        return receivers.FloatReceiver("float filters", given)
    if isinstance(given, str):
        if given in receivers.REFERENCES:
            return receivers.Reference(given, link)
        from dbp.runs import find_design

        return receivers.FixedReceiver(given, find_design(given)[0])
    receivers.check_receiver(given, link)
    return given


def _named_apart(receivers: Iterable[Receiver]) -> list[Receiver]:
    """Number the designs and filters of one name, so that their points can be told apart."""
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver

    apart: list[Receiver] = []
    seen: Counter[tuple[str, str]] = Counter()
    for receiver in receivers:
        key = receiver.name, receiver.arithmetic
        seen[key] += 1
        if seen[key] > 1:
            if not isinstance(receiver, FixedReceiver | FloatReceiver):
                raise InputError(f"receivers: {receiver.name!r} twice: each must have its own name")
            receiver = replace(receiver, name=f"{receiver.name} ({seen[key]})")
        apart.append(receiver)
    return apart


def load_waveform(path: str | Path) -> Recording:
    """Read a waveform of an experiment or another simulator: ``.npz``, ``.mat``, ``.h5``.

    ``docs/waveforms.md`` lists the fields. Raises `InputError` that names the field, its value and
    what is allowed.
    """
    from dbp.waveforms import recording

    return recording.read_recording(Path(path))
