"""SIMD code, written out: vectors of single precision inside functions that numba compiles.

LLVM vectorises a plain loop only where it can prove that no store hits a later load, and in a
transform in place it cannot. Here an operation on vectors is a Python function of `Array`,
`Vector` and `Complex` whose operators emit the instructions; `emit` makes of it what a
`numba.extending.intrinsic` returns. The lanes of a vector never mix: each has the same result
whatever is in the others.

The results do not depend on the processor. The compiler may fuse no product with a sum: where they
are to be rounded once, `fused` says so, and where the processor has no such instruction, it is
computed exactly from others: the link is then twenty times as slow.

numba's cache of machine code notices changes of the file of a compiled function, not of the files
that it imports: functions that are made with this module are to be compiled with `cached_njit`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from dbp.support import compiled
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

    def __neg__(self) -> Vector:
        return Vector(self.builder, self.builder.fneg(self.value))

    def rint(self) -> Vector:
        """Nearest integers."""
        return Vector(self.builder, _call(self.builder, "rint", self.value))

    def fused(self, factor: Vector | float, addend: Vector | float) -> Vector:
        """Return ``self * factor + addend``, rounded once."""
        others = self._operand(factor), self._operand(addend)
        return Vector(self.builder, _fused(self.builder, self.value, *others))

    def _emit(self, instruction: Callable, other: Vector | float) -> Vector:
        return Vector(self.builder, instruction(self.value, self._operand(other)))

    def _operand(self, other: Vector | float) -> ir.Value:
        if isinstance(other, Vector):
            return other.value
        return ir.Constant(_TYPE, [ir.Constant(ir.FloatType(), float(other))] * SIMD_LANES)


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
            i = self.i.fused(other.i, -(self.q * other.q))
            return Complex(i, self.q.fused(other.i, self.i * other.q))
        return Complex(self.i * other, self.q * other)

    def fused(self, factor: float, addend: Complex) -> Complex:
        """Return ``self * factor + addend``, each part rounded once."""
        return Complex(self.i.fused(factor, addend.i), self.q.fused(factor, addend.q))

    def times_minus_j(self) -> Complex:
        """The product with -j."""
        return Complex(self.q, -self.i)

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


def _call(builder: ir.IRBuilder, name: str, *operands: ir.Value) -> ir.Value:
    """Call LLVM's own function of a name on numbers of one type; the same type back."""
    kind = operands[0].type
    lanes = kind.count if isinstance(kind, ir.VectorType) else 0
    element = kind.element if lanes else kind
    suffix = f"v{lanes}{element.intrinsic_name}" if lanes else element.intrinsic_name
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(operands)), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, operands)


@functools.cache
def _has_fused_instruction() -> bool:
    """Tell whether the processor that numba compiles for rounds a product and a sum at once."""
    triple, processor, features = cpu_target.target_context.codegen().magic_tuple()
    machine = llvmlite.binding.Target.from_triple(triple).create_target_machine(
        cpu=processor, features=features
    )
    number = ir.FloatType()
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(number, [number] * 3), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(_call(builder, "fma", *function.args))
    # Else LLVM calls the C library.
    return "fmaf" not in machine.emit_assembly(llvmlite.binding.parse_assembly(str(module)))


def _fused(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """Return a b + c in single precision, rounded once; scalars or vectors."""
    if _has_fused_instruction():
        return _call(builder, "fma", a, b, c)
    # In double precision the product is exact. The sum is rounded to odd, that is, to the neighbour
    # whose last bit is 1 unless it is exact, so that rounding it again decides as if it had
    # not been (Boldo and Melquiond, IEEE Trans. Computers 57(4), 2008).
    double: ir.Type = ir.DoubleType()
    integer: ir.Type = ir.IntType(64)
    if isinstance(a.type, ir.VectorType):
        double = ir.VectorType(double, a.type.count)
        integer = ir.VectorType(integer, a.type.count)
    a, b, c = (builder.fpext(x, double) for x in (a, b, c))
    product = builder.fmul(a, b)
    total = builder.fadd(product, c)
    # The sum has lost this much, exactly (Knuth's TwoSum).
    of_c = builder.fsub(total, product)
    lost = builder.fadd(builder.fsub(product, builder.fsub(total, of_c)), builder.fsub(c, of_c))
    bits = builder.bitcast(total, integer)
    one, zero = _constant(integer, 1), _constant(integer, 0)
    # The number next to an even one in the direction of what was lost: away from zero is one more.
    lost_bits = builder.bitcast(lost, integer)
    away = builder.icmp_signed(">=", builder.xor(bits, lost_bits), zero)
    step = builder.select(away, one, _constant(integer, -1))
    is_even = builder.icmp_unsigned("==", builder.and_(bits, one), zero)
    # Not so where the sum is infinite or no number: what was lost is then no number, too.
    is_lost = builder.fcmp_ordered("!=", lost, _constant(double, 0.0))
    odd = builder.select(builder.and_(is_even, is_lost), builder.add(bits, step), bits)
    return builder.fptrunc(builder.bitcast(odd, double), _single_like(double))


def _single_like(double: ir.Type) -> ir.Type:
    if isinstance(double, ir.VectorType):
        return ir.VectorType(ir.FloatType(), double.count)
    return ir.FloatType()


def _constant(kind: ir.Type, value: float) -> ir.Constant:
    """Return a number, in all lanes of a vector."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count)
    return ir.Constant(kind, value)


def fused(a: Any, b: Any, c: Any) -> Any:
    """Return ``a b + c``, rounded once: of a `Vector`, or in compiled code of float32 or float64.

    Without an instruction of the processor the one of float64 is the C library's, which is slow.
    """
    return a.fused(b, c)


@overload(fused, inline="always")
def _fused_numbers(a, b, c):
    if types.float64 in (a, b, c):
        return lambda a, b, c: _fused_float64(a, b, c)
    return lambda a, b, c: _fused_float32(a, b, c)


_intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = intrinsic


@_intrinsic
def _fused_float32(typing_context, a, b, c):
    """`fused` of three float32."""

    def generate(context, builder, signature, values):
        return _fused(builder, *values)

    return types.float32(types.float32, types.float32, types.float32), generate


@_intrinsic
def _fused_float64(typing_context, a, b, c):
    """`fused` of three float64."""

    def generate(context, builder, signature, values):
        return _call(builder, "fma", *values)

    return types.float64(types.float64, types.float64, types.float64), generate


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


class _Cache(compiled.Cache):
    """numba's cache of machine code, in which this module's text is part of every key."""

    def _index_key(self, sig, codegen):
        return (*super()._index_key(sig, codegen), hash_of(__name__))


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return ``numba.njit(cache=True, **options)`` that compiles again after edits of this file."""
    return compiled.njit(kind=_Cache, **options)
