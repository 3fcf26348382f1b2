"""The class of our parsers, and arguments and options that several commands share.

This module and all parsers load the standard library and light modules of ours only, so that
``--help``, ``--version`` and a shell's completion are quick.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from dbp.datapath.limits import MAX_CLOCK_MHZ
from dbp.errors import InputError, one_line, shown
from dbp.support.text import did_you_mean

# One process or job each: many more than a machine has cores are a slip of the keyboard.
MAX_WORKERS = 1000
LARGEST_INTEGER = (1 << 63) - 1
CONFIG_HELP = "a TOML file or the name of a preset (see `dbp presets`)"
DESIGN_HELP = "a design.json, a run's folder, or the name of a shipped design (see `dbp designs`)"
WAVEFORM_HELP = "ends in .npz, .mat, .h5 or .hdf5"

# Those of `dbp.evaluation.slurm.Settings`, which loads slowly: a test compares.
SLURM_KEYS = (
    *("queue", "account", "walltime", "cores", "memory_gb", "log_folder", "prologue"),
    *("directives", "python", "local_folder", "host", "dashboard", "queue_hours"),
)

# A shell proposes these for an argument: names that come with the package, files or folders.
Proposal = Literal["design", "receiver", "config", "preset", "kit", "file", "folder"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, which names what was probably meant.

    ``example``: command lines that run one after the other, the last one with this command; the
    help ends with them.
    """

    example: str = ""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 after one line, where argparse would print the usage before it."""
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")

    def add_argument(
        self, *names: Any, proposal: Proposal | None = None, **options: Any
    ) -> argparse.Action:
        """Add an argument for whose value a shell makes proposals of a kind."""
        action = super().add_argument(*names, **options)
        action.proposal = proposal  # type: ignore[attr-defined]
        return action

    def format_help(self) -> str:
        """Return the help, with the example as it is typed."""
        lines = "".join(f"  {line}\n" for line in self.example.splitlines())
        return super().format_help() + (f"\nexample:\n{lines}" if lines else "")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse unknown arguments here, where the command's own options are known."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            hint = did_you_mean(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return known, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            hint = did_you_mean(str(value), names)
            raise argparse.ArgumentError(
                action, f"invalid choice: {shown(value)} (choose from {', '.join(names)}){hint}"
            )


Commands = argparse._SubParsersAction  # what `add_subparsers` returns; argparse has no public name


def add_command(
    commands: Commands[Parser],
    name: str,
    function: Callable[[argparse.Namespace], None],
    text: str,
    example: str,
) -> Parser:
    """Add the command ``name``, which runs ``function``; ``text`` says in one line what it does.

    ``example``: see `Parser`.
    """
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(function=function)
    parser.example = example
    return parser


# ---- types of arguments --------------------------------------------------------------------------


def _integer(text: str, least: int, most: int, allowed: str) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= 19
    if not digits or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{shown(text)}: must be an integer {allowed}")
    return int(text)


def place(text: str) -> Path | str:
    """A path; a URL stays as it is written."""
    return text if "://" in text else Path(text)


def positive(text: str) -> int:
    """An integer of at least 1."""
    return _integer(text, 1, LARGEST_INTEGER, "of at least 1")


def number(text: str) -> int:
    """An integer of at least 0: the number of a step or a filter."""
    return _integer(text, 0, LARGEST_INTEGER, "of at least 0")


def seed(text: str) -> int:
    """A seed, 0 to 2^63 - 1."""
    return _integer(text, 0, LARGEST_INTEGER, "in 0..2^63-1")


def workers(text: str) -> int:
    """A number of processes or jobs, 1 to `MAX_WORKERS`."""
    return _integer(text, 1, MAX_WORKERS, f"in 1..{MAX_WORKERS}")


def frequency_mhz(text: str) -> float:
    """A frequency in MHz, above 0 and at most `MAX_CLOCK_MHZ`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_CLOCK_MHZ:
        allowed = f"must be in MHz, above 0 and at most {MAX_CLOCK_MHZ:g}"
        raise argparse.ArgumentTypeError(f"{text!r}: {allowed}")
    return value


def millidecibels(text: str) -> float:
    """A price in thousandths of a decibel, 0 to 1000."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: must be in thousandths of a dB, 0 to 1000")
    return value


def share(text: str) -> float:
    """The share of a recording that is held out."""
    from dbp.config.limits import HELD_OUT

    low, high = HELD_OUT
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r}: must be in {low:g}..{high:g}")
    return value


def gibibytes(text: str) -> float:
    """An amount of memory in GiB, greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: must be in GiB, greater than 0")
    return value


def slew_ns(text: str) -> float:
    """A transition time in ns, at most 1000."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: must be in ns, from 0 to 1000")
    return value


def time_ns(text: str) -> float:
    """A time in ns, at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: must be in ns, at least 0")
    return value


def folder(text: str) -> Path:
    """The name of a folder, which need not exist."""
    # A shell passes this for a variable that is not set; Path would take it for this folder.
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r}: must be the name of a folder")
    path = Path(text)
    with contextlib.suppress(OSError):  # too long a name, say: told where the folder is made
        nearest = next((place for place in (path, *path.parents) if place.exists()), None)
        if nearest is not None and not nearest.is_dir():
            whose = "" if nearest == path else f"{nearest} "
            raise argparse.ArgumentTypeError(f"{text!r}: must be a folder, and {whose}is a file")
    return path


def run_folder(text: str) -> Path:
    """A folder that holds a ``design.json``."""
    path = folder(text)
    with contextlib.suppress(OSError):
        if not (path / "design.json").exists():
            raise argparse.ArgumentTypeError(
                f"{text!r}: must be a folder that holds a design.json, as `dbp rtl DESIGN --out "
                "RUN` makes it"
            )
    return path


def launch_powers_dbm(text: str) -> tuple[float, ...]:
    """``START:STOP:STEP`` with both ends, or values with commas between them, in dBm."""
    from dbp.config import sweep
    from dbp.config.limits import LAUNCH_POWERS_DBM

    low, high = LAUNCH_POWERS_DBM
    form = (
        f"must be START:STOP:STEP (both ends count) or values with commas, in {low:g}..{high:g} dBm"
    )
    try:
        powers = tuple(float(value) for value in sweep.values(text))
        if not all(low <= power <= high for power in powers):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)}: {form}") from None
    return powers


def swept_key(text: str) -> tuple[str, tuple[Any, ...]]:
    """``KEY=VALUES``: a key of [link] and the values that a sweep gives it."""
    from dbp.config import sweep

    form = "must be KEY=START:STOP:STEP or KEY=VALUE,VALUE..., KEY one of [link]"
    try:
        return sweep.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)}: {form}") from None


# ---- options that recur --------------------------------------------------------------------------


def add_config(parser: Parser) -> None:
    """The positional CONFIG."""
    parser.add_argument("config", proposal="config", metavar="CONFIG", help=CONFIG_HELP)


def add_design(parser: Parser) -> None:
    """The positional DESIGN."""
    parser.add_argument("design", proposal="design", metavar="DESIGN", help=DESIGN_HELP)


def add_run(parser: Parser, text: str) -> None:
    """The positional RUN, a folder that holds a design; ``text`` is its help."""
    parser.add_argument("run", proposal="folder", type=run_folder, metavar="RUN", help=text)


def add_out(parser: Parser) -> None:
    """``--out RUN``, which is required."""
    parser.add_argument(
        "--out",
        proposal="folder",
        type=folder,
        required=True,
        metavar="RUN",
        help="the run's folder",
    )


def add_kit(parser: Parser, text: str) -> None:
    """``--pdk NAME``, one kit; ``text`` is its help."""
    parser.add_argument("--pdk", proposal="kit", metavar="NAME", help=text)


def add_launch_powers(parser: Parser, metavar: str, text: str) -> None:
    """Add ``--launch-power-dbm``, of one launch power or of several."""
    parser.add_argument("--launch-power-dbm", type=launch_powers_dbm, metavar=metavar, help=text)


def add_seed(parser: Parser) -> None:
    """``--seed``, in place of the configuration's."""
    parser.add_argument("--seed", type=seed, help="default: the configuration's")


def add_device(parser: Parser) -> None:
    """``--device``, of torch."""
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="where to learn, as torch names it"
    )


def add_lanes(parser: Parser) -> None:
    """``--lanes``, in place of the configuration's."""
    parser.add_argument(
        "--lanes", type=positive, help="samples per clock (default: the configuration's)"
    )


def add_filters(parser: Parser) -> None:
    """``--filters`` and ``--pipeline``: how filters are built, and where they have registers."""
    parser.add_argument(
        "--filters",
        choices=("reconfigurable", "hardwired"),
        default="reconfigurable",
        help="taps in registers, or in the logic (default: reconfigurable)",
    )
    add_pipeline(parser)


def add_pipeline(parser: Parser) -> None:
    """``--pipeline``: where blocks have registers."""
    parser.add_argument(
        "--pipeline",
        metavar="CUTS",
        help="registers other than the usual: filter.after_multiplier=1,rotation.after_kerr=1",
    )


def add_workplace(parser: Parser, work: str) -> None:
    """``--cluster``, ``--workers`` and ``--slurm``: where ``work`` is done."""
    parser.add_argument(
        "--cluster",
        default="local",
        metavar="WHERE",
        help=f"of {work}: local (default), slurm, or tcp://HOST:PORT (Dask)",
    )
    parser.add_argument(
        "--workers",
        type=workers,
        metavar="N",
        help="processes or Slurm jobs (default: one a core, one job)",
    )
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"how jobs are asked for: {', '.join(SLURM_KEYS)}; or a TOML file of them; may be "
        "repeated",
    )


def slurm_settings(options: argparse.Namespace) -> Any:
    """What ``--slurm`` says, as `dbp.evaluation.slurm.Settings`; `InputError` without Slurm."""
    from dbp.evaluation import slurm

    if options.slurm and options.cluster != "slurm":
        raise InputError("--slurm: is for --cluster slurm")
    return slurm.settings(options.slurm)
