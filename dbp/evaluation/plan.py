"""Evaluate receivers over launch powers and links, as a plan says, into points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbp import config
from dbp.datapath.design import Design, launch_power_uw
from dbp.evaluation import counting, executors, store
from dbp.evaluation.counting import Rule
from dbp.evaluation.executors import Workplace
from dbp.evaluation.groups import Scenario, detect
from dbp.evaluation.measures import align, matched_filter
from dbp.evaluation.points import Points
from dbp.evaluation.receivers import FixedReceiver, FloatReceiver, Receiver, Reference
from dbp.learning.float_filters import FloatFilters
from dbp.link import transmission
from dbp.records.schemas import best_points

CONSTELLATION_POINTS = 3000


@dataclass(frozen=True)
class Candidate:
    """One receiver of an evaluation: a design in one arithmetic, or a reference receiver.

    ``label``: the name of its points. ``filters``: of a design in floating point. A candidate
    without a design is the reference receiver ``label``.
    """

    label: str
    arithmetic: str
    design: Design | None = None
    filters: FloatFilters | None = None

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

    ``links``: what a sweep sets, and the link with it. ``config_hash`` and ``seed`` are those of
    the configuration.
    """

    candidates: tuple[Candidate, ...]
    links: tuple[tuple[Mapping[str, Any], config.Link], ...]
    launch_powers_dbm: tuple[float, ...]
    rule: Rule
    seed: int
    config_hash: str

    def __post_init__(self) -> None:
        for _, link in self.links:
            counting.check([candidate.receiver(link) for candidate in self.candidates], link)

    @property
    def designs(self) -> dict[str, Design]:
        """The designs by their labels."""
        return {c.label: c.design for c in self.candidates if c.design is not None}

    @property
    def link_keys(self) -> tuple[str, ...]:
        """The keys of the link that are swept."""
        return tuple(self.links[0][0])

    @property
    def transmissions(self) -> list[_Transmission]:
        """Every link at every launch power with its receivers, the launch power fastest."""
        transmissions = []
        for changes, link in self.links:
            receivers = [candidate.receiver(link) for candidate in self.candidates]
            transmissions += [
                _Transmission(changes, Scenario(link, float(power_dbm), self.seed), receivers)
                for power_dbm in self.launch_powers_dbm
            ]
        return transmissions

    def notes(self) -> list[str]:
        """Return a sentence for each way in which a design is out of its range."""
        notes: dict[str, None] = {}
        for candidate in self.candidates:
            design, label = candidate.design, candidate.label
            if design is None:
                continue
            for _, link in self.links:
                for power_dbm in self.launch_powers_dbm:
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
    if not workplace.resume:
        store.remove(workplace.database)
    pool: AbstractContextManager[Any] = executors.executor(
        workplace.cluster, points=len(transmissions), workers=workplace.workers
    )
    with store.Results(workplace.database) as results, pool as (executor, at_a_time):
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


def constellations(plan: EvaluationPlan, points: Points) -> dict[str, NDArray[np.complex64]]:
    """Return symbols of the first link as received, and as each receiver leaves them.

    At most `CONSTELLATION_POINTS` each, by label. The first receiver's best launch power serves
    all.
    """
    first_link = points[: len(plan.launch_powers_dbm) * len(plan.candidates)]
    first = plan.transmissions[0]
    receiver, scenario = first.receivers[0], first.scenario
    power_dbm = best_points(first_link)[receiver.name, receiver.arithmetic].launch_power_dbm
    received = transmission.simulate(
        scenario.link,
        power_dbm,
        scenario.group_blocks,
        seed=scenario.seed,
        purpose="evaluate",
        progress=False,
    )
    # The symbols sent cannot be seen in it: it is shown at its own power.
    raw = matched_filter(received.waveform, scenario.link.roll_off)
    symbols = {"received": raw / np.sqrt(np.mean(np.abs(raw) ** 2))}
    for receiver in first.receivers:
        # One arithmetic of each design is enough to see: the one named first.
        if receiver.name not in symbols:
            detected = detect(scenario.link, receiver, received)
            symbols[receiver.name] = align(received.symbols, detected)
    return {
        name: x.reshape(-1)[:CONSTELLATION_POINTS].astype(np.complex64)
        for name, x in symbols.items()
    }
