"""Counting in any order, by any number of workers, with interruptions: the same figures."""

import concurrent.futures
import random

import numpy as np
import pytest
from helpers.awgn import AWGN, Plain, power_for

from dbp.evaluation import counting, groups
from dbp.evaluation.store import Results

RULE = counting.Rule(min_errors=150, max_bits=400_000)


class Shuffled(concurrent.futures.Executor):
    """Does tasks when it is asked how many it can take, some of them, in random order."""

    def __init__(self, seed, most, end_after=10**9):
        self.random, self.most, self.left = random.Random(seed), most, end_after
        self.waiting = []

    def submit(self, function, *arguments):
        task = concurrent.futures.Future()
        self.waiting.append((task, function, arguments))
        return task

    def at_a_time(self):
        if len(self.waiting) >= self.most or (self.waiting and self.random.random() < 0.3):
            for _ in range(self.random.randint(1, len(self.waiting))):
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
                chosen = self.waiting.pop(self.random.randrange(len(self.waiting)))
                task, function, arguments = chosen
                task.set_result(function(*arguments))
        return self.most


def interfering(waveform):
    return waveform + 0.1 * np.roll(waveform, 2, axis=-1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """`Shuffled` works only while it is looked at."""
    monkeypatch.setattr(counting, "LOOK_S", 0)


@pytest.fixture(scope="module")
def transmissions():
    """Three launch powers: few errors, some, many."""
    receivers = [Plain("plain"), Plain("worse", interfering)]
    powers = [power_for(AWGN, snr_db) for snr_db in (11.0, 15.5, 18.0)]
    return [(groups.Scenario(AWGN, power, 5), receivers) for power in powers]


def count(transmissions, executor, results=None):
    return counting.count(
        transmissions, RULE, executor=executor, at_a_time=executor.at_a_time, results=results
    )


@pytest.fixture(scope="module")
def expected(transmissions):
    """By the words of the rule, group after group."""
    counted = []
    for scenario, receivers in transmissions:
        chunks = -(-RULE.max_bits // (8192 * 4) // scenario.chunk_groups)
        expected = groups.identity(scenario, receivers)
        found = [groups.count(scenario, receivers, chunk, expected) for chunk in range(chunks)]
        prefixes = []
        for k, _ in enumerate(receivers):
            measures = [group for chunk in found for group in chunk[k]]
            length = 1
            while True:
                errors = sum(group.bit_errors for group in measures[:length])
                bits = sum(group.bits for group in measures[: length + 1])
                if errors >= RULE.min_errors or bits > RULE.max_bits:
                    break
                length += 1
            prefixes.append(measures[:length])
        counted.append(prefixes)
    return counted


def test_the_prefix_is_the_shortest_that_meets_the_rule(transmissions, expected):
    lengths = {len(prefix) for prefixes in expected for prefix in prefixes}
    assert len(lengths) > 2 and max(lengths) == RULE.max_bits // (8192 * 4)
    assert count(transmissions, Shuffled(0, 1)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_any_order_and_any_number_at_a_time_count_the_same(transmissions, expected, seed):
    assert count(transmissions, Shuffled(seed, 1 + seed)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_an_interrupted_evaluation_goes_on_where_it_was(transmissions, expected, seed, tmp_path):
    tasks = 0
    for end_after in (3, 2, 4, 10**9):
        executor = Shuffled(seed, 4, end_after)
        with Results(tmp_path / "results.sqlite") as results:
            try:
                found = count(transmissions, executor, results)
            except KeyboardInterrupt:
                found = None
        tasks += end_after - executor.left
    assert found == expected
    # What an interruption loses are the tasks under way, at most.
    whole = Shuffled(seed, 4)
    count(transmissions, whole)
    assert tasks <= 10**9 - whole.left + 3 * 4
    with Results(tmp_path / "results.sqlite") as results:
        nothing = Shuffled(seed, 4, end_after=0)
        assert count(transmissions, nothing, results) == expected


def test_more_is_counted_for_another_rule_only(transmissions, tmp_path):
    with Results(tmp_path / "results.sqlite") as results:
        executor = Shuffled(0, 1)
        less = counting.Rule(min_errors=10**9, max_bits=8 * 8192 * 4)
        counting.count(
            transmissions[:1],
            less,
            executor=executor,
            at_a_time=executor.at_a_time,
            results=results,
        )
        done = 10**9 - executor.left
        more = counting.Rule(min_errors=10**9, max_bits=12 * 8192 * 4)
        (prefixes,) = counting.count(
            transmissions[:1],
            more,
            executor=executor,
            at_a_time=executor.at_a_time,
            results=results,
        )
        chunk = transmissions[0][0].chunk_groups
        assert (done, 10**9 - executor.left - done) == (8 // chunk, 4 // chunk)
        assert [len(prefix) for prefix in prefixes] == [12, 12]


def test_nothing_is_counted_far_ahead_of_need(transmissions):
    """A point that ends at its first group does not fill the machine."""
    executor = Shuffled(1, 6)
    rule = counting.Rule(min_errors=1, max_bits=10**9)
    counting.count(transmissions[:1], rule, executor=executor, at_a_time=executor.at_a_time)
    assert 10**9 - executor.left <= 6
