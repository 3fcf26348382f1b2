"""Learn and price candidates on an executor: each step once, as soon as what it needs is there."""

from __future__ import annotations

import concurrent.futures
import functools
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbp.config import Config
from dbp.evaluation.counting import LOOK_S, result_of
from dbp.evaluation.executors import AtATime
from dbp.exploration import tasks
from dbp.exploration.store import Store
from dbp.exploration.tasks import Learned, Price, PriceList
from dbp.learning import training


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate: its design and price, or why there is none."""

    learned: Learned
    price: Price | None = None

    @property
    def failed(self) -> str | None:
        """Why there is no design."""
        return self.learned.failed


@dataclass(frozen=True)
class _Job:
    """One step of a candidate; ``then`` takes what it returns."""

    kind: str
    key: str
    function: Callable[..., bytes]
    arguments: tuple[Any, ...]
    then: Callable[[bytes], None]


@dataclass
class Workshop:
    """Computes outcomes and keeps them in ``store``.

    ``begin()`` gives an executor and a function: how many steps run on it at once. It is called
    when there is something to compute. ``ended`` is called whenever a candidate is done.
    """

    begin: Callable[[], tuple[concurrent.futures.Executor, AtATime]]
    store: Store
    prices: PriceList
    ended: Callable[[Outcome], None] = lambda outcome: None
    _identity: dict[str, str] = field(default_factory=tasks.identity)

    @functools.cached_property
    def place(self) -> tuple[concurrent.futures.Executor, AtATime]:
        """The executor and its function."""
        return self.begin()

    def outcomes(self, batch: Sequence[Config]) -> list[Outcome]:
        """Return the outcome of each configuration, in their order."""
        return _Batch(self, batch).run()


class _Batch:
    """The steps of some candidates: those of one key are done once for all of them."""

    def __init__(self, workshop: Workshop, settings: Sequence[Config]) -> None:
        self._shop, self._settings = workshop, settings
        self._ready: deque[_Job] = deque()
        self._asked: dict[tuple[str, str], list[Callable[[bytes], None]]] = {}
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> list[Outcome]:
        for number, settings in enumerate(self._settings):
            self._learn(number, settings)
        if self._ready:
            self._work(*self._shop.place)
        return [self._outcomes[number] for number in range(len(self._settings))]

    def _work(self, executor: concurrent.futures.Executor, at_a_time: AtATime) -> None:
        """Do all jobs, those that come of them included."""
        running: dict[concurrent.futures.Future[bytes], _Job] = {}
        try:
            while self._ready or running:
                # Called every few seconds: it raises where no worker is left.
                count = at_a_time()
                while self._ready and len(running) < count:
                    job = self._ready.popleft()
                    running[executor.submit(job.function, *job.arguments)] = job
                done, _ = concurrent.futures.wait(
                    running, LOOK_S, concurrent.futures.FIRST_COMPLETED
                )
                for task in done:
                    job = running.pop(task)
                    body = result_of(task)
                    self._shop.store.add(job.kind, job.key, body)
                    for then in self._asked.pop((job.kind, job.key)):
                        then(body)
        finally:
            for task in running:
                task.cancel()

    def _ask(self, job: _Job) -> None:
        """Do a job, unless its result is kept or another candidate has asked for it."""
        kept = self._shop.store.load(job.kind, job.key)
        if kept is not None:
            job.then(kept)
            return
        asked = self._asked.setdefault((job.kind, job.key), [])
        asked.append(job.then)
        if len(asked) == 1:
            # What has been begun is ended first: then there is something to see.
            (self._ready.append if job.kind == "floats" else self._ready.appendleft)(job)

    def _learn(self, number: int, settings: Config) -> None:
        identity = self._shop._identity
        key = tasks.key_of_learning(settings)

        def design(floats: bytes) -> None:
            arguments = settings, floats, identity
            self._ask(_Job("design", key, tasks.learn_design, arguments, price))

        def price(learned: bytes) -> None:
            self._price(number, settings, learned)

        kept = self._shop.store.load("design", key)
        if kept is not None:
            price(kept)
            return
        shared = training.float_settings(settings)
        key_of_floats = tasks.key_of_learning(shared)
        self._ask(_Job("floats", key_of_floats, tasks.learn_floats, (shared, identity), design))

    def _price(self, number: int, settings: Config, body: bytes) -> None:
        learned = Learned.of(body)
        if learned.design is None:
            self._end(number, Outcome(learned))
            return

        def end(price: bytes) -> None:
            self._end(number, Outcome(learned, Price(**json.loads(price))))

        prices = self._shop.prices
        key = tasks.key_of_price(learned, settings, prices)
        self._ask(_Job("price", key, tasks.price_design, (body, settings, prices), end))

    def _end(self, number: int, outcome: Outcome) -> None:
        self._outcomes[number] = outcome
        self._shop.ended(outcome)
