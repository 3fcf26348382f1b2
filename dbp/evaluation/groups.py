"""Simulate a group of blocks and measure receivers on it; the result depends on a key alone.

A group is at least `GROUP_SYMBOLS` symbols of a transmission, over which one complex gain is taken.
Its measures depend on receiver, link, launch power, seed and the number of the group alone: not on
the machine's load, not on what was counted before it, not on the other receivers. So groups may be
counted anywhere, in any order and more than once. Where another processor or library would compute
other last bits, the `arithmetic` in the key is another one.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Literal

import numpy as np

from dbp import config
from dbp.errors import DbpError
from dbp.evaluation import blind, carrier
from dbp.evaluation.measures import Measurement, Measures, align, measure, summarize
from dbp.evaluation.receivers import FixedReceiver, Receiver
from dbp.link import front_end, polarization, transmission
from dbp.link.arithmetic import hash_of_numbers, of_torch, on_one_thread
from dbp.link.modulation import Waveform, constellation
from dbp.link.transmission import Received
from dbp.support.sources import hash_of

GROUP_SYMBOLS = 8192

# Who finds the symbols behind the equaliser: who knows them, or `dbp.evaluation.blind`.
Detection = Literal["genie", "blind"]

# The code that decides a number of a group, and the libraries: databases hold the numbers of one
# state of them, those of another are counted again.
SOURCES = (
    *transmission.SOURCES,
    "dbp.datapath",
    *(f"dbp.evaluation.{name}" for name in ("blind", "carrier", "groups", "measures", "receivers")),
    "dbp.learning.float_filters",
)
LIBRARIES = ("numpy", "scipy", "numba", "torch")


@dataclass(frozen=True)
class Scenario:
    """A link at one launch power and seed: an endless sequence of groups, numbered from 0.

    ``detection``: who finds the symbols in what an equaliser leaves.
    """

    link: config.Link
    launch_power_dbm: float
    seed: int
    detection: Detection = "genie"

    @property
    def key(self) -> str:
        """SHA-256 of all that its waveforms and their measures depend on, the receiver apart."""
        content = {
            "sources": hash_of(*SOURCES),
            "libraries": [metadata.version(name) for name in LIBRARIES],
            "arithmetic": arithmetic(self.link),
            "link": self.link.model_dump(mode="json"),
            "launch_power_dbm": float(self.launch_power_dbm),
            "seed": self.seed,
            "detection": self.detection,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def group_blocks(self) -> int:
        """Blocks of a group."""
        return math.ceil(GROUP_SYMBOLS / self.link.block_symbols)

    @property
    def chunk_groups(self) -> int:
        """Groups that are simulated together: the link takes as long for one as for all."""
        blocks = math.lcm(self.group_blocks, transmission.chunk_blocks(self.link))
        return blocks // self.group_blocks


def arithmetic(link: config.Link) -> str:
    """Return a hash of the arithmetic of this machine that decides the measures of a link.

    The receiver's apart, if it is not one in fixed point: see `receiver_key`.
    """
    return hash_of_numbers([transmission.arithmetic(link), _arithmetic_of_measures()])


@functools.cache
def _arithmetic_of_measures() -> str:
    k = np.arange(2048)
    labels = (k * 37 % 16).astype(np.uint8)
    sent = constellation("16qam")[labels]
    noise = 0.3 * ((k * 7919 % 2039) / 2039 - 0.5) + 0.3j * ((k * 104729 % 2029) / 2029 - 0.5)
    of_group = measure("16qam", sent[None], labels[None], (sent + noise)[None])
    return hash_of_numbers([repr(of_group)])


def receiver_key(receiver: Receiver) -> str:
    """Return the key under which the groups of a receiver are kept.

    A design in fixed point is exact on any machine. The key of another receiver, which may use
    torch, holds a hash of what that computes here.
    """
    if isinstance(receiver, FixedReceiver):
        return receiver.key
    return f"{receiver.key}, arithmetic {of_torch()}"


def load_torch(link: config.Link, receivers: Sequence[Receiver]) -> None:
    """Load torch where it is needed to count: to be called before a pool of threads is made.

    Designs in fixed point do without it on most links: to load it takes longer than to count them.
    """
    transmission.load_torch(link)
    if not all(isinstance(receiver, FixedReceiver) for receiver in receivers):
        importlib.import_module("torch")


def identity(scenario: Scenario, receivers: Sequence[Receiver]) -> dict[str, str]:
    """Return what must be the same wherever groups are counted: versions, and arithmetic."""
    of_receivers = [receiver for receiver in receivers if not isinstance(receiver, FixedReceiver)]
    return {
        "sources": hash_of(*SOURCES)[:12],
        **{name: metadata.version(name) for name in LIBRARIES},
        "the arithmetic of numpy and link": arithmetic(scenario.link),
        **({"the arithmetic of torch": of_torch()} if of_receivers else {}),
        "scenario": scenario.key,
    }


def count(
    scenario: Scenario, receivers: Sequence[Receiver], chunk: int, expected: Mapping[str, str]
) -> list[list[Measures]]:
    """Return the measures of each receiver on each group of a chunk: a list for each receiver.

    The groups are ``chunk * chunk_groups`` and following. All receivers are given the same
    waveforms, simulated once (or found in `dbp.support.cache`). ``expected``: the `identity` at the
    place that asks, of these receivers or of more. Raises `DbpError` where it is another one here,
    on a worker that would count something else.
    """
    different = [
        f"{name} {value}, not {expected.get(name)}"
        for name, value in identity(scenario, receivers).items()
        if value != expected.get(name)
    ]
    if different:
        raise DbpError(f"a worker would count something else: it has {'; '.join(different)}")
    blocks, groups = scenario.group_blocks, scenario.chunk_groups
    received = transmission.simulate(
        scenario.link,
        scenario.launch_power_dbm,
        groups * blocks,
        seed=scenario.seed,
        purpose="evaluate",
        first_block=chunk * groups * blocks,
        progress=False,
    )
    measures: list[list[Measures]] = [[] for _ in receivers]
    for start in range(0, groups * blocks, blocks):
        group = received.blocks(slice(start, start + blocks))
        for of_receiver, receiver in zip(measures, receivers, strict=True):
            equalized = on_one_thread(receiver, group.waveform, group.launch_power_dbm)
            of_receiver.append(_measured(scenario.link, group, equalized, scenario.detection))
    return measures


def measure_equalized(
    link: config.Link, sent: Received, equalized: Waveform, detection: Detection = "genie"
) -> Measurement:
    """Return the figures of an equalised waveform, of which ``sent`` holds the symbols.

    ``equalized``: complex, of the shape of ``sent.waveform``, any unit, no group delay. It is
    counted in groups of at least `GROUP_SYMBOLS` symbols, the last with all blocks that are left.
    """
    parts = _parts(link, len(sent.symbols))
    return summarize([_measured(link, sent.blocks(p), equalized[p], detection) for p in parts])


def aligned_symbols(
    link: config.Link, sent: Received, equalized: Waveform, detection: Detection = "genie"
) -> Waveform:
    """Return the received symbols that `measure_equalized` compares with those of ``sent``.

    Complex, of the shape of ``sent.symbols`` where a genie finds them, else without those that are
    not counted; each group and polarisation after its gain.
    """
    received = []
    for part in _parts(link, len(sent.symbols)):
        group, symbols = detected(link, sent.blocks(part), equalized[part], detection)
        if symbols.ndim == 2:
            received.append(align(group.symbols, symbols))
        else:
            received.append(_aligned_polarizations(group, symbols))
    return np.concatenate(received)


def _parts(link: config.Link, blocks: int) -> list[slice]:
    """Return the blocks of each group: of at least `GROUP_SYMBOLS`, the last with what is left."""
    size = math.ceil(GROUP_SYMBOLS / link.block_symbols)
    starts = range(0, max(1, blocks - size + 1), size)
    return [slice(start, None if start == starts[-1] else start + size) for start in starts]


def _aligned_polarizations(group: Received, symbols: Waveform) -> Waveform:
    return np.stack([align(group.symbols[:, p], symbols[:, p]) for p in range(2)], axis=1)


def _measured(
    link: config.Link, group: Received, equalized: Waveform, detection: Detection
) -> Measures:
    return _measure(link.modulation, *detected(link, group, equalized, detection))


def detected(
    link: config.Link, group: Received, equalized: Waveform, detection: Detection
) -> tuple[Received, Waveform]:
    """Return what is counted of a group, and its received symbols, up to one complex gain."""
    if detection == "genie":
        return group, _symbols(link, equalized, group)
    part = blind.counted(link)
    symbols = blind.symbols(equalized, group.symbols, link)
    return replace(
        group, symbols=group.symbols[..., part], labels=group.labels[..., part]
    ), symbols[..., part]


def _measure(modulation: str, group: Received, symbols: Waveform) -> Measures:
    """`dbp.evaluation.measures.measure` of a group, with one complex gain for each polarisation.

    Both polarisations of a block are one block of it: they meet the same bursts, and only blocks
    are independent.
    """
    if group.symbols.ndim == 2:
        return measure(modulation, group.symbols, group.labels, symbols)
    aligned = _aligned_polarizations(group, symbols)
    blocks = len(aligned)
    return measure(
        modulation,
        group.symbols.reshape(blocks, -1),
        group.labels.reshape(blocks, -1),
        aligned.reshape(blocks, -1),
    )


def detect(link: config.Link, receiver: Receiver, group: Received) -> Waveform:
    """Return the received symbols, of the shape of those sent, up to one complex gain.

    Where the link's lasers are not ideal, after carrier recovery (`dbp.evaluation.carrier`). With
    both polarisations, one gain and one recovery for each of them; where the link mixes them, its
    Jones matrices are undone first, which the genie knows.
    """
    return _symbols(link, receiver(group.waveform, group.launch_power_dbm), group)


def _symbols(link: config.Link, equalized: Waveform, group: Received) -> Waveform:
    if equalized.ndim == 2:
        return carrier.symbols(equalized, group.symbols, link)
    equalized = _unmixed(equalized, link, group.first_block)
    polarizations = [carrier.symbols(equalized[:, p], group.symbols[:, p], link) for p in range(2)]
    return np.stack(polarizations, axis=1)


def _unmixed(equalized: Waveform, link: config.Link, first_block: int) -> Waveform:
    """Undo what `dbp.link.polarization` does to both polarisations, as if it were all at the end.

    Rotations by the power of both do not see a state that is turned at all frequencies alike; what
    polarisation-mode dispersion does between them is left.
    """
    still = polarization.moved_on(equalized, link, first_block, sign=-1)
    if polarization.realization(link) is None:
        return still
    matrices = polarization.linear_inverse(link, still.shape[-1], front_end.offset_bins(link))
    return np.fft.ifft(polarization.turned(matrices, np.fft.fft(still)))
