"""The search on outcomes of a formula: same seed, same front; it finds what enumeration finds."""

import itertools

import pytest

from dbp import config
from dbp.config import axes
from dbp.datapath import shipped
from dbp.errors import InputError
from dbp.exploration import pareto
from dbp.exploration.search import Search
from dbp.exploration.space import Space
from dbp.exploration.tasks import Learned, Price
from dbp.exploration.work import Outcome

DESIGN = shipped.designs()["learned-c6-s9"]
AXES = """
seed = 1
[explore]
population = 8
generations = 12
survivors = 60
confirmed = 5
[explore.axes]
learned.taps = [9, 11, 13, 15, 17]
learned.coefficient_bits = [4, 5, 6, 7]
rate = [
  {link.adc_samples_per_symbol = "2", datapath.rotation_guard_bits = 0},
  {link.adc_samples_per_symbol = "3/2", datapath.rotation_guard_bits = 1},
]
"""
SETTINGS = config.parse(AXES)


def formula(settings):
    """More taps and bits are better and dearer; 17 taps of 7 bits fail."""
    learned, rate = settings.learned, float(settings.link.adc_rate)
    taps, bits = learned.taps, learned.coefficient_bits
    if (taps, bits) == (17, 7):
        return Outcome(Learned(failed="worse than linear compensation"))
    cheap = settings.training.symbols == config.CheapTraining().symbols
    snr_db = 20 - 30 / taps - 8 / bits - 1 / rate - 0.3 * cheap + 0.01 * ((taps * bits) % 3)
    cost = rate * taps * bits**1.5
    return Outcome(Learned(DESIGN, None, snr_db, snr_db), Price(cost, cost, cost, False))


def run(settings=SETTINGS, evaluate=formula):
    batches = []

    def of_batch(title, batch):
        batches.append((title, [each.hash for each in batch]))
        return [evaluate(each) for each in batch]

    search = Search(settings, of_batch)
    return search, search.run(), batches


def test_candidates_are_what_train_takes_and_those_that_do_not_fit_are_not_there():
    space = Space(SETTINGS)
    assert space.size == 40
    candidate = space.candidate((2, 0, 1))
    assert candidate.values == {
        "learned.coefficient_bits": 6,
        "learned.taps": 9,
        "link.adc_samples_per_symbol": "3/2",
        "datapath.rotation_guard_bits": 1,
    }
    assert candidate.settings.explore == config.Explore()
    assert candidate.settings.learned.bandwidth != config.Learned().bandwidth  # follows the rate
    # Filters of 9 taps are hopeless at 2 samples per symbol.
    text = AXES.replace("[9, 11", "[3, 11")
    hopeless = Space(config.parse(text))
    assert hopeless.candidate((0, 0, 0)) is None and "learned.taps = 3" in hopeless.why_none()
    cheap = candidate.cheap(SETTINGS.explore.cheap).training
    assert (cheap.symbols, cheap.launch_power_dbm) == (16384, 0.5)


def test_the_same_seed_tries_the_same_and_finds_the_same():
    first, again, other = run(), run(), run(SETTINGS.model_copy(update={"seed": 2}))
    assert first[2] == again[2] and list(first[0].found) == list(again[0].found)
    assert [each.candidate for each in first[1]] == [each.candidate for each in again[1]]
    assert first[2] != other[2]


def test_the_first_generation_covers_every_axis_evenly():
    search, _, batches = run()
    first = list(search.found.values())[:8]
    assert len(batches[0][1]) == 8
    for axis, values in enumerate(axes.parse(SETTINGS.explore.axes)):
        counts = [sum(each.candidate.place[axis] == k for each in first) for k in range(9)]
        assert min(counts[: len(values.values)]) >= 1


def test_the_front_is_that_of_trying_everything():
    search, confirmed, _ = run()
    assert len(search.found) == 40  # twelve generations of eight have room for all
    space = Space(SETTINGS)
    places = itertools.product(range(4), range(5), range(2))
    every = [formula(space.candidate(place).settings) for place in places]
    points = [
        (each.price.pj_per_bit, -each.learned.snr_db) for each in every if each.failed is None
    ]
    expected = sorted(points[k] for k in pareto.fronts(points)[0])
    assert [each.objectives for each in search.front()] == expected
    assert len(confirmed) == 5
    assert {confirmed[0].objectives, confirmed[-1].objectives} == {expected[0], expected[-1]}
    assert search.rank_correlation() == pytest.approx(1)


def test_few_looks_find_most_of_a_front():
    few = SETTINGS.explore.model_copy(update={"population": 6, "generations": 3})
    search, _, batches = run(SETTINGS.model_copy(update={"explore": few}))
    tried = sum(len(batch) for title, batch in batches if title != "survivors")
    assert tried == len(search.found) == 18
    full, _, _ = run()
    best = {each.candidate.name for each in full.front()}
    assert len(best & {each.candidate.name for each in search.front()}) >= len(best) / 2


def test_later_generations_are_neighbours_of_what_is_known():
    search, _, _ = run()
    found = list(search.found.values())
    for each in found:
        if each.generation:
            steps = [
                sum(abs(a - b) for a, b in zip(each.candidate.place, place, strict=True))
                for place in (
                    other.candidate.place for other in found if other.generation < each.generation
                )
            ]
            assert min(steps) == 1


def test_where_nothing_fits_or_nothing_is_learned_that_is_told():
    with pytest.raises(InputError, match=r"explore\.axes: must have an axis"):
        Search(config.Config(), lambda title, batch: []).run()
    hopeless = config.parse("[explore.axes]\nlearned.taps = [1, 3]")
    with pytest.raises(InputError, match=r"no candidate fits: learned\.taps = "):
        Search(hopeless, lambda title, batch: []).run()
    failed = Outcome(Learned(failed="reached 3 dB only"))
    with pytest.raises(InputError, match="no candidate was learned: the first: reached 3 dB"):
        Search(SETTINGS, lambda title, batch: [failed] * len(batch)).run()
