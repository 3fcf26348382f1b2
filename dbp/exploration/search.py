"""Search for the front of effective SNR against energy per bit: many cheap looks, few dear ones.

1. *Generations*: the first covers every axis evenly; each later one holds neighbours, one notch
   away on one axis, of the best candidates so far. All are learned cheaply.
2. *Survivors*: the best of all generations are learned fully.
3. *Confirmed*: those of them on the front, or what fills it best, are counted and synthesised by
   the caller.

"Best" is by dominance and crowding (`dbp.exploration.pareto`). A search depends on its
configuration, its seed and the outcomes alone: interrupted or not, it finds the same. Fewer
candidates at each rung with more effort: successive halving, K. Jamieson and A. Talwalkar,
"Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016, with fronts
in place of one best arm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import stats

from dbp.config import Config
from dbp.errors import InputError
from dbp.exploration import pareto
from dbp.exploration.pareto import Objectives
from dbp.exploration.space import Candidate, Place, Space
from dbp.exploration.work import Outcome

Rung = Literal["cheap", "full"]


@dataclass
class Found:
    """What is known of a candidate so far."""

    candidate: Candidate
    generation: int
    cheap: Outcome
    full: Outcome | None = None

    @property
    def latest(self) -> Outcome:
        """The outcome of the most effort."""
        return self.full or self.cheap

    @property
    def objectives(self) -> Objectives | None:
        """Energy per bit and negative effective SNR; None where there is no design."""
        return objectives(self.latest)


def objectives(outcome: Outcome) -> Objectives | None:
    """Return what is minimised, None where there is no design."""
    if outcome.price is None or outcome.learned.snr_db is None:
        return None
    return outcome.price.pj_per_bit, -outcome.learned.snr_db


@dataclass
class Search:
    """A search under way; ``found`` by name, in the order in which candidates were tried.

    ``evaluate(rung, configurations)`` returns outcomes in their order; ``shown(title, found)`` is
    called after each step.
    """

    settings: Config
    evaluate: Callable[[str, Sequence[Config]], list[Outcome]]
    shown: Callable[[str, Search], None] = lambda title, search: None
    found: dict[str, Found] = field(default_factory=dict)

    def run(self) -> list[Found]:
        """Return the candidates to confirm, those of the least energy first."""
        explore = self.settings.explore
        space = Space(self.settings)
        random = np.random.default_rng(self.settings.seed)
        batch = space.start(explore.population, random)
        if not batch:
            raise InputError(f"explore.axes: no candidate fits: {space.why_none()}")
        for generation in range(explore.generations):
            self._learn_cheaply(batch, generation)
            self.shown(f"generation {generation + 1} of {explore.generations}", self)
            if generation + 1 < explore.generations:
                batch = self._neighbors(space, explore.population, random)
            if not batch:
                break
        survivors = self._best(list(self.found.values()), explore.survivors)
        if not survivors:
            reasons = [found.cheap.failed for found in self.found.values()]
            raise InputError(f"explore: no candidate was learned: the first: {reasons[0]}")
        self._learn_fully(survivors)
        self.shown("learned fully", self)
        front = self.front(survivors)
        return by_energy(self._best(front, explore.confirmed))

    def front(self, among: Sequence[Found] | None = None) -> list[Found]:
        """Return the candidates that no other one dominates, those of the least energy first.

        Of those that were learned fully, as soon as there are some.
        """
        if among is None:
            every = list(self.found.values())
            among = [found for found in every if found.full is not None] or every
        valid = [found for found in among if found.objectives is not None]
        points = [found.objectives or () for found in valid]
        return [valid[number] for number in pareto.fronts(points)[0]] if valid else []

    def rank_correlation(self) -> float | None:
        """Return Spearman's rank correlation of the SNRs, cheap and full; of three or more."""
        pairs = [
            (found.cheap.learned.snr_db, found.full.learned.snr_db)
            for found in self.found.values()
            if found.full is not None and found.full.learned.snr_db is not None
        ]
        if len(pairs) < 3:
            return None
        correlation = float(stats.spearmanr(np.array(pairs, float)).statistic)
        return correlation if np.isfinite(correlation) else None

    def _learn_cheaply(self, batch: Sequence[Candidate], generation: int) -> None:
        cheap = self.settings.explore.cheap
        outcomes = self.evaluate(
            f"generation {generation + 1}", [candidate.cheap(cheap) for candidate in batch]
        )
        for candidate, outcome in zip(batch, outcomes, strict=True):
            self.found[candidate.name] = Found(candidate, generation, outcome)

    def _learn_fully(self, survivors: Sequence[Found]) -> None:
        outcomes = self.evaluate("survivors", [found.candidate.settings for found in survivors])
        for found, outcome in zip(survivors, outcomes, strict=True):
            found.full = outcome

    def _best(self, among: Sequence[Found], count: int) -> list[Found]:
        """Return at most ``count`` of those with a design, the best first."""
        valid = [found for found in among if found.objectives is not None]
        chosen = pareto.select([found.objectives or () for found in valid], count)
        return [valid[number] for number in chosen]

    def _neighbors(self, space: Space, count: int, random: np.random.Generator) -> list[Candidate]:
        """Return new candidates one notch from the best ones: each best one gives one in turn."""
        best = self._best(list(self.found.values()), len(self.found))
        waiting: list[list[Place]] = []
        for found in best:
            places = list(space.neighbors(found.candidate.place))
            waiting.append([places[k] for k in random.permutation(len(places))])
        chosen: dict[str, Candidate] = {}
        # Rounds over the front before anything behind it gets its turn.
        fronts = pareto.fronts([found.objectives or () for found in best])
        for front in fronts:
            turns = [waiting[number] for number in sorted(front)]
            while len(chosen) < count and any(turns):
                for places in turns:
                    self._take_one(space, places, chosen, count)
        return list(chosen.values())

    def _take_one(
        self, space: Space, places: list[Place], chosen: dict[str, Candidate], count: int
    ) -> None:
        """Move the first place with a new candidate from ``places`` to ``chosen``."""
        while places and len(chosen) < count:
            candidate = space.candidate(places.pop(0))
            if candidate and candidate.name not in self.found and candidate.name not in chosen:
                chosen[candidate.name] = candidate
                return


def by_energy(found: Sequence[Found]) -> list[Found]:
    """Return candidates with a design in the order of their energy per bit."""
    return sorted(found, key=lambda each: (each.objectives or (), each.candidate.name))
