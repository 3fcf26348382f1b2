"""Area, timing and power of the generated Verilog: Yosys, OpenSTA, gate-level simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbp.synthesis.synthesize_step import synthesize

__all__ = ["synthesize"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that a reader of Liberty files does not load Amaranth.
    if name == "synthesize":
        from dbp.synthesis.synthesize_step import synthesize

        return synthesize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
