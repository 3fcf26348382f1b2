"""Products and sums rounded once: against exact arithmetic, with and without the instruction."""

from fractions import Fraction

import numpy as np
import pytest
from numba import njit

from dbp.link import _simd

RANDOM = np.random.default_rng(16)
# Of all sizes; with sums that cancel, ties of the rounding, subnormal results and zeros.
NUMBERS = RANDOM.standard_normal((3, 3000)).astype(np.float32)
SCALED = NUMBERS * np.float32(2.0) ** RANDOM.integers(-60, 60, NUMBERS.shape).astype(np.float32)
CANCELLING = np.stack([NUMBERS[0], NUMBERS[1], -NUMBERS[0] * NUMBERS[1]])
TINY = NUMBERS * np.float32([[2.0**-70], [2.0**-72], [2.0**-149]])
ONE, ULP = np.float32(1), np.float32(2.0**-23)
SPECIAL = np.float32(
    [
        # Ties and what is just beside them: 1 + ulp/2 + or - far below a double's last place.
        [ULP / 2, 1, 1],
        [ULP / 2, 1, 1 + ULP],
        [ULP / 2, 1 + ULP, 1],
        [ULP / 2, 1 - ULP / 2, 1 + ULP],
        [2.0**-40, 2.0**-45, 1],
        [-(2.0**-40), 2.0**-45, 1 + ULP],
        [1 + ULP, 1 + ULP, -1],
        [0, 1, 0],
        [-1, 0, 0],
        [2.0**100, 2.0**27, 2.0**127],
        [2.0**127, 2, -(2.0**127)],
        [np.inf, 1, 1],
        [np.inf, 1, -np.inf],
    ]
).T


def rounded_once(a, b, c):
    """The float32 nearest to a b + c, ties to even, by exact fractions."""
    with np.errstate(all="ignore"):
        near = np.float32(np.float64(a) * np.float64(b) + np.float64(c))
        if not np.isfinite(near):
            return near
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        beside = [
            np.nextafter(near, np.float32(end), dtype=np.float32) for end in (-np.inf, np.inf)
        ]
        candidates = [x for x in (near, *beside) if np.isfinite(x)]
        return min(
            candidates,
            key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1),
        )


def compiled():
    @njit
    def loop(a, b, c, out):
        for k in range(a.size):
            out[k] = _simd.fused(a[k], b[k], c[k])

    return loop


@pytest.mark.parametrize("has_instruction", [True, False])
def test_a_product_and_a_sum_are_rounded_once_on_any_processor(has_instruction, monkeypatch):
    if not has_instruction:
        monkeypatch.setattr(_simd, "_has_fused_instruction", lambda: False)
    a, b, c = np.concatenate([SCALED, CANCELLING, TINY, SPECIAL], axis=1)
    out = np.empty_like(a)
    compiled()(a, b, c, out)
    expected = np.float32([rounded_once(*numbers) for numbers in zip(a, b, c, strict=True)])
    np.testing.assert_array_equal(out, expected)
    # Rounded twice, or once from a double, some are others: the numbers above tell.
    with np.errstate(all="ignore"):
        from_double = np.float32(a.astype(np.float64) * b + c)
        assert (from_double != expected).any() and (a * b + c != expected).mean() > 0.1
