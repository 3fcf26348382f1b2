"""Jones matrices of fibre at each frequency, compiled: their product, and what they do to a field.

A lossless fibre has matrices ``[[a, b], [-conj(b), conj(a)]]`` of determinant 1 (the group SU(2)),
so only their first rows are kept. Nothing here fuses a product with a sum: the numbers are the same
on all processors.
"""

from __future__ import annotations

from numpy.typing import NDArray

from dbp.support.compiled import njit

_compile = njit(nogil=True, error_model="numpy")


@_compile
def turn(row: NDArray, first: complex, second: complex) -> None:
    """Put a matrix that is the same at all frequencies behind those of ``row``, in place.

    ``row``: complex, shape ``(2, samples)``; ``first``, ``second``: the row of the other matrix.
    """
    for k in range(row.shape[1]):
        a, b = row[0, k], row[1, k]
        row[0, k] = first * a - second * b.conjugate()
        row[1, k] = first * b + second * a.conjugate()


@_compile
def delay(row: NDArray, factor: NDArray) -> None:
    """Delay the axes of a section against each other: ``factor`` to x, its conjugate to y."""
    for k in range(row.shape[1]):
        row[0, k] *= factor[k]
        row[1, k] *= factor[k]


@_compile
def apply(spectrum: NDArray, row: NDArray, common: NDArray) -> None:
    """Multiply spectra by the matrices of ``row`` and by ``common``, in place.

    ``spectrum``: complex, shape ``(blocks, 2, samples)``; ``row``: ``(2, samples)``; ``common``:
    ``(samples,)``; all of one type.
    """
    for block in range(spectrum.shape[0]):
        for k in range(spectrum.shape[2]):
            a, b = row[0, k], row[1, k]
            x, y = spectrum[block, 0, k] * common[k], spectrum[block, 1, k] * common[k]
            spectrum[block, 0, k] = a * x + b * y
            spectrum[block, 1, k] = a.conjugate() * y - b.conjugate() * x
