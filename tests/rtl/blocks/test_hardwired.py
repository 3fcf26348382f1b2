# amaranth: UnusedElaboratable=no
"""Hardwired filters: equal to golden in every sample, clean under lint, and wrong when broken."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.designs import BITS, LANES, examples, filters
from helpers.hardware import assert_equal, play, stimulus
from helpers.verilog import check, lint
from hypothesis import given
from hypothesis import strategies as st

from dbp.datapath import golden
from dbp.datapath.design import Filter
from dbp.rtl.blocks.hardwired import HardwiredFilterLanes, HardwiredLane, graph_sizes, lane_graph
from dbp.rtl.pipeline import HardwiredPipeline
from dbp.rtl.verilog import to_verilog

PIPELINES = st.builds(HardwiredPipeline, st.booleans(), st.integers(2, 48), st.booleans())
FORMATS = BITS.flatmap(lambda bits: st.tuples(st.just(bits), filters(bits, 25)))
MIDDLE = Filter(6, 6, 8, (2, 7, -17, 0, 12, 14, 10, 14), (-13, 19, -5, -16, -4, 0, 7, 11))
ZERO = Filter(4, 3, 5, (0, 0), (0, 0))
# A sum that always rounds to zero.
SMALL = Filter(3, 14, 5, (1, -2), (1, 0))
# Outermost taps of zero, one that is real, one that is imaginary, a centre of one digit.
SPARSE = Filter(5, 0, 9, (0, 3, 0, 4), (0, 0, -7, 0))


def assert_equals_golden(filter_, bits, lanes, pipeline, seed):
    block = HardwiredFilterLanes(filter_, bits, lanes, pipeline)
    x, valid = stimulus(np.random.default_rng(seed), bits, lanes)
    y, latencies = play(block, x, valid)
    assert_equal(y, golden.filter_samples(filter_, x), latencies, block)


@given(FORMATS, LANES, PIPELINES, st.integers(0, 2**32 - 1))
@examples(7)
def test_filter_equals_golden(format_, lanes, pipeline, seed):
    bits, filter_ = format_
    assert_equals_golden(filter_, bits, lanes, pipeline, seed)


@pytest.mark.parametrize("filter_", [ZERO, SMALL, SPARSE, Filter(3, 9, 3, (1,), (0,)), MIDDLE])
@pytest.mark.parametrize("pipeline", [HardwiredPipeline(), HardwiredPipeline(False, 2, True)])
def test_special_taps_equal_golden(filter_, pipeline):
    assert_equals_golden(filter_, 6, 3, pipeline, 0)


def test_long_filter_with_extreme_taps_equals_golden():
    half = 20
    low, high = -(2**15), 2**15 - 1
    filter_ = Filter(16, 24, 16, (low,) * half, (high, low) * (half // 2))
    assert_equals_golden(filter_, 16, 2, HardwiredPipeline(sum_terms=20), 1)


def test_a_wrong_tap_is_found():
    half = (*MIDDLE.half_taps_i[:-1], MIDDLE.half_taps_i[-1] + 1)
    block = HardwiredFilterLanes(replace(MIDDLE, half_taps_i=half), 8, 2, HardwiredPipeline())
    x, valid = stimulus(np.random.default_rng(0), 8, 2)
    y, latencies = play(block, x, valid)
    with pytest.raises(AssertionError):
        assert_equal(y, golden.filter_samples(MIDDLE, x), latencies, block)
    assert_equal(y, golden.filter_samples(block.filter, x), latencies, block)


def test_latency_follows_the_pipeline():
    terms = max(len(lane_graph(MIDDLE, 8, HardwiredPipeline()).sums[-k].terms) for k in (1, 2))
    assert 12 < terms <= 48

    def latency(*pipeline):
        return HardwiredLane(MIDDLE, 8, HardwiredPipeline(*pipeline)).latency

    assert latency() == latency(True, terms, False) == 2
    assert latency(False, 48, False) == 1
    assert latency(True, terms - 1, False) == 3
    assert latency(True, 48, True) == 3


def test_report_counts_before_and_after_sharing():
    plain, shared = graph_sizes(MIDDLE, 8, HardwiredPipeline())
    # 7 taps folded, 56 signed digits to two sums.
    assert plain.adders == 2 * 7 + 56 - 2
    assert plain.register_bits == 2 * (7 * 9 + 8)
    assert shared.adders < plain.adders
    assert shared.depth >= plain.depth > 1
    everything_zero = {"adders": 0, "depth": 0, "register_bits": 0}
    assert graph_sizes(ZERO, 8, HardwiredPipeline()).shared.model_dump() == everything_zero


def test_equal_names_mean_equal_taps_and_formats():
    def name(filter_, bits=8):
        return HardwiredFilterLanes(filter_, bits, 2, HardwiredPipeline()).module_name

    others = [
        replace(MIDDLE, half_taps_i=MIDDLE.half_taps_q, half_taps_q=MIDDLE.half_taps_i),
        replace(MIDDLE, shift=5),
        replace(MIDDLE, output_bits=9),
        replace(MIDDLE, half_taps_q=(*MIDDLE.half_taps_q[:-1], 10)),
    ]
    assert len({name(MIDDLE), name(MIDDLE, 9), *map(name, others)}) == 6
    assert name(MIDDLE) == name(replace(MIDDLE, coefficient_bits=7))


@pytest.mark.parametrize("filter_", [ZERO, SMALL, SPARSE, MIDDLE])
@pytest.mark.parametrize("pipeline", [HardwiredPipeline(), HardwiredPipeline(False, 5, True)])
def test_lint_and_check_accept_it(tmp_path, filter_, pipeline):
    block = HardwiredFilterLanes(filter_, 8, 3, pipeline)
    texts = to_verilog(block)
    assert set(texts) == {block.module_name, block.lane.module_name}
    for name, text in texts.items():
        (tmp_path / f"{name}.v").write_text(text)
    assert lint(tmp_path, block.module_name) == ""
    assert check(tmp_path, block.module_name) == []


@given(FORMATS, PIPELINES)
@examples(3)
def test_lint_and_check_accept_random_filters(tmp_path_factory, format_, pipeline):
    bits, filter_ = format_
    folder = tmp_path_factory.mktemp("hardwired")
    block = HardwiredFilterLanes(filter_, bits, 2, pipeline)
    for name, text in to_verilog(block).items():
        (folder / f"{name}.v").write_text(text)
    assert lint(folder, block.module_name) == ""
    assert check(folder, block.module_name) == []
