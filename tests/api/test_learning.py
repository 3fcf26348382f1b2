"""From a link to a design by `import dbp`: where learning starts, and how filters are rounded."""

import pytest

import dbp

LINK = dbp.Link(spans=2, span_km=50.0, block_symbols=256, steps_per_span=4)
SMALL = {
    "taps": 15,
    "launch_power_dbm": 0.0,
    "rotation_offset_km": 10.0,
    "symbols": 1024,
    "validation_symbols": 1024,
    "curvature_symbols": 1024,
    "start_iterations": 20,
    "float_iterations": 1,
    "signal_iterations": 1,
    "tap_iterations": 1,
}


@pytest.fixture(scope="module")
def start():
    return dbp.start_filters(LINK, joint=False, **SMALL)


def test_filters_of_one_length_are_equal_by_least_squares_and_differ_by_the_joint_start(start):
    longer = dbp.Link(spans=3, span_km=50.0)
    equal = dbp.start_filters(longer, joint=False, **SMALL)
    assert len(start.taps) == 3 and len(equal.taps) == 4
    assert (equal.taps[1] == equal.taps[2]).all()
    joint = [dbp.start_filters(longer, seed=seed, **SMALL) for seed in (1, 1, 2)]
    assert joint[0].hash == joint[1].hash != joint[2].hash
    assert abs(joint[0].taps[1] - joint[0].taps[2]).max() > 1e-3


@pytest.mark.parametrize("bits", [5, 8])
def test_each_tap_is_rounded_by_itself_to_the_nearest_code(start, bits):
    design = dbp.quantize(start, coefficient_bits=bits, signal_bits=10, taps=15)
    assert isinstance(design, dbp.Design) and design.signal_bits == 10
    for k, (taps, filter_) in enumerate(zip(start.taps, design.filters, strict=True)):
        assert filter_.coefficient_bits == bits
        error = design.taps(k) - taps
        half = 2.0**-filter_.shift / 2
        assert max(abs(error.real).max(), abs(error.imag).max()) <= half * (1 + 1e-12)


@pytest.mark.slow
def test_filters_of_an_earlier_call_are_quantized_as_they_are():
    learned = dbp.learn(LINK, **SMALL)
    settings = {key: value for key, value in SMALL.items() if key != "taps"}
    again = dbp.learn(LINK, filters=learned.float_filters, coefficient_bits=7, **settings)
    assert again.float_filters.hash == learned.float_filters.hash
    assert {row.phase for row in again.history} == {"signals", "taps"}
    assert {filter_.coefficient_bits for filter_ in again.filters} == {7}
    assert again.snr_db_float == learned.snr_db_float


def test_a_dict_names_what_is_evaluated(start):
    design = dbp.quantize(start, taps=15)
    points = dbp.evaluate(
        {"floats": start, "integers": design, "linear": "linear"},
        LINK, 0.0, max_bits=1, progress=False,
    )  # fmt: skip
    assert [point.design for point in points] == ["floats", "integers", "linear"]
    assert points.plot_snr().get_legend() is not None


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda f: dbp.quantize(None), "filters = None: must be dbp.FloatFilters"),
        (lambda f: dbp.quantize(f, bits=3), "bits: unknown key; the keys here are"),
        (lambda f: dbp.learn(LINK, filters=3), "filters = 3: must be dbp.FloatFilters"),
        (lambda f: dbp.learn(dbp.Link(spans=3, span_km=50.0), filters=f), "filters: 3 of 15 taps"),
        (lambda f: dbp.learn(LINK, filters=f, taps=13), "must be 3 of 13 and 1"),
        (lambda f: dbp.learn(LINK, filters=f, checkpoint="x"), "checkpoint: must not be given"),
        (lambda f: dbp.start_filters(None, taps=4), "learned.taps = 4: must be odd"),
        (lambda f: dbp.evaluate({"": f}, LINK, 0.0), "name '': must be a text"),
        (lambda f: dbp.evaluate({"x": "linear"}, LINK, 0.0), "must be its own, 'linear'"),
    ],
)
def test_what_does_not_fit_is_one_line(call, complaint, start):
    with pytest.raises(dbp.InputError, match=complaint) as caught:
        call(start)
    assert "\n" not in str(caught.value)
