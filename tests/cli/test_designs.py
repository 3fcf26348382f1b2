"""The shipped designs and their figures: of these very designs, and the same as in the docs."""

import re
from pathlib import Path

import pytest

from dbp.cli import designs as command
from dbp.comparison import merit
from dbp.datapath import shipped
from dbp.datapath.complexity import complexity

ROOT = Path(__file__).parents[2]
DESIGNS = shipped.designs()
FIGURES = shipped.figures()
# Counted with three times the errors at other launch powers, as the page says.
COUNTED_OTHERWISE = {"lsco-tuned-c9-s9", "enhanced-c5-s9"}


def test_every_design_has_figures_of_its_own():
    assert list(FIGURES) == list(DESIGNS)
    for name, figures in FIGURES.items():
        assert figures.design_hash == DESIGNS[name].hash
        assert figures.ber == pytest.approx(figures.errors / figures.bits, rel=1e-12)
        assert figures.ber < figures.ber_high
        assert figures.ber_low < figures.ber or figures.errors == figures.ber_low == 0
        assert (figures.receiver_power_w is None) == (figures.receiver_area_mm2 is None)


def tables(text):
    """Each row of the tables of a page on designs: its name, and its cells by header."""
    header = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| design |"):
            header = cells
        elif match := re.match(r"\| `([^`]+)`", line):
            if header and len(cells) == len(header) and match[1] in DESIGNS:
                yield match[1], dict(zip(header, cells, strict=True))
        elif not line.startswith("|"):
            header = []


def half_symbol_bits(design):
    return float(complexity(design).multiplier_bits * design.samples_per_symbol / 2)


def expected(name, header):
    """What a table says of a design under a header, as a text; None for what is not kept here."""
    design, figures = DESIGNS[name], FIGURES[name]
    formats = merit.filters_of(design)
    found = {
        "samples": f"{design.samples_per_symbol}",
        "taps": f"{formats['taps']}",
        "bits": merit.formats(design),
        "BER": f"{figures.ber:.1e}",
        "multiplier bits per sample": f"{complexity(design).multiplier_bits:,}",
        "multiplier bits per half symbol": f"{half_symbol_bits(design):,.0f}",
    }
    if figures.receiver_power_w is not None:
        found["W"], found["mm2"] = f"{figures.receiver_power_w}", f"{figures.receiver_area_mm2}"
        found["reconfigurable: W, mm2, pJ/bit"] = f"{found['W']}, {found['mm2']}"
    if name not in COUNTED_OTHERWISE:
        ber = f"{figures.ber:.1e}".replace("e-0", "e-") if figures.errors else "0"
        found["best BER (95 % interval)"] = ber
    return found.get(header)


def test_figures_are_those_of_the_docs():
    compared = []
    pages = [ROOT / "docs" / "results" / page for page in ("paper.md", "fewer_watts.md")]
    howtos = ("two_polarisations.md", "public_recordings.md")
    pages += [ROOT / "docs" / "howto" / page for page in howtos]
    for name, row in (row for page in pages for row in tables(page.read_text())):
        for header, cell in row.items():
            if (value := expected(name, header)) is not None:
                assert cell == value or cell.startswith((f"{value},", f"{value} ")), (name, header)
                compared.append((name, header))
    assert len(compared) >= 50
    with_watts = {n for n, figures in FIGURES.items() if figures.receiver_power_w is not None}
    assert with_watts <= {name for name, header in compared if header.endswith(("W", "pJ/bit"))}


def test_the_table_shows_every_design_the_best_first(capsys):
    command.designs()
    out = capsys.readouterr().out
    header, *rows = command.table()
    others = [name for name in FIGURES if shipped.preset(name) != "paper"]
    of_paper = sorted(set(FIGURES) - set(others), key=lambda name: FIGURES[name].ber)
    assert others == ["dual-c6-s9", "labptptm1-c6-s9", "labptptm2-c6-s9"]
    assert [row[0] for row in rows] == of_paper + others
    best = dict(zip(header, rows[0], strict=True))
    name = rows[0][0]
    design, figures = DESIGNS[name], FIGURES[name]
    assert best == {
        "design": name,
        "samples": f"{design.samples_per_symbol}",
        "taps": f"{design.filters[0].taps}",
        "bits": merit.formats(design),
        "BER": f"{figures.ber:.1e}",
        "95 % interval": f"{figures.ber_low:.1e} .. {figures.ber_high:.1e}",
        "at dBm": f"{figures.launch_power_dbm:+g}",
        "mult. bits": f"{half_symbol_bits(design):,.0f}",
        "W": "-" if figures.receiver_power_w is None else f"{figures.receiver_power_w}",
    }
    assert all(len(line) <= 100 for line in out.splitlines())
    assert "compare ratios, not watts" in out
    for page in re.findall(r"docs/\S+\.md", out):
        assert (ROOT / page).is_file()
