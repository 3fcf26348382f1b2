"""The golden model as exact polynomials: what the emitted blocks are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dbp.datapath import fixed
from dbp.datapath.design import Filter, Rotation
from dbp.rtl.proof.cells import Requantizer
from dbp.rtl.proof.polynomial import Space, Table, Value, Variable
from dbp.rtl.proof.words import Quantity


@dataclass(frozen=True)
class Expected:
    """What leaves a lane: I and Q, and for each port of flags what each bit is the "or" of."""

    outputs: tuple[Value, Value]
    flags: Mapping[str, tuple[Value, ...]]


class Reference:
    """The golden model as polynomials: ``quantities`` are its requantised sums, as they arise."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.quantities: dict[frozenset, list[Quantity]] = {}
        self.unchanged = False

    def known(self, total: Value) -> Sequence[Quantity]:
        return self.quantities.get(total.key, ())

    def nearest(self, total: Value) -> str:
        rows = [q for found in self.quantities.values() for q in found if not q.requantizer.flag]
        if not rows:
            return self.space.text(total.terms)
        differences = [self.space.add(total, q.total, -1).terms for q in rows]
        k = min(range(len(rows)), key=lambda k: len(differences[k]))
        of = self.space.text(rows[k].value.terms)
        return f"the sum of {of} and {self.space.text(differences[k])}"

    def requantize(
        self, total: Value, name: str, sample: int, shift: int, bits: int
    ) -> tuple[Value, Value]:
        """`fixed.requantize`, and whether it clips: tables of one variable, or new variables.

        They are new where ``total`` depends on several variables.
        """
        results = []
        for flag in (False, True):
            wanted = Requantizer(shift, bits, flag)
            value = self.space.apply(total, wanted.of_array)
            if value is None:
                ends = self.space.bounds(total)
                low, high = (wanted(end) for end in ends)
                unchanged = not flag and shift == 0 and (low, high) == ends
                self.unchanged |= unchanged
                if flag:
                    low, high = 0, max(low, high)
                label = f"{name}_clipped" if flag else name
                value = self.space.variable(Variable(label, sample, 0, low, high))
                self.quantities.setdefault(total.key, []).append(
                    Quantity(wanted, total, value, unchanged)
                )
            results.append(value)
        return results[0], results[1]

    def filter(
        self, filter_: Filter, taps: Sequence[Sequence[Value]], x: Sequence[Sequence[Value]], n: int
    ) -> Expected:
        """`dbp.datapath.golden.filter_samples`: y[n], I and Q, of half taps and samples.

        ``x[part][k]`` is x[n - k].
        """
        terms: list[list[Value]] = [[], []]
        for k in range(filter_.taps):
            hi, hq = (part[min(k, filter_.taps - 1 - k)] for part in taps)
            xi, xq = (part[k] for part in x)
            mul = self.space.mul
            terms[0] += [mul(hi, xi), self.space.scale(mul(hq, xq), -1)]
            terms[1] += [mul(hi, xq), mul(hq, xi)]
        (y_i, clips_i), (y_q, clips_q) = (
            self.requantize(self.space.sum(row), name, n, filter_.shift, filter_.output_bits)
            for row, name in zip(terms, ("y_i", "y_q"), strict=True)
        )
        return Expected((y_i, y_q), {"out_clipped": (clips_i, clips_q)})

    def rotate(
        self,
        rotation: Rotation,
        kerr: Sequence[Value],
        input_bits: int,
        x: Sequence[Sequence[Value]],
        n: int,
    ) -> Expected:
        """`golden.rotate`: y[n], I and Q, of half of K and samples, as for `filter`."""
        space, r = self.space, rotation
        terms = []
        for k in range(r.kerr_taps):
            power = space.add(
                space.sum(self._power(part[k], r, input_bits) for part in x),
                space.constant(r.power_offset),
                -1,
            )
            terms.append(space.mul(kerr[min(k, r.kerr_taps - 1 - k)], power))
        total = space.sum(terms)
        phi, phi_clips = self.requantize(total, "phi", n, r.phase_shift, r.phase_bits)
        fraction = r.phase_fraction_bits
        cosine = space.constant(1 << fraction)
        if r.taylor_order == 2:
            versine = space.apply(phi, lambda p: fixed.round_shift(p * p, fraction + 1))
            cosine = space.add(cosine, versine, -1)
        i, q = (part[r.delay] for part in x)
        turned = (
            space.add(space.mul(cosine, i), space.mul(phi, q), -1),
            space.add(space.mul(cosine, q), space.mul(phi, i)),
        )
        shift = r.output_shift(input_bits)
        (y_i, clips_i), (y_q, clips_q) = (
            self.requantize(total, name, n, shift, r.output_bits)
            for total, name in zip(turned, ("y_i", "y_q"), strict=True)
        )
        flags = {"out_clipped": (clips_i, clips_q), "phi_clipped": (phi_clips,)}
        return Expected((y_i, y_q), flags)

    def _power(self, x: Value, rotation: Rotation, input_bits: int) -> Value:
        """The part of one quadrature in `dbp.datapath.fixed.squared_magnitude`."""

        def square(codes: Table) -> Table:
            # Of a cut zero the square is zero, so the other quadrature adds nothing.
            zeros = np.zeros_like(codes)
            return fixed.squared_magnitude(codes, zeros, input_bits, rotation.branch_bits)

        value = self.space.apply(x, square)
        assert value is not None, "a sample is one variable"
        return value
