"""Vectors of 32-bit integers as a type of compiled code: sixteen-bit products, two in a lane.

numba widens every product of integers to 64 bits, and LLVM does not narrow the loop again. In a
function that numba compiles, `splat` and `load` make a vector of `COUNT` int32; ``+ - * << >> & |``
act on every lane and wrap, and a number on the right stands in all lanes. A lane also holds a pair
of int16, low half and high half, for `add_halves` and `dot`. The instructions are LLVM's own, of no
processor; on x86 `dot` becomes ``vpmaddwd``, or with the sum that it enters ``vpdpwssd``.

numba's cache of machine code does not see changes of this file: touch those that use it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

# Two registers of AVX-512, four of AVX2: so many sums of a filter run beside each other.
COUNT = 32

_WORD = ir.IntType(32)
_WORDS = ir.VectorType(_WORD, COUNT)
_HALVES = ir.VectorType(ir.IntType(16), 2 * COUNT)
_PRODUCTS = ir.VectorType(_WORD, 2 * COUNT)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"int32x{COUNT}")


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


@intrinsic
def load(typing_context, x, start):
    """``x[start : start + COUNT]`` of a contiguous int32 array. Nothing checks its bounds."""

    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature, arguments), align=4)

    return _VECTOR(x, types.intp), generate


@intrinsic
def store(typing_context, x, start, vector):
    """``x[start : start + COUNT] = vector``. Nothing checks the bounds."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature, arguments)
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(x, types.intp, _VECTOR), generate


@intrinsic
def splat(typing_context, number):
    """A number, cut to 32 bits, in all lanes."""

    def generate(context, builder, signature, arguments):
        word = context.cast(builder, arguments[0], number, types.int32)
        vector = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, _WORD(0))
        return builder.shuffle_vector(vector, vector, _lanes([0] * COUNT))

    return _VECTOR(number), generate


@intrinsic
def add_halves(typing_context, x, y):
    """Sums of the low halves and of the high halves; each wraps for itself."""

    def generate(context, builder, signature, arguments):
        halves = (builder.bitcast(a, _HALVES) for a in arguments)
        return builder.bitcast(builder.add(*halves), _WORDS)

    return _VECTOR(x, y), generate


@intrinsic
def dot(typing_context, x, y):
    """low(x) low(y) + high(x) high(y), exact unless all four are -2^15."""

    def generate(context, builder, signature, arguments):
        # Just this order of instructions is what LLVM knows as vpmaddwd.
        wide = (builder.sext(builder.bitcast(a, _HALVES), _PRODUCTS) for a in arguments)
        products = builder.mul(*wide)
        low, high = (
            builder.shuffle_vector(products, products, _lanes(range(first, 2 * COUNT, 2)))
            for first in (0, 1)
        )
        return builder.add(low, high)

    return _VECTOR(x, y), generate


@intrinsic
def clamp(typing_context, x, low, high):
    """Each lane, or the limit beyond which it lies; vectors all."""

    def generate(context, builder, signature, arguments):
        x, low, high = arguments
        x = builder.select(builder.icmp_signed("<", x, low), low, x)
        return builder.select(builder.icmp_signed(">", x, high), high, x)

    return _VECTOR(x, low, high), generate


def _define(function: Callable, instruction: Callable) -> None:
    """An operator on vectors, of a vector and a number."""

    @intrinsic
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
