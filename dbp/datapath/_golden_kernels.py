"""The golden model's filters and rotations, compiled: on vectors of 32-bit integers.

A sample is one int32, I in its low half and Q in its high half. One `dot` with the pair (h_i, -h_q)
gives I of a product, another with (h_q, h_i) gives Q. A piece of the stream stays in the cache
through all blocks. Every block computes only where its whole history is at hand, in place: output
n, of inputs n .. n + taps - 1, takes the place of the first of them. The last outputs are fewer
than the first inputs by the chain's memory, so each piece begins that much before its first output.
Zeros before the start of the stream are then the zero history of every block, since zeros pass all
blocks as zeros.

numba would widen every product of integers to 64 bits, and LLVM does not narrow such loops again;
hence a type of its own for vectors of `SIMD_LANES` int32. ``+ - * << >> & |`` act on every lane and
wrap, and a number on the right counts for all lanes. The instructions are LLVM's own, not those of
one processor; on x86 `dot` becomes ``vpmaddwd``, or with the sum that it enters ``vpdpwssd``.

Nothing is checked here: `dbp.datapath.golden_fast` does. All that is compiled together is in this
file, for numba's cache of machine code notices changes of the file of a compiled function, not of
files that it imports from.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_jitable, register_model
from numpy.typing import NDArray

from dbp.support.compiled import njit

# Samples of a piece: 64 KiB, part of a second-level cache; the paper's chain begins 462 earlier.
PIECE = 1 << 14

FILTER = [(name, np.int64) for name in ("half_taps", "shift", "output_bits")]
ROTATION = [
    (name, np.int64)
    for name in (
        *("half_kerr", "cut", "power_offset", "phase_shift", "phase_bits"),
        *("phase_fraction_bits", "taylor_order", "output_shift", "output_bits"),
    )
]

# Two registers of AVX-512, four of AVX2: their sums do not wait for each other.
SIMD_LANES = 32

# numba types a decorated function as one of no known arguments.
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_compile: Decorator = njit(nogil=True)
_intrinsic: Decorator = intrinsic

_WORD = ir.IntType(32)
_WORDS = ir.VectorType(_WORD, SIMD_LANES)
_HALVES = ir.VectorType(ir.IntType(16), 2 * SIMD_LANES)
_PRODUCTS = ir.VectorType(_WORD, 2 * SIMD_LANES)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"int32x{SIMD_LANES}")


_VECTOR = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, type_) -> None:
        super().__init__(manager, type_, _WORDS)


def _lanes(indices) -> ir.Constant:
    """The mask of a shuffle."""
    constants = [ir.Constant(_WORD, k) for k in indices]
    return ir.Constant(ir.VectorType(_WORD, len(constants)), constants)


def _pointer(context, builder, signature, arguments):
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    element = cgutils.gep(builder, array.data, arguments[1])
    return builder.bitcast(element, _WORDS.as_pointer())


@_intrinsic
def load(typing_context, x, start):
    """``x[start : start + SIMD_LANES]`` of a contiguous int32 array. Nothing checks its bounds."""

    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature, arguments), align=4)

    return _VECTOR(x, types.intp), generate


@_intrinsic
def store(typing_context, x, start, vector):
    """``x[start : start + SIMD_LANES] = vector``. Nothing checks the bounds."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(x, types.intp, _VECTOR), generate


@_intrinsic
def splat(typing_context, number):
    """A vector with a number, cut to 32 bits, in all lanes."""

    def generate(context, builder, signature, arguments):
        word = context.cast(builder, arguments[0], number, types.int32)
        vector = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, _WORD(0))
        return builder.shuffle_vector(vector, vector, _lanes([0] * SIMD_LANES))

    return _VECTOR(number), generate


@_intrinsic
def add_halves(typing_context, x, y):
    """Sums of the low halves and of the high halves; each wraps for itself."""

    def generate(context, builder, signature, arguments):
        halves = (builder.bitcast(a, _HALVES) for a in arguments)
        return builder.bitcast(builder.add(*halves), _WORDS)

    return _VECTOR(x, y), generate


@_intrinsic
def dot(typing_context, x, y):
    """low(x) low(y) + high(x) high(y), exact unless all four are -2^15."""

    def generate(context, builder, signature, arguments):
        # Just this order of instructions is what LLVM knows as vpmaddwd.
        wide = (builder.sext(builder.bitcast(a, _HALVES), _PRODUCTS) for a in arguments)
        products = builder.mul(*wide)
        low, high = (
            builder.shuffle_vector(products, products, _lanes(range(first, 2 * SIMD_LANES, 2)))
            for first in (0, 1)
        )
        return builder.add(low, high)

    return _VECTOR(x, y), generate


@_intrinsic
def clamp(typing_context, x, low, high):
    """Each lane of ``x`` within the limits; all three are vectors."""

    def generate(context, builder, signature, arguments):
        x, low, high = arguments
        x = builder.select(builder.icmp_signed("<", x, low), low, x)
        return builder.select(builder.icmp_signed(">", x, high), high, x)

    return _VECTOR(x, low, high), generate


def _define(function: Callable, instruction: Callable) -> None:
    """Define an operator of Python for two vectors, and for a vector and a number."""

    @_intrinsic
    def on_vectors(typing_context, x, y):
        def generate(context, builder, signature, arguments):
            return instruction(builder, *arguments)

        return _VECTOR(x, y), generate

    @overload(function)
    def of_any(x, y):
        if x is _VECTOR and y is _VECTOR:
            return lambda x, y: on_vectors(x, y)
        if x is _VECTOR and isinstance(y, types.Integer):
            return lambda x, y: on_vectors(x, splat(y))
        return None


for _function, _instruction in (
    (operator.add, ir.IRBuilder.add),
    (operator.sub, ir.IRBuilder.sub),
    (operator.mul, ir.IRBuilder.mul),
    (operator.lshift, ir.IRBuilder.shl),
    (operator.rshift, ir.IRBuilder.ashr),
    (operator.and_, ir.IRBuilder.and_),
    (operator.or_, ir.IRBuilder.or_),
):
    _define(_function, _instruction)


@register_jitable
def pair(i, q):
    """Low and high half, of numbers or vectors."""
    return (i & 0xFFFF) | (q << 16)


def work(delay: int, polarizations: int) -> tuple[NDArray[np.int32], ...]:
    """Return arrays for `receive_streams` to work on, one for each polarisation.

    A tuple, since the compiler knows its length and makes code of its own for each.
    """
    return tuple(np.zeros(PIECE + 2 * delay + SIMD_LANES, np.int32) for _ in range(polarizations))


@_compile
def receive_streams(streams, xs, taps, filters, kerr, rotations):
    """All blocks in place on int64 codes, shape ``(2, streams, polarizations, samples)``.

    ``xs``: of `work`, with the chain's delay.
    """
    memory = 2 * (filters.half_taps.sum() - filters.size)
    memory += 2 * (rotations.half_kerr.sum() - rotations.size)
    samples = streams.shape[3]
    for stream in range(streams.shape[1]):
        # From the end, since outputs replace the inputs with which the next piece would begin.
        for start in range((samples - 1) // PIECE * PIECE, -1, -PIECE):
            count = min(PIECE, samples - start) + memory
            for p in range(len(xs)):
                i, q, x = streams[0, stream, p], streams[1, stream, p], xs[p]
                for n in range(count):
                    m = start - memory + n
                    x[n] = pair(i[m], q[m]) if m >= 0 else 0
            for k in range(filters.size):
                f = filters[k]
                count -= 2 * (f.half_taps - 1)
                for p in range(len(xs)):
                    _filter(xs[p], count, taps[k, :, : f.half_taps], f)
                if k < rotations.size:
                    r = rotations[k]
                    count -= 2 * (r.half_kerr - 1)
                    _rotate(xs, count, kerr[k, : r.half_kerr], r)
            for p in range(len(xs)):
                i, q, x = streams[0, stream, p], streams[1, stream, p], xs[p]
                for n in range(count):
                    i[start + n] = np.int16(x[n] & 0xFFFF)
                    q[start + n] = x[n] >> 16


@_compile
def _filter(x, count, taps, f):
    """Filter ``x`` in place: at least the first ``count`` outputs."""
    last = 2 * (f.half_taps - 1)
    for n in range(0, count, SIMD_LANES):
        center = load(x, n + last // 2)
        i, q = dot(center, splat(taps[0, -1])), dot(center, splat(taps[1, -1]))
        for k in range(last // 2):
            both = add_halves(load(x, n + k), load(x, n + last - k))
            i, q = i + dot(both, splat(taps[0, k])), q + dot(both, splat(taps[1, k]))
        store(x, n, _requantized_pair(i, q, f.shift, f.output_bits))


@_compile
def _rotate(xs, count, kerr, r):
    """Rotate all of ``xs`` in place, by their common power: the first ``count`` outputs or more."""
    last = 2 * (r.half_kerr - 1)
    one = splat(1 << r.phase_fraction_bits)
    for n in range(0, count, SIMD_LANES):
        total = _power(xs, n + last // 2, r) * kerr[-1]
        for k in range(last // 2):
            both = _power(xs, n + k, r) + _power(xs, n + last - k, r)
            total = total + both * kerr[k]
        phi = _requantize(total, r.phase_shift, r.phase_bits)
        cosine = one
        if r.taylor_order == 2:
            cosine = one - _round_shift(phi * phi, r.phase_fraction_bits + 1)
        for p in range(len(xs)):
            center = load(xs[p], n + last // 2)
            i, q = dot(center, pair(cosine, splat(0) - phi)), dot(center, pair(phi, cosine))
            store(xs[p], n, _requantized_pair(i, q, r.output_shift, r.output_bits))


@_compile
def _power(xs, n, r):
    """The sum of \\|x\\|^2 of the cut quadratures, less the offset."""
    total = _squares(load(xs[0], n), r)
    for p in range(1, len(xs)):
        total = total + _squares(load(xs[p], n), r)
    return total - r.power_offset


@_compile
def _squares(x, r):
    # Arithmetic shifts take each half out of its lane with its sign, and cut it on the way.
    i, q = (x << 16) >> (16 + r.cut), x >> (16 + r.cut)
    middle = 1 if r.cut else 0
    return i * (i + middle) + q * (q + middle)


@_compile
def _round_shift(x, shift):
    return (x + ((1 << shift) >> 1)) >> shift


@_compile
def _requantize(x, shift, bits):
    limit = 1 << (bits - 1)
    return clamp(_round_shift(x, shift), splat(-limit), splat(limit - 1))


@_compile
def _requantized_pair(i, q, shift, bits):
    return pair(_requantize(i, shift, bits), _requantize(q, shift, bits))
