"""What the bench gets and returns: schedules by hand, and results that do not fit."""

import json

import numpy as np
import pytest
from helpers.hardware import make_run, small_design

from dbp.datapath.golden import Samples, Tuning
from dbp.errors import ToolError
from dbp.rtl.ports import Ports
from dbp.sim.job import Register, read_results
from dbp.sim.schedule import BUSY_CLOCKS, empty_addresses, make_job, registers
from dbp.sim.vectors import Vector

LANES = 2
DESIGN = small_design(taps=(3, 1))
OWN = Tuning(0, DESIGN, 1000)


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, DESIGN, lanes=LANES)
    return Ports.read(folder / "rtl", DESIGN)


def vector(valid, *tunings, **options):
    valid = np.array(valid, np.bool_)
    samples = np.arange(LANES * valid.sum()) % 100
    return Vector("example", Samples(samples, -samples), valid, (OWN, *tunings), **options)


def play(ports, vector):
    (played,) = make_job(ports, [vector]).vectors
    return played


def test_words_and_pauses_are_played_as_they_are(ports):
    played = play(ports, vector([1, 0, 0, 1]))
    assert played.word_clocks == [0, 3]
    assert played.commit_clocks == [0]
    assert played.writes == []
    # Samples 2 and 3, the older one in the low bits.
    assert played.clocks[3].word == (0x0302, 0xFDFE)
    values = registers(ports, OWN)
    assert [write.register for write in played.first_writes] == list(values)
    content = json.loads(json.dumps(played.to_json()))
    assert content["valid"] == "1001"
    assert content["in_i"] == ["0x100", "0x302"] and content["in_q"] == ["0xff00", "0xfdfe"]
    assert content["commits"] == [0] and content["writes"] == []
    mask = (1 << ports.widths["cfg_data"]) - 1
    assert content["first_writes"] == [[k, a, value & mask] for (k, a), value in values.items()]


def test_a_later_tuning_is_committed_with_its_first_word(ports):
    count, latency = len(registers(ports, OWN)), ports.latency_cycles
    later = OWN._replace(start=LANES * (2 + latency + count))
    played = play(ports, vector([1] * 100, later))
    # There is just time enough, behind the second commit, which changes nothing.
    assert played.commit_clocks == [0, 1, 2 + latency + count]
    assert played.word_clocks == list(range(100))
    assert [clock for clock, _ in played.writes] == [*range(2 + latency, 2 + latency + count)]
    assert [write.register for _, write in played.writes] == list(registers(ports, later))


def test_writes_that_must_wait_do_so_in_a_pause_and_still_meet_words(ports):
    count, latency = len(registers(ports, OWN)), ports.latency_cycles
    time_needed = latency + 1 + count
    first = OWN._replace(start=LANES * (1 + time_needed))
    second = OWN._replace(start=LANES * (1 + 2 * time_needed - 3))
    played = play(ports, vector([1] * 100, first, second))
    assert played.commit_clocks == [0, 1, 1 + time_needed, 1 + 2 * time_needed]
    # Three clocks are missing: the words just before the commit come three clocks later.
    pauses = [n for n, clock in enumerate(played.clocks) if clock.word is None]
    pause = max(1 + 2 * time_needed - 3 - BUSY_CLOCKS, 2 + time_needed)
    assert pauses == [pause, pause + 1, pause + 2]
    assert len(played.clocks) == 103
    assert {clock for clock, _ in played.writes} & set(played.word_clocks)


def test_an_early_commit_comes_in_the_pause_before_its_word(ports):
    count, latency = len(registers(ports, OWN)), ports.latency_cycles
    start = 2 + latency + count
    later = OWN._replace(start=LANES * start)
    valid = [1] * start + [0] * 7 + [1] * 10
    for early, commit in ((True, start), (False, start + 7)):
        played = play(ports, vector(valid, later, early_commits=early))
        assert played.commit_clocks == [0, 1, commit]
        assert played.word_clocks[start] == start + 7


def test_a_reset_may_meet_a_commit_on_its_way(ports):
    played = play(ports, vector([1] * 50, drain=False))
    assert played.commit_clocks == [0, 50 - ports.latency_cycles // 2]
    assert played.reads == ()


def test_empty_addresses_are_written_and_read_where_taps_change(ports):
    empty = empty_addresses(ports)
    assert empty and not set(empty) & set(registers(ports, OWN))
    later = OWN._replace(start=LANES * 60)
    played = play(ports, vector([1] * 100, later))
    assert {write.register for write in played.first_writes} >= set(empty)
    assert set(played.probes) >= set(empty)


RESULT = {
    "out_i": ["0x1", None], "out_q": ["0x2", "0x3"], "clocks": [5, 6], "commits": [5],
    "probes": [[3, 0, 1, "0xff"], [4, 0, 2, None]], "reads": [], "cleared": [], "stray": 0,
}  # fmt: skip


@pytest.fixture
def job(ports):
    return make_job(ports, [vector([1] * 50, drain=False)])


def test_results_are_read(job):
    (result,) = read_results(json.dumps([RESULT]), job)
    assert result.out_i == (1, None) and result.out_q == (2, 3)
    assert result.clocks == (5, 6) and result.commits == (5,) and result.stray == 0
    assert [(p.clock, p.register, p.value) for p in result.probes] == [
        (3, Register(0, 1), 255),
        (4, Register(0, 2), None),
    ]
    wide = 1 << 20_000
    assert (
        read_results(json.dumps([{**RESULT, "out_q": [hex(wide), "0x0"]}]), job)[0].out_q[0] == wide
    )


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("", "Invalid JSON"),
        ("{}", "the file: Input should be a valid array"),
        ([], "0 vectors: must be 1"),
        ([{}], "out_i"),
        ([{**RESULT, "out_i": ["0x1"]}], "example: lists of wrong lengths"),
        ([{**RESULT, "out_i": ["0x1", "x"]}], "0.out_i.1"),
        ([{**RESULT, "out_q": ["0x1", 2]}], "hexadecimal"),
        ([{**RESULT, "clocks": [5, -6]}], "0.clocks.1"),
        ([{**RESULT, "clocks": [5, "6"]}], "0.clocks.1"),
        ([{**RESULT, "probes": [[1, 2]]}], "0.probes.0"),
        ([{**RESULT, "reads": ["0x1"]}], "lists of wrong lengths"),
        ([{**RESULT, "cleared": [["0x1"]]}], "lists of wrong lengths"),
        ([{**RESULT, "stray": None}], "0.stray"),
    ],
)
def test_results_that_do_not_fit_the_job_are_a_failed_tool(job, results, message):
    text = results if isinstance(results, str) else json.dumps(results)
    with pytest.raises(ToolError, match=message) as caught:
        read_results(text, job)
    assert "\n" not in str(caught.value)


def test_a_job_says_about_how_many_clocks_it_takes(ports):
    job = make_job(ports, [vector([1] * 50)])
    rows = len(registers(ports, OWN))
    reads = len(job.vectors[0].reads) * ports.read_latency_cycles
    assert job.clocks == 50 + rows + ports.latency_cycles + reads
