"""The mapped netlist of ``dbp synth`` against the Verilog that it was made from."""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

from dbp.datapath.design import Design
from dbp.errors import DbpError, InputError
from dbp.records.provenance import Stopwatch, package_versions, write_metrics
from dbp.support import processes
from dbp.synthesis import netlist
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.cells.library import Library
from dbp.synthesis.equivalence import cut_circuit
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.netlist import Netlist

LIMIT_S = 300


class NotEquivalentError(DbpError):
    """The netlist does something else than the Verilog; the message names where."""


def prove_netlist(
    run_dir: str | Path, pdk: str, *, limit_s: float = LIMIT_S, config_hash: str | None = None
) -> dict[str, Any]:
    """`prove_mapping` for what ``dbp synth`` left in ``RUN/synth/PDK``.

    Writes ``proof.json`` there and returns it: what `prove_mapping` returns, and ``pdk``.
    """
    stopwatch, run_dir = Stopwatch(), Path(run_dir)
    folder = run_dir / "synth" / pdk
    _, files = kits.find(pdk)
    design = Design.load(run_dir / "design.json")
    try:
        verilog = gzip.decompress((folder / "step.v.gz").read_bytes()).decode()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{folder}/step.v.gz: cannot be read: {error}") from None
    mapped = netlist.read(folder / "netlist.v.gz")
    (folder / "proof.json").unlink(missing_ok=True)
    return write_metrics(
        folder / "proof.json",
        {"pdk": pdk, **prove_mapping(verilog, mapped, liberty_reader.read(*files), limit_s)},
        design_hash=design.hash,
        config_hash=config_hash,
        seed=None,
        versions=package_versions("pyosys"),
        stopwatch=stopwatch,
    )


def prove_mapping(
    verilog: str, mapped: Netlist, library: Library, limit_s: float = LIMIT_S
) -> dict[str, Any]:
    """Prove that ``mapped`` does what Yosys' gates of ``verilog`` do, for all states and inputs.

    Those gates are what ABC got from Yosys: the proof covers the mapping, buffering and sizing, and
    the netlist as written and read; that Yosys' own gates do what the operators of the Verilog say
    is left to the gate-level simulation. Returns ``proved`` (false where ABC did not finish within
    ``limit_s`` seconds), ``registers`` paired by name, ``registers_inverted`` of them,
    and ``registers_gone`` (of the Verilog, paired with none: merged or found without use).
    `NotEquivalentError` names an output or register that differs.
    """
    top = processes.checked_name(mapped.module, "module")
    with tempfile.TemporaryDirectory(prefix="dbp-equivalence-") as folder:
        (Path(folder) / "step.v").write_text(verilog, encoding="utf-8")
        # As `dbp.synthesis.mapping.yosys_map` up to ABC, but full adders of gates; then enables and
        # resets become gates before plain flip-flops. ABC could not prove other sums equal to
        # these.
        after = [
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            "dfflegalize -cell $_DFF_P_ x",
            "simplemap",
            "opt_clean",
            "write_json gates.json",
        ]
        yosys_map.run_gates(Path(folder), top, "step.v", None, after=after)
        gates = json.loads((Path(folder) / "gates.json").read_text("utf-8"))["modules"][top]
    found = cut_circuit.compare(
        cut_circuit.of_gates(gates), cut_circuit.of_netlist(mapped, library), limit_s
    )
    gone, lost = found.unpaired
    if found.equal is False:
        raise NotEquivalentError(
            f"{top}: the netlist differs from its Verilog: {found.different or 'an output'}"
        )
    return {
        "module": top,
        "method": "registers cut by name, ABC cec",
        "proved": bool(found.equal),
        "registers": found.registers,
        "registers_inverted": found.inverted,
        "registers_gone": len(gone),
        "registers_without_counterpart": len(lost),
        "limit_s": limit_s,
    }
