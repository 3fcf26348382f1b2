"""Write the data files: see the package."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dbp.support.files import write_text
from dbp.synthesis.cells import wire_load
from dbp.synthesis.cells.make_predictive28.derive import KitFigures, derive
from dbp.synthesis.cells.make_predictive28.table import LIBERTY, SOURCES, read_table, write_table
from dbp.synthesis.cells.make_predictive28.write_liberty import liberty


def main(arguments: Sequence[str]) -> None:
    """Write the Liberty files, and with ``--from-kits`` the table before them."""
    if list(arguments) == ["--from-kits"]:
        write_table(derive(*(KitFigures(name) for name in SOURCES)))
    elif arguments:
        raise SystemExit("usage: python -m dbp.synthesis.cells.make_predictive28 [--from-kits]")
    write_text(LIBERTY, liberty(read_table()))
    for name in wire_load.WIRES:
        write_text(wire_load.DATA / f"{name}_wires.lib", wire_load.liberty(name))


if __name__ == "__main__":
    main(sys.argv[1:])
