"""`dbp.Design`: a design with the verbs that people use it with."""

from __future__ import annotations

import html
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from dbp.api import _checks
from dbp.datapath.design import Design as BareDesign
from dbp.errors import InputError
from dbp.support import locks
from dbp.support.text import html_table

if TYPE_CHECKING:
    from dbp.link.transmission import Received
    from dbp.records.schemas import RtlMetrics

Waveform = NDArray[np.complexfloating]


@dataclass(frozen=True, repr=False, eq=False)
class Design(BareDesign):
    """A receiver filter in integers, as `dbp.datapath.design.Design` defines it.

    The class adds doors to the stages: `receive` computes what the hardware computes, bit for bit,
    and `to_verilog` generates that hardware.
    """

    @staticmethod
    def of(design: BareDesign) -> Design:
        """Give the doors to a design that has none."""
        return Design(**{field.name: getattr(design, field.name) for field in fields(BareDesign)})

    @classmethod
    def from_json(cls, text: str) -> Design:
        """Read the text of a ``design.json``; refuse with `InputError` what does not fit."""
        return Design.of(BareDesign.from_json(text))

    @classmethod
    def load(cls, path: str | Path) -> Design:
        """Read a design: a shipped one by its name, a ``design.json``, or that of a run's folder.

        Raises `InputError` where no design has that name, or a file does not fit.
        """
        from dbp.runs import find_design

        return Design.of(find_design(str(path))[0])

    @classmethod
    def shipped(cls) -> tuple[str, ...]:
        """Return the names of the designs that come with the package."""
        from dbp.datapath import shipped

        return tuple(shipped.designs())

    def receive(
        self, received: Received | Waveform, launch_power_dbm: float | None = None
    ) -> Waveform:
        """Equalise circular blocks in fixed point, bit for bit as the hardware does.

        ``received``: what `dbp.Link.transmit` returns, or a complex array of mean power 1 and
        shape ``(blocks, samples)`` or ``(samples,)`` with the design's ``samples_per_symbol`` r,
        which needs ``launch_power_dbm`` beside it. A design of two polarisations takes
        ``(blocks, 2, samples)`` or ``(2, samples)``, x and y. All blocks pass as one stream under
        one gain control. Returns the same shape, in codes of the last filter's output, without
        group delay: symbol n at sample r n. Raises `InputError` for arrays that do not fit.
        """
        from dbp.evaluation.receivers import FixedReceiver
        from dbp.link.transmission import Received

        if isinstance(received, Received):
            _checks.rate(self, received)
            samples, power_dbm = received.waveform, received.launch_power_dbm
        else:
            shapes = "(blocks, samples) or (samples,)"
            if self.polarizations == 2:
                shapes = "(blocks, 2, samples) or (2, samples)"
            samples = _checks.waveform("received", received, shapes)
            if launch_power_dbm is None:
                raise InputError("launch_power_dbm: must be given with an array")
        if launch_power_dbm is not None:
            power_dbm = _checks.power_dbm("launch_power_dbm", launch_power_dbm)
        blocks = samples if samples.ndim > self.polarizations else samples[np.newaxis]
        _checks.polarizations("received", self, blocks)
        return FixedReceiver(self.name, self)(blocks, power_dbm).reshape(samples.shape)

    def _repr_html_(self) -> str:
        rows = [["block", "taps", "coefficient bits", "output bits"]]
        for k, filter_ in enumerate(self.filters):
            bits = filter_.coefficient_bits, filter_.output_bits
            rows.append([f"filter {k}", *map(str, (filter_.taps, *bits))])
            for rotation in self.rotations[k : k + 1]:
                bits = rotation.kerr_bits, rotation.output_bits
                rows.append([f"rotation {k}", *map(str, (rotation.kerr_taps, *bits))])
        return f"{html.escape(repr(self))}{html_table(rows, header_row=True)}"

    def to_verilog(
        self,
        folder: str | Path,
        *,
        lanes: int = 4,
        filters: Literal["reconfigurable", "hardwired"] = "reconfigurable",
        top: Literal["chain", "step", "filter"] = "chain",
        step: int = 0,
        pipeline: str = "",
    ) -> RtlMetrics:
        """Write synthesizable Verilog into ``folder``, one module a file, with ``ports.json``.

        ``lanes``: samples per clock. ``filters``: taps in registers or in the logic. ``top``: the
        whole chain, the step of number ``step`` (a filter and its rotation), or its filter alone.
        ``pipeline``: registers other than the usual (`dbp.rtl.pipeline.parse`). Returns the
        figures of the emission. Raises `InputError` for options that do not fit the design.
        """
        from dbp.rtl import emit
        from dbp.rtl.pipeline import parse
        from dbp.rtl.target import Target

        with locks.writing(Path(folder)):
            return emit(self, folder, Target(lanes, filters, parse(pipeline), top, step))
