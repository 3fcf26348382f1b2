"""The arithmetic of this machine: what does not depend on the processor, and a hash of what may.

Numbers that are simulated are to be the same on every machine. `dbp.link._simd` sees to it where
the code is ours. numpy, the C library and torch choose between versions of their functions by
the processor, and those round otherwise now and then. What is kept (waveforms, counted groups) is
kept under the hashes below, so that numbers of two arithmetics are never mixed. All processors that
have a fused multiply-add, AVX-512 or not, should have the same hash of `of_numpy`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dbp.support import threads

_DIGITS = 16
_Result = TypeVar("_Result")


def elementwise(function: Callable[[float], float], x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a function of `math` of every number; same shape.

    It is the C library's everywhere; numpy has others of its own on processors with AVX-512.
    """
    return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


def exp(x: float) -> float:
    """Return the C library's exponential; infinite where it is too large, as numpy has it."""
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def expm1(x: float) -> float:
    """Return the C library's exp(x) - 1; infinite where it is too large, as numpy has it."""
    try:
        return math.expm1(x)
    except OverflowError:
        return math.inf


def on_one_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return what a function returns where torch has one thread, as wherever we simulate or count.

    With several, torch's transforms and functions give other last bits. A function that uses torch
    is to be called when torch is loaded: others do not wait for it.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.get_num_threads() == 1:
        return function(*arguments)
    with threads.pool(1) as pool:
        return pool.submit(function, *arguments).result()


def hash_of_numbers(arrays: Iterable[NDArray | str]) -> str:
    """Return 16 hexadecimal digits that differ where a bit of an array differs."""
    digest = hashlib.sha256()
    for array in arrays:
        content = (
            array.encode() if isinstance(array, str) else np.ascontiguousarray(array).tobytes()
        )
        digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()[:_DIGITS]


def _numbers() -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.complex128]]:
    """Numbers that are the same everywhere: quotients of integers."""
    k = np.arange(1, 8193)
    x = (k * 7919 % 16381) / 16381
    y = (k * 104729 % 16369) / 8192 - 1
    return x, x + 1j * y, y - 1j * x[::-1]


@functools.cache
def of_numpy() -> str:
    """Return a hash of what numpy and the C library compute here, of all that a link is made of."""
    x, c, d = _numbers()
    functions = (math.exp, math.cos, math.sin, math.log, math.log1p, math.expm1)
    single = c.astype(np.complex64)
    generator = np.random.Generator(np.random.SFC64(1))
    return hash_of_numbers(
        [
            *(elementwise(function, x) for function in functions),
            np.array([10 ** (power / 10) for power in x.tolist()]),
            *(np.exp(20j * x), np.exp(c), c * d, c / d, c * x, c * (0.3 + 0.2j), c.conj() * 0.7),
            *(np.abs(c), np.square(c), np.cumsum(x), np.angle(c), np.sqrt(x)),
            *(single * single[::-1], np.abs(single), np.square(single)),
            *(np.mean(np.abs(c) ** 2, axis=-1, keepdims=True), np.mean(c, keepdims=True)),
            # Lengths with the factors 2, 3 and 5.
            *(transform(a) for a in (c, single) for transform in (np.fft.fft, np.fft.ifft)),
            *(np.fft.fft(a[:n]) for a in (c, single) for n in (6144, 5000)),
            generator.standard_normal(1 << 16),
            generator.standard_normal(1 << 16, dtype=np.float32),
        ]
    )


@functools.cache
def of_processor() -> str:
    """Return a hash of the processor that numba compiles for, and of the two others here.

    For code whose sums the compiler may add in the order that suits the processor: learning's.
    """
    from numba.core.registry import cpu_target

    target = cpu_target.target_context.codegen().magic_tuple()
    return hash_of_numbers([repr(target), of_numpy(), of_torch()])


@functools.cache
def of_torch() -> str:
    """Return a hash of what torch on the CPU computes here, as our receivers use it.

    BLAS is not in it: it adds in another order for another number of threads.
    """
    importlib.import_module("torch")
    return on_one_thread(_of_torch)


def _of_torch() -> str:
    import torch

    x, c, d = _numbers()
    tensors = [torch.from_numpy(a.astype(t)) for a in (c, d) for t in (np.complex64, np.complex128)]
    real = torch.from_numpy(x)
    results = [torch.exp(20j * real), torch.exp(20j * real.float()), torch.cos(real)]
    for a in tensors:
        results += [torch.fft.fft(a), torch.fft.ifft(a[:6144]), torch.fft.fft(a[:5000])]
        results += [a * a.roll(1), torch.exp(a), a.abs(), a.real.square() + a.imag.square()]
    return hash_of_numbers([t.numpy() for t in results])
