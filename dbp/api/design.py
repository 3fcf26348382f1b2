"""`dbp.Design`: a design with the verbs that people use it with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dbp.datapath import design as datapath
from dbp.errors import InputError

if TYPE_CHECKING:
    from dbp.link.transmission import Received
    from dbp.records.schemas import RtlMetrics

Waveform = NDArray[np.complexfloating]


class Design(datapath.Design):
    """A receiver filter in integers, as `dbp.datapath.design.Design` defines it.

    The class adds doors to the stages: `receive` computes what the hardware computes, bit for bit,
    and `to_verilog` generates that hardware.
    """

    @classmethod
    def of(cls, design: datapath.Design) -> Self:
        """Give the doors to a design that has none."""
        fields = datapath.Design.__dataclass_fields__
        return cls(**{name: getattr(design, name) for name in fields})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a design: a shipped one by its name, a ``design.json``, or that of a run's folder.

        Raises `InputError` where no design has that name, or a file does not fit.
        """
        from dbp.runs import find_design

        return cls.of(find_design(str(path))[0])

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
        shape ``(blocks, samples)`` or ``(samples,)`` with 2 samples per symbol, which needs
        ``launch_power_dbm`` beside it. Returns the same shape, in codes of the last filter's
        output, without group delay: symbol n at sample 2 n.
        """
        from dbp.evaluation.receivers import FixedReceiver

        waveform, power_dbm = received, launch_power_dbm
        if not isinstance(waveform, np.ndarray):
            if power_dbm is None:
                power_dbm = waveform.launch_power_dbm
            waveform = waveform.waveform
        if power_dbm is None:
            raise InputError("launch_power_dbm: must be given with an array")
        if waveform.ndim not in (1, 2) or not np.iscomplexobj(waveform):
            raise InputError(
                f"waveform: {waveform.dtype} of shape {waveform.shape}: must be complex, of shape "
                "(blocks, samples) or (samples,)"
            )
        blocks = np.atleast_2d(waveform)
        return FixedReceiver(self.name, self)(blocks, float(power_dbm)).reshape(waveform.shape)

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

        return emit(self, folder, Target(lanes, filters, parse(pipeline), top, step))
