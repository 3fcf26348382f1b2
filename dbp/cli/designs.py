"""``dbp designs``: the designs that come with the package, and what they reach."""

from __future__ import annotations

from dbp.comparison import merit
from dbp.datapath import shipped
from dbp.datapath.complexity import complexity
from dbp.support.text import aligned

NOTE = """\
Samples: per symbol. BER: at the best launch power, with the 95 % interval, on the paper's link, of
dual-* with both polarisations; of labptptm1-* and labptptm2-* on the links of these presets. W: a
whole receiver of the link's symbols at 416.7 MHz in nangate45, taps in registers, without layout:
compare ratios, not watts. Mult. bits: of multipliers, for half a symbol through the whole chain. Of
dual-* and labptptm* W and bits are of both polarisations. Where all this is from:
docs/reference/shipped_designs.md."""


def designs() -> None:
    """Print a table of the shipped designs, and what its figures mean."""
    print(aligned(table()), NOTE, sep="\n\n")


def table() -> list[list[str]]:
    """Return the header and a row for each shipped design, the best of the paper's link first.

    Those of other links follow, link by link.
    """
    figures = shipped.figures()
    header = "design", "samples", "taps", "bits", "BER", "95 % interval", "at dBm"
    rows = [[*header, "mult. bits", "W"]]
    found = shipped.designs()

    def place(name: str) -> tuple[bool, str, float]:
        preset = shipped.preset(name)
        return preset != "paper", preset, figures[name].ber

    for name in sorted(found, key=place):
        design, figure = found[name], figures[name]
        watts = figure.receiver_power_w
        rows.append(
            [
                name,
                str(design.samples_per_symbol),
                merit.lengths(design),
                merit.formats(design),
                f"{figure.ber:.1e}",
                f"{figure.ber_low:.1e} .. {figure.ber_high:.1e}",
                f"{figure.launch_power_dbm:+g}",
                f"{float(complexity(design).multiplier_bits * design.samples_per_symbol / 2):,.0f}",
                "-" if watts is None else f"{watts:.1f}",
            ]
        )
    return rows
