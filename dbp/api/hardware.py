"""`dbp.prove`, `dbp.simulate`, `dbp.synthesize`, `dbp.predict_watts`: Verilog and its cost."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from dbp.api import _checks
from dbp.datapath.design import Design, launch_power_uw
from dbp.datapath.stimulus import Stimulus, StimulusSource
from dbp.errors import InputError, shown
from dbp.support import family, locks

if TYPE_CHECKING:
    from dbp.link.transmission import Received
    from dbp.records.schemas import ClockFit, ProofMetrics, SimMetrics, SynthMetrics
    from dbp.rtl.target import Target
    from dbp.synthesis.watt_model import Prediction

Simulator = Literal["verilator", "icarus"]
_Function = TypeVar("_Function", bound=Callable[..., Any])
CLOCK_MHZ = 416.7  # the paper's: 48 symbols a clock at 20 GBd, 96 samples at 2 per symbol


def _one_writer(function: _Function) -> _Function:
    """Keep other processes from writing to the argument ``folder`` meanwhile."""

    @functools.wraps(function)
    def locked(*arguments: Any, folder: str | Path | None = None, **named: Any) -> Any:
        if folder is None:
            return function(*arguments, **named)
        with locks.writing(Path(folder)):
            return function(*arguments, folder=folder, **named)

    return cast("_Function", locked)


@_one_writer
def prove(
    rtl: str | Path,
    design: Design,
    *,
    folder: str | Path | None = None,
    config_hash: str | None = None,
) -> ProofMetrics:
    """Prove the Verilog in the folder ``rtl`` equal to ``design`` for all inputs.

    `dbp.Design.to_verilog` has filled ``rtl``. ``folder``: where ``metrics.json`` is written, if
    anywhere. ``config_hash``: of the configuration that the design comes from, for the metrics.
    Returns what was proved. Raises `InputError` where the folder holds no emission of this design,
    `dbp.errors.DbpError` where a module differs.
    """
    from dbp.rtl.proof import prove as prove_verilog

    return prove_verilog(Path(rtl), design, folder=_folder(folder), config_hash=config_hash)


@_one_writer
def simulate(
    rtl: str | Path,
    design: Design,
    *,
    stimulus: Received | Stimulus | StimulusSource,
    simulator: Simulator | None = None,
    samples: int = 4096,
    waves: bool = False,
    code_coverage: bool = False,
    folder: str | Path | None = None,
    config_hash: str | None = None,
) -> SimMetrics:
    """Simulate the Verilog in the folder ``rtl`` and compare every sample with the golden model.

    ``stimulus``: what `dbp.Link.transmit` returns, of which the first ``samples`` samples are
    streamed through the top, before corner cases and changes of taps. ``simulator``: the first
    that is installed by default. ``code_coverage``: count lines and toggles too (Verilator only).
    ``folder``: where ``metrics.json`` and, with ``waves``, a waveform (VCD) are written, if
    anywhere. ``config_hash``: as in `prove`. Raises `dbp.errors.DbpError` where a sample differs,
    and `dbp.errors.ToolError` where no simulator is installed.
    """
    from dbp.sim import simulate as simulate_verilog

    return simulate_verilog(
        Path(rtl),
        design,
        source(stimulus, design),
        folder=_folder(folder),
        simulator=simulator,
        samples=samples,
        waves=waves,
        code_coverage=code_coverage,
        config_hash=config_hash,
    )


@_one_writer
def synthesize(
    design: Design,
    *,
    stimulus: Received | Stimulus | StimulusSource,
    kit: str = "predictive28",
    step: int | None = None,
    lanes: int = 2,
    filters: Literal["reconfigurable", "hardwired"] = "reconfigurable",
    pipeline: str = "",
    clock_mhz: float = CLOCK_MHZ,
    fit_clock: bool = False,
    place_and_route: bool = False,
    route: Literal["global", "detailed"] = "detailed",
    folder: str | Path | None = None,
    reuse: bool = False,
    progress: bool = True,
    config_hash: str | None = None,
) -> SynthMetrics:
    """Map one step of a design to a kit and return its area, slack, activity and power.

    ``kit``: ``nangate45``, ``asap7``, ``sky130hd``, ``ihp-sg13g2``, ``gt2n`` (`dbp pdk` says where
    they are) or ``predictive28``, which comes with the package, for demonstration only. ``step``:
    the middle one by default. ``lanes``, ``filters``, ``pipeline``: as in `dbp.Design.to_verilog`.
    ``stimulus``: what `dbp.Link.transmit` returns; the gates are simulated with delays on its
    samples, and every output sample is compared with the golden model. ``fit_clock``: first find
    the registers that the clock needs, from ``pipeline`` on (`dbp.synthesis.fit_clock`).
    ``place_and_route``: then lay the step out with OpenROAD, with wires as far as ``route`` says.
    ``folder``: where netlist, activity, power per instance and scripts are written, if anywhere.
    ``reuse``: return what the folder holds where its inputs are unchanged. ``config_hash``: as in
    `prove`.

    Returns `dbp.records.schemas.SynthMetrics`: ``power_w.total``, ``area_um2``, ``slack_ns``, ...
    Raises `InputError` for what does not fit, `dbp.errors.MissingError` for a kit or a tool that is
    not there.
    """
    from dbp.rtl.pipeline import parse
    from dbp.rtl.target import Target
    from dbp.synthesis import synthesize as synthesize_step

    middle = len(design.filters) // 2
    target = Target(lanes, filters, parse(pipeline), "step", middle if step is None else step)
    samples, place = source(stimulus, design), _folder(folder)
    found_cuts = None
    if fit_clock:
        _check_synthesis(design, kit, target, route if place_and_route else None)
        found_cuts = _fit(design, kit, target, samples, clock_mhz, place, progress)
        target = replace(target, pipeline=parse(found_cuts.last_kept.pipeline))
    return synthesize_step(
        design,
        samples,
        kit,
        target,
        clock_mhz=clock_mhz,
        folder=place,
        place_and_route=place_and_route,
        route=route,
        reuse=reuse,
        progress=progress,
        config_hash=config_hash,
        fit_clock=found_cuts,
    )


def predict_watts(
    design: Design,
    *,
    kit: str = "nangate45",
    filters: Literal["reconfigurable", "hardwired"] = "reconfigurable",
    lanes: int | None = None,
) -> Prediction:
    """Predict watts and square millimetres of a whole receiver, in milliseconds and without a tool.

    ``kit``: ``nangate45`` or ``asap7``, whose steps the model was fitted to. ``lanes``: samples a
    clock, by default those of the paper's 20 GBd. The clock is 416.7 MHz; the clock tree is
    included, as in ``dbp compare``, whose result this predicts. ``Prediction.extrapolates`` names
    what lies outside the fitted steps. Raises `InputError` for what does not fit.
    """
    from dbp.synthesis import watt_model

    if not isinstance(design, Design):
        raise InputError(f"design = {shown(design)}: must be a dbp.Design")
    return watt_model.predict(design, kit, filters, lanes)


def _check_synthesis(design: Design, kit: str, target: Target, route: str | None) -> None:
    """Refuse what the synthesis after a fit would refuse: the fit takes minutes."""
    from dbp.synthesis.cells import kits
    from dbp.synthesis.layout import openroad

    target.check(design)
    kits.find(kit)
    if route is not None:
        openroad.find(kit, route)


def _fit(
    design: Design,
    kit: str,
    target: Target,
    stimulus: StimulusSource,
    clock_mhz: float,
    folder: Path | None,
    progress: bool,
) -> ClockFit:
    """Find the cuts that the clock needs; its files go where those of the synthesis go."""
    from dbp.synthesis import fit_clock
    from dbp.synthesis.gates.step_bench import samples_needed

    def enough_for_both(samples: int) -> Stimulus:
        # The synthesis of all lanes comes next: the link is simulated once.
        return stimulus(max(samples, samples_needed(design, target.lanes)))

    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(family.temporary_folder("dbp-fit-"))
        return fit_clock.fit(
            design,
            kit,
            target,
            folder,
            clock_mhz=clock_mhz,
            stimulus=enough_for_both,
            progress=progress,
        )


def source(stimulus: Received | Stimulus | StimulusSource, design: Design) -> StimulusSource:
    """Return the function by which a bench asks for converter samples of a received waveform.

    A waveform that is shorter than the bench needs is an `InputError` that says how long it must
    be.
    """
    if callable(stimulus):
        return stimulus
    from dbp.link.transmission import Received

    if isinstance(stimulus, Stimulus):
        if stimulus.design_hash != design.hash:
            raise InputError(
                f"stimulus: belongs to the design {stimulus.design_hash[:12]}, not to "
                f"{design.hash[:12]}"
            )
    elif not isinstance(stimulus, Received):
        raise InputError(
            f"stimulus = {shown(stimulus)}: must be what dbp.Link.transmit returned, or a Stimulus"
        )
    else:
        _checks.polarizations("stimulus", design, stimulus.waveform)
        _checks.rate(design, stimulus)

    @functools.cache
    def converted() -> Stimulus:
        if isinstance(stimulus, Stimulus):
            return stimulus
        from dbp.datapath import golden

        samples = golden.convert(golden.one_stream(stimulus.waveform), design)
        power_uw = launch_power_uw(stimulus.launch_power_dbm)
        return Stimulus(samples, power_uw, design.hash, "", stimulus.seed)

    def take(at_least: int) -> Stimulus:
        count = converted().length
        if count < at_least:
            raise InputError(
                f"stimulus: {count} samples: must be at least {at_least}: transmit "
                f"{math.ceil(at_least / design.samples_per_symbol)} symbols or more"
            )
        return converted()

    return take


def _folder(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
