"""Evaluate receivers over launch powers and links, as a plan says, into points."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.datapath.design import Design, launch_power_uw
from dbp.errors import InputError
from dbp.evaluation import counting, executors, store
from dbp.evaluation.counting import Rule
from dbp.evaluation.executors import Workplace
from dbp.evaluation.groups import Detection, Scenario, detected, load_torch
from dbp.evaluation.measures import align, matched_filter
from dbp.evaluation.points import Points
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Receiver, Reference
from dbp.learning.float_filters import FloatFilters
from dbp.link import transmission

CONSTELLATION_POINTS = 3000
# Measured: 110 to 530 bytes a sample of a chunk, the more the longer its blocks are.
_SAMPLE_BYTES = 550


@dataclass(frozen=True)
class Candidate:
    """One receiver of an evaluation: a design in one arithmetic, or a reference receiver.

    ``label``: the name of its points. ``filters``: of a design in floating point. ``links``: the
    numbers of the links of the plan on which it is evaluated; None: all. A candidate without a
    design is the reference receiver ``label``.
    """

    label: str
    arithmetic: str
    design: Design | None = None
    filters: FloatFilters | None = None
    links: tuple[int, ...] | None = None

    def receiver(self, link: config.Link) -> Receiver:
        """Return the receiver for a link."""
        if self.filters is not None:
            return FloatReceiver(self.label, self.filters)
        if self.design is not None:
            return FixedReceiver(self.label, self.design)
        return Reference(self.label, link)


@dataclass(frozen=True)
class EvaluationPlan:
    """All that decides the points of an evaluation.

    Raises `InputError` where a receiver does not fit a link.

    ``links``: what tells each link from the others, such as the values of a sweep, and the link.
    ``config_hash`` and ``seed`` are those of the configuration; no hash where there are several.
    ``detection``: who finds the symbols behind the equalisers. ``remarks``: what a user should know
    of how the plan came about. ``own_launch_powers_dbm``: of links, by their numbers, that are not
    evaluated at ``launch_powers_dbm``.
    """

    candidates: tuple[Candidate, ...]
    links: tuple[tuple[Mapping[str, Any], config.Link], ...]
    launch_powers_dbm: tuple[float, ...]
    rule: Rule
    seed: int
    config_hash: str | None
    remarks: tuple[str, ...] = ()
    detection: Detection = "genie"
    own_launch_powers_dbm: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = [(candidate.label, candidate.arithmetic) for candidate in self.candidates]
        if len(set(labels)) < len(labels):
            raise InputError(f"designs {sorted(label for label, _ in labels)}: names must differ")
        for number, (_, link) in enumerate(self.links):
            counting.check(self._receivers(number), link, self.detection)

    def _receivers(self, number: int) -> list[Receiver]:
        """The receivers of the link of that number."""
        _, link = self.links[number]
        return [
            candidate.receiver(link)
            for candidate in self.candidates
            if candidate.links is None or number in candidate.links
        ]

    def powers_dbm(self, number: int) -> tuple[float, ...]:
        """Return the launch powers of the link of that number."""
        return self.own_launch_powers_dbm.get(number, self.launch_powers_dbm)

    @property
    def designs(self) -> dict[str, Design]:
        """The designs by their labels."""
        return {c.label: c.design for c in self.candidates if c.design is not None}

    @property
    def link_keys(self) -> tuple[str, ...]:
        """The keys of the link that tell the links apart: what is swept, what designs have own."""
        return tuple(self.links[0][0])

    @property
    def transmissions(self) -> list[_Transmission]:
        """Every link at every launch power with its receivers, the launch power fastest."""
        transmissions = []
        for number, (changes, link) in enumerate(self.links):
            receivers = self._receivers(number)
            transmissions += [
                _Transmission(
                    changes, Scenario(link, float(power_dbm), self.seed, self.detection), receivers
                )
                for power_dbm in self.powers_dbm(number)
            ]
        return transmissions

    def notes(self) -> list[str]:
        """Return a sentence for each way in which a design is out of its range."""
        notes: dict[str, None] = dict.fromkeys(self.remarks)
        for candidate in self.candidates:
            design, label = candidate.design, candidate.label
            if design is None:
                continue
            for number, (_, link) in enumerate(self.links):
                if candidate.links is not None and number not in candidate.links:
                    continue
                for power_dbm in self.powers_dbm(number):
                    uw = launch_power_uw(power_dbm)
                    saturated = any(rotation.kerr_saturates(uw) for rotation in design.rotations)
                    if candidate.arithmetic == "fixed" and saturated:
                        notes[f"{label}: K is at the end of its range at {power_dbm:+g} dBm"] = None
                    if len(design.rotations) % link.spans:
                        notes[
                            f"{label}: {len(design.rotations)} rotations, for a link of "
                            f"{link.spans} spans"
                        ] = None
        return list(notes)


@dataclass(frozen=True)
class _Transmission:
    """A link at a launch power: what the sweep sets in it, and the receivers of its waveforms."""

    changes: Mapping[str, Any]
    scenario: Scenario
    receivers: Sequence[Receiver]


def run(plan: EvaluationPlan, workplace: Workplace) -> Points:
    """Count the bit errors of a plan; the points are in the order of its transmissions."""
    transmissions = plan.transmissions
    for each in transmissions:
        load_torch(each.scenario.link, each.receivers)
    pool: AbstractContextManager[Any] = executors.executor(
        workplace.cluster,
        points=len(transmissions),
        workers=workplace.workers,
        task_bytes=max(_task_bytes(t.scenario) for t in transmissions),
        wishes=workplace.slurm,
        log_folder=workplace.database.parent / "slurm",
    )
    # The results of an earlier run go when this one has its first, not before.
    with (
        store.Results(workplace.database, fresh=not workplace.resume) as results,
        pool as (executor, at_a_time),
        _kept(workplace),
    ):
        prefixes = counting.count(
            [(t.scenario, t.receivers) for t in transmissions],
            plan.rule,
            executor=executor,
            at_a_time=at_a_time,
            results=results,
        )
    designs = plan.designs
    return Points(
        counting.point(
            receiver,
            transmission_.scenario,
            prefix,
            design=designs.get(receiver.name),
            link_changes=transmission_.changes,
        )
        for transmission_, of_receivers in zip(transmissions, prefixes, strict=True)
        for receiver, prefix in zip(transmission_.receivers, of_receivers, strict=True)
    )


@contextmanager
def _kept(workplace: Workplace) -> Iterator[None]:
    """Say at the end of a run that failed or was interrupted how to go on with what is counted."""
    before = _state(workplace.database)
    try:
        yield
    except InputError:
        raise
    except BaseException:
        if _state(workplace.database) != before or workplace.resume:
            again = workplace.again or "the same command with --resume goes on"
            print(f"Kept in {workplace.database}: {again}", file=sys.stderr, flush=True)
        raise


def _state(database: Path) -> tuple[int, ...]:
    """What changes when groups are added: they stand in the second file until it is merged."""
    files = (database, database.with_name(database.name + "-wal"))
    return tuple(file.stat().st_mtime_ns for file in files if file.is_file())


def _task_bytes(scenario: Scenario) -> int:
    """Memory that a worker takes for one chunk: as measured, rather too much than too little."""
    link = scenario.link
    symbols = scenario.chunk_groups * scenario.group_blocks * link.block_symbols
    return _SAMPLE_BYTES * symbols * link.samples_per_symbol * link.impairments.polarizations


def constellations(plan: EvaluationPlan, points: Points) -> dict[str, NDArray[np.complex64]]:
    """Return symbols of the first link as received, and as each receiver of it leaves them.

    At most `CONSTELLATION_POINTS` each, by label. The first receiver's best launch power serves
    all.
    """
    first = plan.transmissions[0]
    receiver, scenario = first.receivers[0], first.scenario
    # Each launch power has the points of its receivers in turn.
    count = len(first.receivers)
    of_receiver = points[: len(plan.powers_dbm(0)) * count : count]
    power_dbm = min(of_receiver, key=lambda point: point.ber).launch_power_dbm
    received = transmission.simulate(
        scenario.link,
        power_dbm,
        scenario.group_blocks,
        seed=scenario.seed,
        purpose="evaluate",
        progress=False,
    )
    # The symbols sent cannot be seen in it: it is shown at its own power.
    link = scenario.link
    raw = matched_filter(received.waveform, link.roll_off, link.adc_rate)
    symbols = {"received": raw / np.sqrt(np.mean(np.abs(raw) ** 2))}
    for receiver in first.receivers:
        # One arithmetic of each design is enough to see: the one named first.
        if receiver.name not in symbols:
            equalized = receiver(received.waveform, power_dbm)
            sent, found = detected(link, received, equalized, scenario.detection)
            symbols[receiver.name] = align(sent.symbols, found)
    return {
        name: x.reshape(-1)[:CONSTELLATION_POINTS].astype(np.complex64)
        for name, x in symbols.items()
    }
