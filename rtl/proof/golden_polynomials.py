"""The golden model as exact polynomials, to which the emitted blocks are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dbp.datapath import fixed
from dbp.datapath.design import Filter, Rotation
from dbp.rtl.proof.polynomial import Monomial, Polynomial, Space, Table, Variable
from dbp.rtl.proof.recognizer import RequantizedSum
from dbp.rtl.proof.requantizer import Requantizer

# What ends the names of the variables of x, and of those of y where there are two polarisations.
ENDS = "", "_y"


@dataclass(frozen=True)
class LaneOutputs:
    """The outputs of a lane: I and Q, and the terms of the "or" at each port of flags."""

    outputs: tuple[Polynomial, Polynomial]
    flags: Mapping[str, tuple[Polynomial, ...]]


class GoldenPolynomials:
    """The golden model as polynomials of ``space``.

    ``sums``: the sums that it has requantised so far, by `Polynomial.key`. ``unchanged``: a
    requantiser leaves some of them as they are.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.sums: dict[frozenset[tuple[Monomial, int]], list[RequantizedSum]] = {}
        self.unchanged = False

    def matching(self, total: Polynomial) -> Sequence[RequantizedSum]:
        """The sums equal to ``total`` but for a constant."""
        return self.sums.get(total.key, ())

    def nearest(self, total: Polynomial) -> str:
        """For people: the sum nearest to ``total``, and the difference."""
        rows = [row for rows in self.sums.values() for row in rows if not row.requantizer.flag]
        if not rows:
            return self.space.text(total.terms)
        differences = [self.space.add(total, row.total, -1).terms for row in rows]
        k = min(range(len(rows)), key=lambda k: len(differences[k]))
        name = self.space.text(rows[k].result.terms)
        return f"the sum of {name} and {self.space.text(differences[k])}"

    def requantize(
        self, total: Polynomial, name: str, sample: int, shift: int, bits: int
    ) -> tuple[Polynomial, Polynomial]:
        """`fixed.requantize`, and whether it clips.

        These are functions of the variable of ``total`` where it has only one, else new variables,
        ``name`` and ``name``_clipped at ``sample``.
        """
        result, clips = (
            self._requantize(total, Requantizer(shift, bits, flag), label, sample)
            for flag, label in ((False, name), (True, f"{name}_clipped"))
        )
        return result, clips

    def _requantize(
        self, total: Polynomial, requantizer: Requantizer, name: str, sample: int
    ) -> Polynomial:
        result = self.space.apply(total, requantizer.of_array)
        if result is not None:
            return result
        ends = self.space.bounds(total)
        low, high = (requantizer(end) for end in ends)
        unchanged = not requantizer.flag and requantizer.shift == 0 and (low, high) == ends
        self.unchanged |= unchanged
        if requantizer.flag:
            low, high = 0, max(low, high)
        result = self.space.variable(Variable(name, sample, 0, low, high))
        row = RequantizedSum(requantizer, total, result, unchanged)
        self.sums.setdefault(total.key, []).append(row)
        return result

    def filter(
        self,
        filter_: Filter,
        taps: Sequence[Sequence[Polynomial]],
        x: Sequence[Sequence[Polynomial]],
        n: int,
        end: str = "",
    ) -> LaneOutputs:
        """Return y[n] of `dbp.datapath.golden.filter_samples`, for half taps and samples.

        ``x[part][k]`` is x[n - k]; part 0 is I, part 1 is Q. ``end``: of the names, see `ENDS`.
        """
        mul = self.space.mul
        terms: list[list[Polynomial]] = [[], []]
        for k in range(filter_.taps):
            hi, hq = (part[min(k, filter_.taps - 1 - k)] for part in taps)
            xi, xq = (part[k] for part in x)
            terms[0] += [mul(hi, xi), self.space.scale(mul(hq, xq), -1)]
            terms[1] += [mul(hi, xq), mul(hq, xi)]
        (y_i, clips_i), (y_q, clips_q) = (
            self.requantize(self.space.sum(row), name + end, n, filter_.shift, filter_.output_bits)
            for row, name in zip(terms, ("y_i", "y_q"), strict=True)
        )
        return LaneOutputs((y_i, y_q), {"out_clipped": (clips_i, clips_q)})

    def rotate(
        self,
        rotation: Rotation,
        kerr: Sequence[Polynomial],
        input_bits: int,
        x: Mapping[str, Sequence[Sequence[Polynomial]]],
        n: int,
    ) -> list[LaneOutputs]:
        """Return y[n] of `golden.rotate`, for half of the gains K and samples as for `filter`.

        ``x``: of each polarisation, by its end of `ENDS`. One phi turns all, so its flag is among
        those of the first.
        """
        space, r = self.space, rotation
        terms = []
        for k in range(r.kerr_taps):
            power = space.add(
                space.sum(
                    self._power(part[k], r, input_bits) for of_one in x.values() for part in of_one
                ),
                space.constant(r.power_offset),
                -1,
            )
            terms.append(space.mul(kerr[min(k, r.kerr_taps - 1 - k)], power))
        total = space.sum(terms)
        phi, phi_clips = self.requantize(total, "phi", n, r.phase_shift, r.phase_bits)
        fraction = r.phase_fraction_bits
        cosine = space.constant(1 << fraction)
        if r.taylor_order == 2:
            versine = _applied(space, phi, lambda p: fixed.round_shift(p * p, fraction + 1))
            cosine = space.add(cosine, versine, -1)
        shift = r.output_shift(input_bits)
        outputs: list[LaneOutputs] = []
        for end, of_one in x.items():
            i, q = (part[r.delay] for part in of_one)
            rotated = (
                space.add(space.mul(cosine, i), space.mul(phi, q), -1),
                space.add(space.mul(cosine, q), space.mul(phi, i)),
            )
            (y_i, clips_i), (y_q, clips_q) = (
                self.requantize(total, name + end, n, shift, r.output_bits)
                for total, name in zip(rotated, ("y_i", "y_q"), strict=True)
            )
            flags: dict[str, tuple[Polynomial, ...]] = {"out_clipped": (clips_i, clips_q)}
            if not outputs:
                flags["phi_clipped"] = (phi_clips,)
            outputs.append(LaneOutputs((y_i, y_q), flags))
        return outputs

    def _power(self, x: Polynomial, rotation: Rotation, input_bits: int) -> Polynomial:
        """The part of one quadrature in `dbp.datapath.fixed.squared_magnitude`."""

        def square(codes: Table) -> Table:
            # A zero stays zero when it is cut and squared: the other quadrature adds nothing.
            zeros = np.zeros_like(codes)
            return fixed.squared_magnitude(codes, zeros, input_bits, rotation.branch_bits)

        return _applied(self.space, x, square)


def _applied(space: Space, a: Polynomial, function: Callable[[Table], Table]) -> Polynomial:
    """A function of a sample or of phi, which are one variable each."""
    result = space.apply(a, function)
    assert result is not None, "not one variable"
    return result
