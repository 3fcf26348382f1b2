"""Prove the mapped netlist of ``dbp synth`` equal to the Verilog that it was made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from dbp.datapath.design import Design
from dbp.errors import DbpError, InputError
from dbp.records.provenance import Stopwatch, package_versions, provenance, write_metrics
from dbp.records.schemas import NetlistProofMetrics
from dbp.support import family, processes
from dbp.support.files import read_gzip_or_plain, write_text
from dbp.support.yosys import written_json
from dbp.synthesis import netlist
from dbp.synthesis.cells import kits, liberty_reader
from dbp.synthesis.cells.library import Library
from dbp.synthesis.equivalence.compare_circuits import compare
from dbp.synthesis.equivalence.cut_circuit import cut_gates, cut_netlist
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.netlist import Netlist

LIMIT_S = 300
PROOF = "proof.json"


class NotEquivalentError(DbpError):
    """The netlist does something else than the Verilog; the message names where."""


@dataclass(frozen=True)
class MappingProof:
    """The result of `prove_mapping` for a netlist.

    ``proved``: false where ABC did not finish within ``limit_s`` seconds, or where a register of
    the netlist has no counterpart. ``registers``: those paired by name, and
    ``registers_inverted``: those of them that hold the inverse. ``registers_gone``: registers of
    the Verilog without a counterpart, merged with others or without use.
    """

    module: str
    method: str
    proved: bool
    registers: int
    registers_inverted: int
    registers_gone: int
    registers_without_counterpart: int
    limit_s: float


def prove_netlist(
    folder: str | Path,
    pdk: str,
    design: Design,
    *,
    limit_s: float = LIMIT_S,
    config_hash: str | None = None,
) -> NetlistProofMetrics:
    """Prove what ``dbp synth`` left of ``design`` for a kit in ``folder``; see `prove_mapping`.

    The metrics are also written there, as ``proof.json``. `InputError` where there is no netlist.
    """
    stopwatch, folder = Stopwatch(), Path(folder)
    _, files = kits.find(pdk)
    path = folder / "step.v.gz"
    try:
        verilog = read_gzip_or_plain(path, netlist.MAX_BYTES, "Verilog").decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    mapped = netlist.read(folder / "netlist.v.gz")
    # No proof of an earlier netlist may stay where this one fails.
    (folder / PROOF).unlink(missing_ok=True)
    proof = prove_mapping(verilog, mapped, liberty_reader.read(*files), limit_s)
    metrics = NetlistProofMetrics(
        pdk=pdk,
        **asdict(proof),
        **provenance(
            design_hash=design.hash,
            config_hash=config_hash,
            seed=None,
            versions=package_versions("pyosys"),
            stopwatch=stopwatch,
        ),
    )
    return write_metrics(folder / PROOF, metrics)


def prove_mapping(
    verilog: str, mapped: Netlist, library: Library, limit_s: float = LIMIT_S
) -> MappingProof:
    """Prove that ``mapped`` does what Yosys' gates of ``verilog`` do, for all states and inputs.

    Those gates are what ABC got from Yosys: the proof covers mapping, buffering and sizing, and the
    netlist as written and read. That Yosys' own gates do what the operators of the Verilog say is
    left to the gate-level simulation. `NotEquivalentError` names an output or register that
    differs.
    """
    top = processes.checked_name(mapped.module, "module")
    with family.temporary_folder("dbp-equivalence-") as folder:
        write_text(folder / "step.v", verilog)
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
        yosys_map.run_gates(folder, top, "step.v", None, after=after)
        gates = written_json(folder / "gates.json")["modules"][top]
    comparison = compare(cut_gates(gates), cut_netlist(mapped, library), limit_s)
    gone, lost = comparison.unpaired
    if comparison.equal is False:
        output = comparison.different or "an output"
        raise NotEquivalentError(f"{top}: the netlist differs from its Verilog: {output}")
    return MappingProof(
        module=top,
        method="registers cut by name, ABC cec",
        proved=bool(comparison.equal),
        registers=comparison.registers,
        registers_inverted=comparison.inverted,
        registers_gone=len(gone),
        registers_without_counterpart=len(lost),
        limit_s=limit_s,
    )
