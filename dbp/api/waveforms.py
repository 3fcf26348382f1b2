"""`dbp.equalize_waveform`, `dbp.evaluate_waveform`: receivers on what `dbp.load_waveform` read."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dbp import config
from dbp.api import _checks, evaluation
from dbp.errors import InputError, shown

if TYPE_CHECKING:
    from dbp.api.evaluation import Evaluable
    from dbp.evaluation.groups import Detection
    from dbp.evaluation.on_waveform import Equalized
    from dbp.evaluation.points import Points
    from dbp.evaluation.receivers import Receiver
    from dbp.waveforms.recording import Recording


def equalize_waveform(
    receiver: Evaluable, recording: Recording, *, link: config.Link | None = None
) -> Equalized:
    """Equalise a recorded waveform, find the symbols sent in it, and return both side by side.

    ``receiver``, ``link``: as in `evaluate_waveform`. Returns
    `dbp.evaluation.on_waveform.Equalized`: ``sent`` and ``received``, complex, shape ``(n,)`` or
    ``(2, n)``, in units of the rms symbol; ``received`` after the matched filter and one complex
    gain, without the ``edge_symbols`` at each end; ``synchronization`` says where the symbols were
    found. Raises `InputError` where they are not there, or something does not fit.
    """
    undone = _link(recording, link)
    (named,) = evaluation.receivers_of([receiver], undone)
    found = _equalize(named, recording, undone)
    return replace(found, received=found.aligned)


def evaluate_waveform(
    receivers: Evaluable | Iterable[Evaluable] | Mapping[str, Evaluable],
    recording: Recording,
    *,
    link: config.Link | None = None,
    receiver: Detection = "genie",
) -> Points:
    """Count bit errors of receivers on a recorded waveform, as ``dbp ber --waveform`` does.

    ``receivers``: as in `dbp.evaluate`. ``recording``: what `dbp.load_waveform` returned, with its
    symbols and modulation. ``link``: the fibre that was measured (default: the paper's), which the
    references ``linear``, ``dbp1``, ``dbp50`` undo; its symbol rate and roll-off are taken from the
    recording. A receiver of yours is taken to have the memory of that link's dispersion.
    ``receiver``: who finds the symbols behind them, ``genie`` or ``blind``, as in `dbp.measure`; a
    genie takes neither a frequency offset nor lasers that are not ideal, nor a state of
    polarisation that moves.

    Returns a point for each receiver. It also states where the symbols were found
    (``delay_samples``, ``phase_rad``, ``coherence``; ``docs/reference/waveforms.md``). Warns where
    symbol rate or roll-off are not those of ``link``, where a design's K is at the end of its
    range, and of a constant offset. Raises `InputError` where the symbols are not
    there, or something does not fit.
    """
    from dbp.evaluation import on_waveform
    from dbp.evaluation.points import Points
    from dbp.evaluation.receivers import FixedReceiver

    made_for = config.Link() if link is None else _checks.link(link)
    undone = _link(recording, made_for)
    named = evaluation.receivers_of(receivers, undone)
    points = []
    for each in named:
        design = each.design if isinstance(each, FixedReceiver) else None
        for note in on_waveform.notes(each.name, design, made_for, recording) if design else ():
            warnings.warn(note, stacklevel=2)
        found = _equalize(each, recording, undone, receiver)
        with _concerning(each):
            points.append(on_waveform.point(each, design, recording, found))
    return Points(points)


def _link(recording: Recording, link: config.Link | None) -> config.Link:
    """Return the link that was measured, with what the recording says of it."""
    from dbp.evaluation import on_waveform
    from dbp.waveforms.recording import Recording

    if not isinstance(recording, Recording):
        raise InputError(f"recording = {shown(recording)}: must be what dbp.load_waveform returned")
    made_for = config.Link() if link is None else _checks.link(link)
    return on_waveform.link_as_recorded(made_for, recording)


def _equalize(
    receiver: Receiver,
    recording: Recording,
    link: config.Link,
    detection: Detection = "genie",
) -> Equalized:
    from dbp.evaluation import blind_on_waveform, on_waveform
    from dbp.evaluation.receivers import rate_of

    if detection not in blind_on_waveform.DETECTIONS:
        raise InputError(f"receiver = {shown(detection)}: must be 'genie' or 'blind'")
    detect = blind_on_waveform.DETECTIONS[detection]
    rate = rate_of(receiver, link)
    memory = memory_symbols(receiver, link)
    with _concerning(receiver):
        waveform = on_waveform.stream(recording, rate)
        return detect(receiver, memory, waveform, recording, rate)


def memory_symbols(receiver: Receiver, link: config.Link) -> int:
    """Return how many symbols to each side a receiver takes in; a user's: what the link spreads."""
    from dbp.evaluation import on_waveform
    from dbp.evaluation.receivers import FixedReceiver, FloatReceiver

    if isinstance(receiver, FixedReceiver):
        return on_waveform.memory_symbols(receiver.design)
    if isinstance(receiver, FloatReceiver):
        filters = receiver.filters
        beside_center = filters.kerr_rad_per_mw.shape[1] - 1
        samples = sum(taps.size // 2 for taps in filters.taps)
        samples += beside_center * len(filters.kerr_rad_per_mw)
        return math.ceil(samples / filters.samples_per_symbol)
    return on_waveform.memory_symbols_of_link(link)


@contextlib.contextmanager
def _concerning(receiver: Receiver) -> Iterator[None]:
    """Put the name of a receiver before the errors that arise here."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{receiver.name}: {error}") from None
