"""The command line: ``dbp train | rtl | prove | sim | synth | power | ber | link | ...``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from dbp import __version__, runs
from dbp.cli import commands, compare, waveforms
from dbp.config import sweep
from dbp.errors import DbpError, InputError, one_line, shown
from dbp.evaluation import evaluate

# One process or job each: many more than a machine has cores are a slip of the keyboard.
MAX_WORKERS = 1000


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print the usage before it."""
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def _integer(text: str, least: int, most: int, allowed: str) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= 19
    if not digits or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{shown(text)}: must be an integer {allowed}")
    return int(text)


def _positive(text: str) -> int:
    return _integer(text, 1, (1 << 63) - 1, "of at least 1")


def _number(text: str) -> int:
    return _integer(text, 0, (1 << 63) - 1, "of at least 0")


def _frequency(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r}: must be in MHz, above 0 and at most 100000")
    return value


def _seed(text: str) -> int:
    return _integer(text, 0, (1 << 63) - 1, "in 0..2^63-1")


def _workers(text: str) -> int:
    return _integer(text, 1, MAX_WORKERS, f"in 1..{MAX_WORKERS}")


def _folder(text: str) -> Path:
    # What a shell makes of a variable that is not set; Path would take it for this folder.
    if not text:
        raise argparse.ArgumentTypeError("'': must be the name of a folder")
    path = Path(text)
    with contextlib.suppress(OSError):  # too long a name, say: told where the folder is made
        if path.exists() and not path.is_dir():
            raise argparse.ArgumentTypeError(f"{text!r}: must be a folder, and is none")
    return path


def _run_folder(text: str) -> Path:
    path = _folder(text)
    with contextlib.suppress(OSError):
        if not (path / "design.json").exists():
            raise argparse.ArgumentTypeError(
                f"{text!r}: must be a folder that holds a design.json, as `dbp rtl DESIGN --out "
                "RUN` makes it"
            )
    return path


def _launch_powers(text: str) -> tuple[float, ...]:
    """``START:STOP:STEP`` with both ends, or values with commas between them, in dBm."""
    form = "must be START:STOP:STEP (both ends count) or values with commas, in -30..20 dBm"
    try:
        powers = tuple(float(value) for value in sweep.values(text))
        if not all(-30 <= power <= 20 for power in powers):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)}: {form}") from None
    return powers


def _swept(text: str) -> tuple[str, tuple[Any, ...]]:
    form = "must be KEY=START:STOP:STEP or KEY=VALUE,VALUE..., KEY one of [link]"
    try:
        return sweep.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)}: {form}") from None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dbp",
        description="Time-domain digital backpropagation: learn and quantize its filters, "
        "generate RTL, prove it bit-exact, and cost it in watts.",
    )
    parser.add_argument("--version", action="version", version=f"dbp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(function=function)
        return sub

    def out(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--out", type=_folder, required=True, metavar="RUN", help="the run's folder"
        )

    def seed(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--seed", type=_seed, help="default: the configuration's")

    def device(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--device", default="cpu", metavar="NAME", help="where to learn, as torch names it"
        )

    def filters(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--filters",
            choices=("reconfigurable", "hardwired"),
            default="reconfigurable",
            help="taps in registers, or in the logic (default: reconfigurable)",
        )
        sub.add_argument(
            "--pipeline",
            metavar="CUTS",
            help="registers other than the usual: filter.after_multiplier=1,rotation.after_kerr=1",
        )

    config_help = "a TOML file or the name of a preset (paper, demo, isit2018)"
    design_help = "a design.json, a run's folder, or the name of a shipped design"

    sub = command("train", _train, "simulate the link, learn and quantize filters, export a design")
    sub.add_argument("config", metavar="CONFIG", help=config_help)
    out(sub)
    seed(sub)
    device(sub)

    sub = command("rtl", _rtl, "generate Verilog from a design")
    sub.add_argument("design", metavar="DESIGN", help=design_help)
    out(sub)
    sub.add_argument(
        "--lanes", type=_positive, help="samples per clock (default: the configuration's)"
    )
    filters(sub)
    top = sub.add_mutually_exclusive_group()
    for name, what in (("step", "a filter and its rotation"), ("filter", "a filter alone")):
        top.add_argument(
            f"--{name}", type=_number, metavar="K", help=f"emit {what} (default: the whole chain)"
        )

    sub = command("prove", _prove, "prove the Verilog equal to the golden model, for all inputs")
    sub.add_argument(
        "run", type=_run_folder, metavar="RUN", help="a folder that `dbp rtl` has filled"
    )
    sub.add_argument(
        "--pdk", metavar="NAME", help="also the netlist that `dbp synth` left for that kit"
    )

    sub = command(
        "sim", _sim, "simulate the Verilog with cocotb and compare it with the golden model"
    )
    sub.add_argument(
        "run", type=_run_folder, metavar="RUN", help="a folder that `dbp rtl` has filled"
    )
    sub.add_argument(
        "--simulator", choices=("verilator", "icarus"), help="default: the first that is there"
    )
    sub.add_argument("--waves", action="store_true", help="write a waveform file (VCD) too")
    sub.add_argument(
        "--coverage", action="store_true", help="count lines and toggles too (Verilator only)"
    )

    sub = command("synth", _synth, "synthesise one step: area, timing, activity and power")
    sub.add_argument("run", type=_run_folder, metavar="RUN", help="a folder that holds a design")
    sub.add_argument("--pdk", metavar="NAME", help="the design kit (default: the configuration's)")
    sub.add_argument("--step", type=_number, metavar="K", help="default: the middle one")
    sub.add_argument(
        "--lanes", type=_positive, help="samples per clock (default: the configuration's)"
    )
    filters(sub)
    sub.add_argument(
        "--fit-clock",
        action="store_true",
        help="add registers until the clock is met, and take out what costs power",
    )
    sub.add_argument(
        "--place-and-route", action="store_true", help="then also by OpenROAD, with real wires"
    )

    sub = command("power", _power, "power of any mapped netlist from the activity of its nets")
    sub.add_argument("--netlist", type=Path, required=True, metavar="FILE",
                     help="flat mapped Verilog: .v, .v.gz")  # fmt: skip
    sub.add_argument("--activity", type=Path, required=True, metavar="FILE",
                     help="toggles of every net: .csv, .saif or .vcd, also .gz")  # fmt: skip
    sub.add_argument("--liberty", type=Path, required=True, nargs="+", metavar="FILE",
                     help="the cell library, in one file or several: .lib, .lib.gz")  # fmt: skip
    sub.add_argument("--clock-mhz", type=_frequency, required=True, metavar="F")
    sub.add_argument("--wire-load", metavar="NAME",
                     help="of the library, or none (default: the library's default)")  # fmt: skip
    sub.add_argument("--power-engine", choices=("dbp", "opensta"), default="dbp",
                     help="who calculates (default: dbp)")  # fmt: skip
    out(sub)

    sub = command("pdk", _pdk, "list the design kits and where they are, or install one")
    kit = sub.add_subparsers(metavar="[install NAME]", title="what to do", dest="action")
    sub.set_defaults(install=None)
    sub = kit.add_parser("install", help="fetch a kit from its pinned commit into the cache")
    sub.add_argument("install", metavar="NAME", help="nangate45, asap7, sky130hd or ihp-sg13g2")

    sub = command("ber", _ber, "bit error ratio and effective SNR against launch power")
    sub.add_argument(
        "designs",
        nargs="*",
        metavar="DESIGN",
        help=design_help + ", or linear, dbp1, dbp50 (frequency-domain references)",
    )
    sub.add_argument("--reproduce", choices=("paper",), help="the receivers of all its BER curves")
    sub.add_argument(
        "--waveform", type=Path, metavar="FILE", help="count on this waveform (.npz, .mat, .h5)"
    )
    sub.add_argument("--launch-power-dbm", type=_launch_powers, metavar="RANGE",
                     help="START:STOP:STEP or values with commas (default: CONFIG's)")  # fmt: skip
    out(sub)
    sub.add_argument(
        "--config", metavar="CONFIG", help="the link (default: the design's, or paper)"
    )
    sub.add_argument(
        "--arithmetic", choices=("fixed", "float", "both"), help="of designs (default: fixed)"
    )
    sub.add_argument("--min-errors", type=_positive, help="stop a point there (default: CONFIG's)")
    sub.add_argument("--max-bits", type=_positive, help="or there (default: CONFIG's)")
    sub.add_argument("--sweep", type=_swept, action="append", default=[], metavar="KEY=RANGE",
                     help="other values of a key of [link]; may be repeated")  # fmt: skip
    sub.add_argument("--resume", action="store_true", help="go on where RUN was interrupted")
    sub.add_argument("--cluster", default="local", metavar="WHERE",
                     help="local (default), slurm, or tcp://HOST:PORT (Dask)")  # fmt: skip
    sub.add_argument("--workers", type=_workers, metavar="N",
                     help="processes or Slurm jobs (default: one a core, one job)")  # fmt: skip
    seed(sub)

    sub = command("link", _link, "simulate the link and write its waveform as a file")
    sub.add_argument("config", metavar="CONFIG", help=config_help)
    output_help = "ends in .npz, .mat, .h5 or .hdf5"
    sub.add_argument("--output", type=Path, required=True, metavar="FILE", help=output_help)
    sub.add_argument(
        "--launch-power-dbm", type=_launch_powers, metavar="DBM",
        help="default: where CONFIG learns",
    )  # fmt: skip
    sub.add_argument("--symbols", type=_positive, default=32768, metavar="N", help="default: 32768")
    seed(sub)

    sub = command("equalize", _equalize, "equalise a waveform file with a design")
    sub.add_argument("design", metavar="DESIGN", help=design_help)
    sub.add_argument(
        "--input", type=Path, required=True, metavar="FILE", help=".npz, .mat, .h5 or .hdf5"
    )
    sub.add_argument("--output", type=Path, required=True, metavar="FILE", help=output_help)
    sub.add_argument(
        "--arithmetic", choices=("fixed", "float"), default="fixed", help="default: fixed"
    )

    sub = command("compare", _compare, "BER, watts and square millimetres of whole receivers")
    sub.add_argument("designs", nargs="+", metavar="DESIGN", help=design_help)
    sub.add_argument(
        "--pdk", nargs="+", default=["nangate45"], metavar="NAME", help="default: nangate45"
    )
    sub.add_argument(
        "--filters", nargs="+", choices=("reconfigurable", "hardwired"),
        default=["reconfigurable"], metavar="KIND",
        help="reconfigurable (default), hardwired, or both",
    )  # fmt: skip
    sub.add_argument(
        "--lanes", nargs="+", type=_positive, default=(8, 16), metavar="P",
        help="widths to synthesise: 96 lanes are estimated from the first two (default: 8 16), "
        "which further ones check",
    )  # fmt: skip
    sub.add_argument("--min-errors", type=_positive, metavar="N",
                     help="of every point of the BER (default: the configuration's)")  # fmt: skip
    out(sub)

    sub = command("report", _report, "one self-contained HTML page over one or more runs")
    sub.add_argument(
        "runs", nargs="+", type=_folder, metavar="RUN", help="the page goes to the first"
    )

    sub = command("run", _run, "all of it: learned design and baseline, side by side")
    sub.add_argument("config", metavar="CONFIG", help=config_help)
    out(sub)
    seed(sub)
    device(sub)
    return parser


def _join_ranges(arguments: Sequence[str]) -> list[str]:
    """``--launch-power-dbm -4:4:1`` as people type it; argparse takes the range for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--launch-power-dbm":
            joined[-1] += "=" + argument
        else:
            joined.append(argument)
    return joined


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 (a tool or a comparison failed), 2 (input)."""
    given = _join_ranges(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    try:
        options.function(options)
    except InputError as error:
        return _fail(error, 2)
    except (DbpError, OSError) as error:
        return _fail(error, 1)
    except MemoryError as error:
        return _fail(f"out of memory: {error}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return 0


def _fail(message: object, status: int) -> int:
    print("dbp: error: " + one_line(message), file=sys.stderr)
    return status


def _train(options: argparse.Namespace) -> None:
    settings = runs.read_config(options.config, options.seed)
    commands.train(settings, options.out, options.device)


def _rtl(options: argparse.Namespace) -> None:
    design, folder = runs.find_design(options.design)
    top = "chain" if options.step is options.filter is None else "step"
    if options.filter is not None:
        top = "filter"
    step = options.filter if top == "filter" else options.step
    commands.rtl(
        design,
        folder,
        options.out,
        options.lanes,
        options.filters,
        top,
        step or 0,
        options.pipeline,
    )


def _prove(options: argparse.Namespace) -> None:
    commands.prove(options.run, options.pdk)


def _sim(options: argparse.Namespace) -> None:
    commands.sim(options.run, options.simulator, options.waves, options.coverage)


def _synth(options: argparse.Namespace) -> None:
    commands.synth(
        options.run,
        options.pdk,
        options.step,
        options.lanes,
        options.filters,
        options.pipeline,
        options.fit_clock,
        options.place_and_route,
    )


def _power(options: argparse.Namespace) -> None:
    commands.power(
        options.netlist,
        options.activity,
        options.liberty,
        options.clock_mhz,
        options.out,
        options.wire_load,
        options.power_engine,
    )


def _pdk(options: argparse.Namespace) -> None:
    commands.pdk(options.install)


def _ber(options: argparse.Namespace) -> None:
    shared = {
        "config_name": options.config,
        "seed": options.seed,
        "options": evaluate.Options(
            options.min_errors,
            options.max_bits,
            options.cluster,
            options.workers,
            options.resume,
        ),
    }
    if options.reproduce:
        if options.designs or options.arithmetic or options.sweep:
            raise InputError(
                "--reproduce has receivers of its own: no DESIGN, no --arithmetic, no --sweep"
            )
        if options.waveform:
            raise InputError("--reproduce has links of its own: no --waveform")
        evaluate.reproduce(options.launch_power_dbm, options.out, **shared)
        return
    if options.waveform:
        _ber_of_waveform(options)
        return
    swept = dict(options.sweep)
    if len(swept) < len(options.sweep):
        raise InputError("--sweep: each KEY once")
    evaluate.ber(
        options.designs,
        options.launch_power_dbm,
        options.out,
        arithmetic=options.arithmetic or "fixed",
        swept=swept,
        **shared,
    )


def _ber_of_waveform(options: argparse.Namespace) -> None:
    for name in (
        *("launch_power_dbm", "config", "min_errors", "max_bits", "sweep", "resume", "workers"),
        *("cluster", "seed"),
    ):
        if getattr(options, name) not in (None, False, [], "local"):
            raise InputError(
                f"--waveform is counted as it is, whole: no --{name.replace('_', '-')}"
            )
    waveforms.ber(options.designs, options.arithmetic or "fixed", options.waveform, options.out)


def _link(options: argparse.Namespace) -> None:
    powers = options.launch_power_dbm or (None,)
    if len(powers) > 1:
        raise InputError("--launch-power-dbm: must be one launch power")
    settings = runs.read_config(options.config, options.seed)
    waveforms.link(settings, powers[0], options.symbols, options.output)


def _equalize(options: argparse.Namespace) -> None:
    waveforms.equalize(options.design, options.arithmetic, options.input, options.output)


def _compare(options: argparse.Namespace) -> None:
    compare.compare(
        options.designs,
        options.out,
        pdks=options.pdk,
        filters=options.filters,
        widths=options.lanes,
        min_errors=options.min_errors,
    )


def _report(options: argparse.Namespace) -> None:
    commands.report(options.runs)


def _run(options: argparse.Namespace) -> None:
    settings = runs.read_config(options.config, options.seed)
    commands.run(settings, options.out, options.device)
