"""SIMD code, written out: vectors of single precision inside functions that numba compiles.

LLVM vectorises a plain loop only where it can prove that no store hits a later load, and in a
transform in place it cannot. Here an operation on vectors is a Python function of `Array`,
`Vector` and `Complex` whose operators emit the instructions; `emit` makes of it what a
`numba.extending.intrinsic` returns. The lanes of a vector never mix: each has the same result
whatever is in the others.

numba's cache of machine code notices changes of the file of a compiled function, not of the files
that it imports: functions that are made with this module are to be compiled with `cached_njit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

from dbp.support.sources import hash_of

# A stage of a transform keeps four complex vectors: wider ones would not fit the registers.
SIMD_LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8

_BYTES = 4 * SIMD_LANES
_TYPE = ir.VectorType(ir.FloatType(), SIMD_LANES)


def zeros(vectors: int) -> NDArray[np.float32]:
    """Aligned zeros for complex vectors, shape ``(vectors, 2, SIMD_LANES)``: parts in turn."""
    spare = np.zeros(2 * vectors * SIMD_LANES + SIMD_LANES, np.float32)
    start = -spare.ctypes.data % _BYTES // 4
    return spare[start:][: 2 * vectors * SIMD_LANES].reshape(vectors, 2, SIMD_LANES)


@dataclass(frozen=True)
class Vector:
    """`SIMD_LANES` numbers in a register; numbers of Python are constants."""

    builder: ir.IRBuilder
    value: ir.Value

    def __add__(self, other: Vector | float) -> Vector:
        return self._emit(self.builder.fadd, other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._emit(self.builder.fsub, other)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._emit(self.builder.fmul, other)

    def rint(self) -> Vector:
        """Nearest integers."""
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(_TYPE, [_TYPE]), f"llvm.rint.v{SIMD_LANES}f32"
        )
        return Vector(self.builder, self.builder.call(function, [self.value]))

    def _emit(self, instruction: Callable, other: Vector | float) -> Vector:
        if isinstance(other, Vector):
            value = other.value
        else:
            value = ir.Constant(_TYPE, [ir.Constant(ir.FloatType(), float(other))] * SIMD_LANES)
        return Vector(self.builder, instruction(self.value, value, flags=("contract",)))


@dataclass(frozen=True)
class Complex:
    """A complex vector."""

    i: Vector
    q: Vector

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.i + other.i, self.q + other.q)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.i - other.i, self.q - other.q)

    def __mul__(self, other: Complex | float) -> Complex:
        if isinstance(other, Complex):
            i = self.i * other.i - self.q * other.q
            return Complex(i, self.i * other.q + self.q * other.i)
        return Complex(self.i * other, self.q * other)

    def times_minus_j(self) -> Complex:
        """The product with -j."""
        return Complex(self.q, self.i * -1.0)

    def exchanged(self) -> Complex:
        """The number with its parts exchanged."""
        return Complex(self.q, self.i)


@dataclass(frozen=True)
class Array:
    """A float32 array of compiled code: complex vectors, or complex scalars, parts in turn."""

    builder: ir.IRBuilder
    data: ir.Value

    def vectors(self, first: ir.Value, stride: ir.Value | int, count: int) -> list[Complex]:
        """Complex vectors ``first``, ``first + stride`` and so on."""
        return [
            Complex(*(Vector(self.builder, self.builder.load(p, align=_BYTES)) for p in pointers))
            for pointers in self._pointers(first, stride, count)
        ]

    def store(self, first: ir.Value, stride: ir.Value | int, vectors: Sequence[Complex]) -> None:
        """Write complex vectors to ``first``, ``first + stride`` and so on."""
        for pointers, vector in zip(
            self._pointers(first, stride, len(vectors)), vectors, strict=True
        ):
            for pointer, part in zip(pointers, (vector.i, vector.q), strict=True):
                self.builder.store(part.value, pointer, align=_BYTES)

    def scalars(self, first: ir.Value, count: int) -> list[Complex]:
        """Complex scalars from ``first`` on, each in all lanes."""
        start = self.builder.mul(first, ir.Constant(first.type, 2))
        pointers = [
            cgutils.gep(self.builder, self.data, self._sum(start, k)) for k in range(2 * count)
        ]
        parts = [_broadcast(self.builder, self.builder.load(p)) for p in pointers]
        return [Complex(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]

    def _pointers(
        self, first: ir.Value, stride: ir.Value | int, count: int
    ) -> Iterator[list[ir.Value]]:
        """Yield the pointers to the real and the imaginary part of each vector."""
        row = first
        for _ in range(count):
            start = self.builder.mul(row, ir.Constant(row.type, 2 * SIMD_LANES))
            yield [
                self.builder.bitcast(
                    cgutils.gep(self.builder, self.data, self._sum(start, part * SIMD_LANES)),
                    _TYPE.as_pointer(),
                )
                for part in range(2)
            ]
            row = self._sum(row, stride)

    def _sum(self, a: ir.Value, b: ir.Value | int) -> ir.Value:
        return self.builder.add(a, ir.Constant(a.type, b) if isinstance(b, int) else b)


def _broadcast(builder: ir.IRBuilder, scalar: ir.Value) -> Vector:
    first = ir.Constant(ir.IntType(32), 0)
    vector = builder.insert_element(ir.Constant(_TYPE, ir.Undefined), scalar, first)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), SIMD_LANES), [first] * SIMD_LANES)
    return Vector(builder, builder.shuffle_vector(vector, vector, everywhere))


def emit(operation: Callable[..., None], *kinds: types.Type) -> tuple[Any, Callable]:
    """Signature and code generator of an intrinsic with arguments of the numba types ``kinds``.

    ``operation`` gets an `Array` for an array, a `Vector` with the number in all lanes for a
    float32, and the LLVM value itself for an integer.
    """

    def generate(context, builder, signature, values):
        def wrap(kind, value):
            if isinstance(kind, types.Array):
                return Array(builder, context.make_array(kind)(context, builder, value).data)
            return _broadcast(builder, value) if kind == types.float32 else value

        operation(*(wrap(*pair) for pair in zip(signature.args, values, strict=True)))
        return context.get_dummy_value()

    # Integers of any kind become those of an index.
    return types.void(*(types.intp if isinstance(k, types.Integer) else k for k in kinds)), generate


class _Cache(FunctionCache):
    """numba's cache of machine code, in which this module's text is part of every key."""

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), hash_of(__name__))


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return ``numba.njit(cache=True, **options)`` that compiles again after edits of this file."""

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled = njit(**options)(function)
        # As numba does for ``cache=True``.
        compiled._cache = _Cache(function)
        return compiled

    return compile_
