# amaranth: UnusedElaboratable=no
"""The static equaliser: fixed-point overlap-save, its operations, their gates, and their sum."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from amaranth.sim import Simulator
from helpers.hardware import pack, unpack

from dbp import config
from dbp.datapath import overlap_save
from dbp.datapath.golden import Samples
from dbp.datapath.overlap_save import Equalizer, Stage, butterfly, stages
from dbp.errors import InputError, ToolError
from dbp.link import closed_forms, fiber
from dbp.rtl.blocks.fft_operations import Butterfly, DelayLine, Multiplications
from dbp.synthesis import linear_equalizer
from dbp.synthesis.linear_equalizer import Cost, Costs, Unit

EXACT_BITS = 24


def random_codes(rng, shape, bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    return Samples(rng.integers(low, high, shape), rng.integers(low, high, shape))


def all_pass(size, seed=0):
    return np.exp(2j * np.pi * np.random.default_rng(seed).random(size))


@pytest.mark.parametrize("size", [4, 8, 64, 128])
def test_the_transform_is_the_fourier_transform(size):
    rng = np.random.default_rng(size)
    x = rng.normal(size=(3, size)) + 1j * rng.normal(size=(3, size))
    equalizer = Equalizer(all_pass(size), 0, EXACT_BITS, EXACT_BITS)
    codes = overlap_save.convert(x, EXACT_BITS, 2**-5)
    entered = {kind: part for kind, stage, part in equalizer.trace(codes) if stage is None}
    # Each bin is where `response_codes` puts its response: a ramp tells them apart.
    ramp = Equalizer(np.arange(size) / size, 0, EXACT_BITS, EXACT_BITS)
    bins = np.rint(ramp.response_codes().i * size / 2 ** (EXACT_BITS - 1)).astype(int)
    assert sorted(bins) == list(range(size))
    halvings = len(stages(size))
    wanted = np.fft.fft(codes.i + 1j * codes.q)[:, bins] / 2**halvings
    found = entered["response"].i + 1j * entered["response"].q
    assert np.abs(found - wanted).max() < 4 * halvings
    back = entered["output"].i + 1j * entered["output"].q
    wanted = np.fft.ifft(np.fft.fft(codes.i + 1j * codes.q) * equalizer.response)
    assert np.abs(back - wanted).max() < 20 * halvings


def test_overlap_save_is_a_convolution():
    """Of taps no longer than the overlap allows, on circular streams, block borders included."""
    size, overlap, rng = 64, 16, np.random.default_rng(3)
    taps = rng.normal(size=2 * 8 + 1) + 1j * rng.normal(size=17)
    taps /= np.abs(taps).sum()
    impulse = np.zeros(size, complex)
    impulse[np.arange(-8, 9)] = taps
    equalizer = Equalizer(np.fft.fft(impulse), overlap, EXACT_BITS, EXACT_BITS)
    x = rng.normal(size=(2, 200)) + 1j * rng.normal(size=(2, 200))
    codes = overlap_save.convert(x, EXACT_BITS, 2**-4)
    i, q = equalizer(codes)
    z = codes.i + 1j * codes.q
    wanted = sum(tap * np.roll(z, n, axis=-1) for tap, n in zip(taps, range(-8, 9), strict=True))
    assert np.abs(i + 1j * q - wanted).max() < 200
    # Two samples less, and it is one no more.
    short = dataclasses.replace(equalizer, overlap=overlap - 2)(codes)
    assert np.abs(short.i + 1j * short.q - wanted).max() > 2**16


def test_the_dispersion_is_that_of_the_fibre():
    settings = config.Link()
    equalizer = overlap_save.of_link(settings)
    span = closed_forms.span(settings)
    lossless = dataclasses.replace(
        span, attenuation_per_km=0.0, gamma_per_w_km=0.0, length_km=span.length_km * settings.spans
    )
    linear, _ = fiber.operators(lossless, 1, equalizer.size, 2 * settings.symbol_rate_gbd)
    assert np.abs(equalizer.response * linear.prod(axis=0) - 1).max() < 1e-6
    # 54,400 ps/nm over 22 GHz, at 25 ps a sample.
    assert equalizer.overlap == 384
    assert linear_equalizer.transform_lanes(equalizer, 96) == 256
    # Savory 2008, equation 9: 2 floor(|D| lambda^2 z / (2 c T^2)) + 1 taps.
    taps = 2 * int(54_400 * 1550**2 / (2 * 299_792.458 * 25**2)) + 1
    assert abs(overlap_save.memory_samples(54_400, 1550, 40, 40) - taps) <= 1


def test_a_word_turned_by_a_quarter_is_a_word():
    x = Samples(np.array([-8, -8, 3, 7]), np.array([-8, 7, -8, 0]))
    wanted = [[-8, -8, 3, 7], [7, -7, 7, 0], [7, 7, -3, -7], [-8, 7, -8, 0]]
    for quarters in range(-4, 5):
        found = overlap_save.times_power_of_j(x, np.array(quarters), 4)
        assert found.i.tolist() == wanted[quarters % 4]
        assert found.q.tolist() == wanted[(quarters - 1) % 4]


class Counted:
    """A complex number that counts its multiplications by what is not a power of j."""

    count = 0

    def __init__(self, z):
        self.z = z

    def __add__(self, other):
        return Counted(self.z + other.z)

    def times(self, factor):
        if min(abs(factor.real), abs(factor.imag)) > 1e-9:
            Counted.count += 1
        return Counted(self.z * factor)


def recursive(x):
    """A transform of radix 4, with decimation in time: written down without stages."""
    size = len(x)
    if size == 1:
        return x
    radix = 4 if size >= 4 else 2
    parts = [recursive(x[k::radix]) for k in range(radix)]
    out = []
    for n in range(size):
        m = n % (size // radix)
        # A twiddle counts once, for all of the outputs that it serves.
        if n == m:
            turned = [p[m].times(np.exp(-2j * np.pi * k * m / size)) for k, p in enumerate(parts)]
            for k, value in enumerate(turned):
                parts[k][m] = value
        total = parts[0][m]
        for k in range(1, radix):
            total = total + parts[k][m].times(
                np.round(np.exp(-2j * np.pi * k * (n // len(parts[0])) / radix))
            )
        out.append(total)
    return out


@pytest.mark.parametrize("size", [16, 64, 256])
def test_multiplications_are_those_of_a_transform_that_counts_them(size):
    rng, Counted.count = np.random.default_rng(1), 0
    x = rng.normal(size=size) + 1j * rng.normal(size=size)
    y = recursive([Counted(z) for z in x])
    np.testing.assert_allclose([value.z for value in y], np.fft.fft(x), atol=1e-9)
    for lanes in (4, 16, size):
        found = Equalizer(all_pass(size), 0, 8, 8).operations(lanes)
        assert found.fixed_twiddles + found.changing_twiddles == 2 * Counted.count
        assert (found.changing_twiddles == 0) is (lanes == size)
        assert found.butterflies_4 == 2 * size / 4 * np.log2(size) / 2
        assert (found.butterflies_2, found.responses) == (0, size)


def test_operations_of_a_size_that_is_no_power_of_four():
    # 8 = 4 x 2: W8 and W8^3 (W8^2 is -j); 4 butterflies of radix 2.
    found = Equalizer(all_pass(8), 0, 8, 8).operations(8)
    assert found == overlap_save.Operations(2 * 2, 2 * 4, 2 * 2, 0, 8)


def played(block, rows, more=None):
    """The outputs of a block, clock by clock, behind its latency."""
    out, more = [], more or {}

    async def bench(ctx):
        for n in range(len(rows.i) + block.latency):
            k = min(n, len(rows.i) - 1)
            ctx.set(block.in_i, pack(rows.i[k], block.data_bits))
            ctx.set(block.in_q, pack(rows.q[k], block.data_bits))
            for name, codes in more.items():
                ctx.set(getattr(block, name), int(codes[k, 0]))
            await ctx.tick()
            out.append(
                [
                    unpack(ctx.get(p), block.data_bits, block.words)
                    for p in (block.out_i, block.out_q)
                ]
            )

    simulator = Simulator(block)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    aligned = np.array(out[block.latency - 1 :][: len(rows.i)])
    return Samples(aligned[:, 0], aligned[:, 1])


def extremes(rng, shape, bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    pool = np.array([low, high, 0, 1, -1, *rng.integers(low, high + 1, 8)])
    return Samples(rng.choice(pool, shape), rng.choice(pool, shape))


def assert_same(found, wanted):
    np.testing.assert_array_equal(found.i, wanted.i)
    np.testing.assert_array_equal(found.q, wanted.q)


@pytest.mark.parametrize("bits", [5, 8])
def test_the_butterfly_is_the_models(bits):
    x = extremes(np.random.default_rng(bits), (300, 4), bits)
    column = Samples(x.i[..., None], x.q[..., None])
    wanted = butterfly(column, bits, 1, 1)
    assert_same(played(Butterfly(bits), x), Samples(wanted.i[..., 0], wanted.q[..., 0]))
    # And, I and Q exchanged, the inverse.
    inverse = butterfly(column, bits, -1, 1)
    found = played(Butterfly(bits), Samples(x.q, x.i))
    assert_same(Samples(found.q, found.i), Samples(inverse.i[..., 0], inverse.q[..., 0]))


def test_the_multiplications_are_the_models():
    rng, bits, by_bits = np.random.default_rng(2), 6, 5
    equalizer = Equalizer(all_pass(4), 0, bits, by_bits)
    x, by = extremes(rng, (300, 1), bits), extremes(rng, (300, 1), by_bits)
    found = played(Multiplications(bits, by_bits), x, {"by_i": by.i, "by_q": by.q})
    assert_same(found, equalizer.multiply(x, by))
    constants = [(15, -3), (-16, -16), (0, 7)]
    x = extremes(rng, (300, 3), bits)
    codes = Samples(*(np.array(part) for part in zip(*constants, strict=True)))
    assert_same(played(Multiplications(bits, by_bits, constants), x), equalizer.multiply(x, codes))


def test_the_delay_line_delays():
    x = extremes(np.random.default_rng(4), (40, 1), 5)
    assert_same(played(DelayLine(5, 7), x), x)


def tiny():
    """An equaliser of 64 points, and a stream."""
    equalizer = Equalizer(all_pass(64), 16, 5, 4)
    rng = np.random.default_rng(7)
    stream = overlap_save.convert(rng.normal(size=(2, 6000)) + 1j * rng.normal(size=(2, 6000)), 5)
    return equalizer, stream


def test_the_sum_is_that_of_the_operations():
    equalizer, _ = tiny()
    costs = Costs(
        Cost(4.0, 0.4, 1e6, 0.3), Cost(3.0, 0.3, 2e6, 0.1), Cost(2.0, 0.2, 3e6, 0.2),
        Cost(1e-3, 1e-4, 1e3),
    )  # fmt: skip
    # 12 new samples a clock: 16 lanes, busy all the time.
    found = dataclasses.asdict(linear_equalizer.total(equalizer, costs, 12, 400.0))
    assert (found["transform_lanes"], found["busy"], found["slack_ns"]) == (16, 1.0, 0.1)
    # 64 points: 16 butterflies in 3 stages; of a stage's 48 twiddles 15 + 16 - 4 trivial ones.
    first, second = 48 - 3 - 1 - 0, 4 * (12 - 3 - 1)
    assert int(Stage(4, 64).multiplied.sum()) == first
    units = {
        "butterflies": 96 / 4,
        "fixed_twiddles": 2 * second / 4,
        "changing_twiddles": 2 * first / 4,
    }
    units |= {"responses": 16}
    beside = ((64 - first) + (64 - second)) // 4
    bits = {
        "blocks_in": 640, "commutators": 960, "blocks_out": 480,
        "beside_multiplications": 10 * 2 * beside, "response": 512,
    }  # fmt: skip
    assert found["register_bits"] == bits
    units["registers"] = sum(bits.values())
    assert {name: part["units"] for name, part in found["parts"].items()} == units
    watts = {"butterflies": 4.4, "fixed_twiddles": 3.3, "changing_twiddles": 2.2, "responses": 2.2}
    watts["registers"] = 1.1e-3
    total = sum(units[name] * watts[name] for name in units)
    assert found["power_w"] == pytest.approx(total)
    assert found["pj_per_sample"] == pytest.approx(1e12 * total / (12 * 400e6))
    area = 24 * 1 + units["fixed_twiddles"] * 2 + (units["changing_twiddles"] + 16) * 3
    assert found["area_mm2"] == pytest.approx(area + 1e-3 * units["registers"])
    # 32 points: a stage of radix 2, whose 2 x 16 butterflies count as half of one of radix 4.
    odd = dataclasses.replace(equalizer, response=all_pass(32))
    of_odd = linear_equalizer.total(odd, costs, 8, 400.0).parts["butterflies"].units
    assert of_odd == (2 * 2 * 8 + 2 * 16 / 2) * 16 / 32
    # One sample a clock less: the same hardware, a twelfth less of its time.
    less = dataclasses.asdict(linear_equalizer.total(equalizer, costs, 11, 400.0))
    assert less["transform_lanes"] == 16
    assert less["area_mm2"] == found["area_mm2"]
    leakage = sum(part["leakage_w"] for part in found["parts"].values())
    assert less["power_w"] == pytest.approx(leakage + (total - leakage) * 11 / 12)


def test_input_registers_are_those_of_the_operation_before():
    equalizer, _ = tiny()  # words of 2 x 5 bits
    measured = {
        "registers": Cost(16 * 10 * 0.01, 16 * 10 * 0.001, 16 * 10 * 2.0),
        "butterfly": Cost(5.0, 0.5, 500.0, 0.2),
        "changing": Cost(2.0, 0.2, 200.0, 0.1),
        "fixed": Cost(12 * 1.0, 12 * 0.1, 12 * 100.0, 0.3),
    }
    found = linear_equalizer.costs(equalizer, measured)
    assert dataclasses.astuple(found.register)[:3] == pytest.approx((0.01, 0.001, 2.0))
    assert dataclasses.astuple(found.butterfly) == pytest.approx((4.6, 0.46, 420.0, 0.2))
    assert dataclasses.astuple(found.changing_twiddle) == pytest.approx((1.9, 0.19, 180.0, 0.1))
    assert dataclasses.astuple(found.fixed_twiddle) == pytest.approx((0.9, 0.09, 80.0, 0.3))


def test_blocks_get_the_words_of_the_transform():
    """Each changing coefficient is one of the codes, and comes as the clock would bring it."""
    equalizer, stream = tiny()
    units = {u.name: u for u in linear_equalizer.units(equalizer, stream, 16, 200)}
    assert set(units) == {"butterfly", "changing", "fixed", "registers"}
    assert all(len(u.expected.i) >= 216 for u in units.values())
    by = list(
        zip(*(units["changing"].inputs[n][:, 0].tolist() for n in ("by_i", "by_q")), strict=True)
    )
    w = equalizer.coefficients(Stage(4, 64))
    # Place 1 of 4 butterflies a clock: m = 1, 5, 9, 13, once more with every block.
    wanted = [(w.i[1, m], w.q[1, m]) for m in (1, 5, 9, 13)]
    assert by[:8] == 2 * wanted
    codes = equalizer.response_codes()
    assert by[-4:-1] != 3 * [by[-1]]
    assert set(by[-8:]) <= set(zip(codes.i.tolist(), codes.q.tolist(), strict=True))
    # Constants are twiddles of sub-transforms within a clock, never trivial.
    of_16 = equalizer.coefficients(Stage(4, 16))
    every = {
        (int(of_16.i[k, m]), int(of_16.q[k, m])) for k, m in np.argwhere(Stage(4, 16).multiplied)
    }
    assert set(units["fixed"].block.constants) <= every


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_gates_are_the_models_and_cost(tmp_path):
    equalizer, stream = tiny()
    found = linear_equalizer.estimate(
        "predictive28", equalizer, stream, tmp_path, lanes=12, clock_mhz=200.0, clocks=200
    )
    assert found.pdk == "predictive28"
    energy = found.pj_per_operation
    # A constant is cheaper than a word that changes.
    assert 0 < energy["register"] < energy["fixed_twiddle"] < energy["changing_twiddle"]
    area = found.um2_per_operation
    assert 0 < area["register"] < area["fixed_twiddle"] < area["changing_twiddle"]
    assert energy["butterfly"] > 0 and found.slack_ns > 0


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_gates_cost_twice_at_twice_the_clock(tmp_path):
    x = random_codes(np.random.default_rng(1), (60, 1), 4)
    unit = Unit("line", DelayLine(4, 2), {"in_i": x.i, "in_q": x.q}, x)
    slow, fast = (
        linear_equalizer.measure("predictive28", [unit], tmp_path, clock)["line"]
        for clock in (100.0, 200.0)
    )
    assert fast.dynamic_w == pytest.approx(2 * slow.dynamic_w)
    assert (fast.leakage_w, fast.area_um2) == (slow.leakage_w, slow.area_um2)
    assert slow.slack_ns == pytest.approx(fast.slack_ns + 5, abs=0.01)


@pytest.mark.skipif(shutil.which("sta") is None, reason="no OpenSTA")
def test_gates_that_differ_are_refused(tmp_path):
    x = random_codes(np.random.default_rng(1), (60, 1), 4)
    wrong = Samples(x.i.copy(), x.q)
    # Bits that should be 1 and are not, and the other way round.
    wrong.i[20:28] ^= 1
    unit = Unit("line", DelayLine(4, 2), {"in_i": x.i, "in_q": x.q}, wrong)
    with pytest.raises(ToolError, match="differ from the model in 8 samples"):
        linear_equalizer.measure("predictive28", [unit], tmp_path, 100.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"response": np.ones(48)}, "size = 48: must be a power of two in 4..65536"),
        ({"overlap": 15}, "overlap = 15: must be even, and in 0..63"),
        ({"overlap": 64}, "overlap = 64: must be even"),
        ({"data_bits": 1}, "data_bits = 1: must be in 2..24"),
        ({"twiddle_bits": 25}, "twiddle_bits = 25: must be in 2..24"),
        ({"response": np.full(64, 1.1)}, "response: must be finite and at most 1"),
        ({"response": np.full(64, np.nan)}, "response: must be finite and at most 1"),
    ],
)
def test_wrong_equalisers_are_refused(change, complaint):
    with pytest.raises(InputError, match=complaint):
        dataclasses.replace(tiny()[0], **change)


def test_wrong_estimates_are_refused(tmp_path):
    equalizer, stream = tiny()
    with pytest.raises(InputError, match="lanes = 96: a transform of 64 points, 16 of them"):
        linear_equalizer.estimate("predictive28", equalizer, stream, tmp_path)
    with pytest.raises(InputError, match=r"clock_mhz = 0.0: must be above 0"):
        linear_equalizer.estimate("predictive28", equalizer, stream, tmp_path, clock_mhz=0.0)
    with pytest.raises(InputError, match=r"must be at least \d+ for that many clocks"):
        linear_equalizer.estimate(
            "predictive28", equalizer, stream, tmp_path, lanes=12, clocks=10**6
        )
