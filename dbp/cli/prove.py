"""``dbp prove``: prove the Verilog equal to the golden model, for all inputs."""

from __future__ import annotations

from pathlib import Path

from dbp.api import hardware as api
from dbp.datapath.design import Design
from dbp.runs import config_of


def prove(run: Path, pdk: str | None) -> None:
    """Prove a run's Verilog equal to the golden model; with ``pdk`` its netlist of that kit too."""
    config_hash = config_of(run).hash
    design = Design.load(run / "design.json")
    print(f"Proving {run / 'rtl'} equal to the golden model", flush=True)
    metrics = api.prove(run / "rtl", design, folder=run / "proof", config_hash=config_hash)
    rows = metrics.modules
    print(
        f"{len(rows)} modules proved: {sum(r.sums.sums for r in rows)} sums of "
        f"{sum(r.sums.monomials for r in rows)} products, and what becomes of "
        f"{sum(r.requantisers.values for r in rows)} values; "
        f"{metrics.wall_time_s:.0f} s -> {run / 'proof'}",
        flush=True,
    )
    if pdk is None:
        return
    from dbp.synthesis.equivalence.prove_mapping import prove_netlist

    netlist = prove_netlist(run / "synth" / pdk, pdk, design, config_hash=config_hash)
    words = "proved" if netlist.proved else f"NOT proved within {netlist.limit_s:g} s"
    print(
        f"Netlist of {netlist.module}: {words}, {netlist.registers} registers paired; "
        f"{netlist.wall_time_s:.0f} s -> {run / 'synth' / pdk}",
        flush=True,
    )
