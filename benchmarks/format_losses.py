"""Measure what each format of a learned receiver costs, apart from its taps.

    python benchmarks/format_losses.py RUN --launch-power-dbm 1 taylor_order=1 branch_bits=5,...

The filters in floating point of a run of ``dbp train`` are rounded to 10-bit taps and to the
formats of the run, with the changes of each argument. Nothing is learned anew, and rows differ in
formats only. A row takes ten seconds of processor.
"""

import argparse
from pathlib import Path

import dbp
from dbp import config
from dbp.learning.export import export
from dbp.learning.float_filters import FloatFilters
from dbp.support.files import read_npz

TAP_BITS = 10


def rounded(settings, floats, changes):
    """The design with other formats; ``changes``: keys of ``[datapath]``, or signal_bits."""
    learned = settings.learned.model_copy(
        update={
            "coefficient_bits": TAP_BITS,
            **{key: changes[key] for key in ("signal_bits",) if key in changes},
        }
    )
    others = {key: value for key, value in changes.items() if key != "signal_bits"}
    exported = export(floats, learned, settings.datapath.model_copy(update=others))
    return dbp.Design.from_json(exported.to_json())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("changes", nargs="*", help="KEY=VALUE,KEY=VALUE: a row for each argument")
    parser.add_argument("--launch-power-dbm", type=float, default=1.0)
    parser.add_argument("--symbols", type=int, default=131_072)
    options = parser.parse_intermixed_args()
    settings = config.load(str(options.run / "config.toml"))
    floats = FloatFilters.from_arrays(read_npz(options.run / "train" / "float.npz"))
    link = dbp.Link(**settings.link.model_dump())
    received = link.transmit(
        launch_power_dbm=options.launch_power_dbm, symbols=options.symbols, seed=7
    )
    for text in ("", *options.changes):
        changes = {key: int(value) for key, value in (x.split("=") for x in text.split(",") if x)}
        design = rounded(settings, floats, changes)
        print(f"{text or 'as learned':50s} {dbp.measure(received, design.receive(received))}")


if __name__ == "__main__":
    main()
