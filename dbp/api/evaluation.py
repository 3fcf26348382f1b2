"""`dbp.evaluate`, `dbp.measure`, `dbp.load_waveform`: how good a receiver is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.api import _checks
from dbp.datapath.design import Design
from dbp.errors import InputError, shown

if TYPE_CHECKING:
    from dbp.evaluation.groups import Detection
    from dbp.evaluation.measures import Measurement
    from dbp.evaluation.points import Points
    from dbp.evaluation.receivers import Receiver
    from dbp.learning.float_filters import FloatFilters
    from dbp.link.modulation import Waveform
    from dbp.link.transmission import Received
    from dbp.waveforms.recording import Recording

    Evaluable = Design | FloatFilters | Receiver | str


def measure(
    received: Received, equalized: Waveform, *, receiver: Detection = "genie"
) -> Measurement:
    """Measure an equalised waveform: BER with its 95 % interval, effective SNR, GMI and their like.

    ``received``: what `dbp.Link.transmit` returned. ``equalized``: what a receiver made of its
    waveform, complex, same shape, in any unit, symbol n at sample r n with r = ``link.adc_rate``
    samples per symbol. Matched filter, symbol timing and one complex gain over each group of at
    least 8,192 symbols use the sent symbols; where the link's lasers are not ideal, carrier
    recovery stands before them (`dbp.evaluation.measures`). With ``receiver="blind"`` adaptive
    filters, timing and carrier recovery find the symbols (`dbp.evaluation.blind`). Raises
    `InputError` for a shape or values that do not fit.
    """
    from dbp.evaluation.groups import measure_equalized

    samples = _equalized(received, equalized)
    return measure_equalized(received.link, received, samples, _detection(receiver, received.link))


def detect(received: Received, equalized: Waveform, *, receiver: Detection = "genie") -> Waveform:
    """Return the symbols of an equalised waveform, ready to be drawn over the constellation.

    ``received``, ``equalized``, ``receiver``: as for `measure`, which counts errors on these very
    symbols. Returns complex numbers of the shape of ``received.symbols`` (of a blind receiver
    without the preamble and the end of each block), in the unit of those: the mean power of the
    sent symbols is 1. Raises `InputError` for a shape or values that do not fit.
    """
    from dbp.evaluation.groups import aligned_symbols

    samples = _equalized(received, equalized)
    return aligned_symbols(received.link, received, samples, _detection(receiver, received.link))


def _detection(receiver: str, link: config.Link) -> Detection:
    """Return who is to find the symbols; `InputError` where nobody is called so, or cannot."""
    from dbp.evaluation import blind

    if receiver == "genie":
        return "genie"
    if receiver == "blind":
        blind.check(link)
        return "blind"
    raise InputError(f"receiver = {shown(receiver)}: must be 'genie' or 'blind'")


def _equalized(received: Received, equalized: Waveform) -> Waveform:
    """Return an equalised waveform that fits what was received; else raise `InputError`."""
    from dbp.link.transmission import Received

    if not isinstance(received, Received):
        raise InputError(f"received = {shown(received)}: must be what dbp.Link.transmit returned")
    shape = received.waveform.shape
    samples = _checks.waveform("equalized", equalized, f"{shape} as received.waveform")
    if samples.shape != shape:
        raise InputError(f"equalized: shape {samples.shape}: must be {shape} as received.waveform")
    return samples


def evaluate(
    receivers: Evaluable | Iterable[Evaluable] | Mapping[str, Evaluable],
    link: config.Link,
    launch_power_dbm: float | Sequence[float] | NDArray[np.floating],
    *,
    min_errors: int = 400,
    max_bits: int = 1_500_000,
    seed: int = 1,
    progress: bool = True,
    receiver: Detection = "genie",
) -> Points:
    """Count bit errors of receivers at each launch power, and return their points.

    ``receivers``: designs (fixed point, bit-exact), float filters, the names of references
    (``linear``, ``dbpN``, ``essfmN``), or callables of yours that `dbp.check_receiver` accepts; a
    dict gives designs and filters the names that their points have. All receive the same waveforms.
    Each point is counted until ``min_errors`` errors, or before the group of blocks that would
    exceed ``max_bits`` bits; figures do not depend on what is evaluated together, nor on the number
    of cores. ``receiver``: who finds the symbols behind them, as in `measure`.

    Returns a sequence of `dbp.records.schemas.Point` with ``.plot(ax)``, ``.to_csv(path)``,
    ``.best()``. Raises `InputError` for a receiver or a number that does not fit.
    """
    from dbp.evaluation import counting

    plain = _checks.link(link)
    powers_dbm = _checks.powers_dbm("launch_power_dbm", launch_power_dbm)
    return counting.evaluate(
        receivers_of(receivers, plain),
        plain,
        powers_dbm,
        min_errors=_checks.integer("min_errors", min_errors, 1),
        max_bits=_checks.integer("max_bits", max_bits, 1),
        seed=_checks.integer("seed", seed, 0),
        progress=progress,
        detection=_detection(receiver, plain),
    )


def receivers_of(
    evaluables: Evaluable | Iterable[Evaluable] | Mapping[str, Evaluable], link: config.Link
) -> list[Receiver]:
    """Return the receivers of one thing or of several, each of a name of its own."""
    from dbp.learning.float_filters import FloatFilters

    if isinstance(evaluables, Mapping):
        found = [_renamed(_receiver(each, link), name) for name, each in evaluables.items()]
    else:
        if isinstance(evaluables, str | Design | FloatFilters) or callable(evaluables):
            evaluables = [evaluables]
        found = [_receiver(each, link) for each in evaluables]
    named = _named_apart(found)
    if not named:
        raise InputError("receivers: must be one at least")
    return named


def _receiver(evaluable: Evaluable, link: config.Link) -> Receiver:
    from dbp.evaluation import receivers
    from dbp.learning.float_filters import FloatFilters
    from dbp.runs import find_design

    if isinstance(evaluable, Design):
        return receivers.FixedReceiver(evaluable.name, evaluable)
    if isinstance(evaluable, FloatFilters):
        return receivers.FloatReceiver("float filters", evaluable)
    if isinstance(evaluable, str):
        if receivers.is_reference(evaluable):
            return receivers.Reference(evaluable, link)
        return receivers.FixedReceiver(evaluable, find_design(evaluable)[0])
    receivers.check_receiver(evaluable, link)
    return evaluable


def _renamed(receiver: Receiver, name: str) -> Receiver:
    """Return a receiver by another name; references and callables have the name that they have."""
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver

    if not (isinstance(name, str) and name):
        raise InputError(f"receivers: name {shown(name)}: must be a text, not empty")
    if isinstance(receiver, FixedReceiver | FloatReceiver):
        return replace(receiver, name=name)
    if receiver.name != name:
        raise InputError(f"receivers: name {shown(name)}: must be its own, {receiver.name!r}")
    return receiver


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

    Or a group of Zarr, a folder or a URL, as the public recordings LabPtPTm1 and LabPtPTm2 have
    them. ``docs/reference/waveforms.md`` lists the fields. Raises `InputError` that names the
    field, its value and what is allowed.
    """
    from dbp.waveforms import recording

    return recording.read_recording(path)
