"""The picture of a layout: what is read of DEF and LEF, whose each cell is, and what is drawn."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
from helpers import TINY_LIB

from dbp.cli import main
from dbp.errors import InputError
from dbp.synthesis.layout import def_file, lef, owners, picture
from dbp.synthesis.layout.owners import Owner

KITS = os.environ.get("DBP_PDK_ROOT")
REFERENCE = os.environ.get("DBP_REFERENCE_ROOT") or (KITS and str(Path(KITS).parent / "reference"))
ROUTED = Path(REFERENCE or "") / "layout" / "nangate45_hardwired_2_lanes" / "routed.def.gz"
NANGATE = Path(KITS or "") / "nangate45"

LEF = """VERSION 5.8 ; # cells
MACRO NAND2
  CLASS CORE ;
  SIZE 1 BY 2 ;
  PIN A DIRECTION INPUT ;
  END A
  PIN Y
    DIRECTION OUTPUT TRISTATE ;
  END Y
END NAND2
MACRO DFF
  SIZE 4 BY 2 ;
  PIN Q
    DIRECTION OUTPUT ;
  END Q
END DFF
MACRO BUF
  SIZE 1.5 BY 2 ;
  PIN Y
    DIRECTION OUTPUT ;
  END Y
END BUF
MACRO FILL
  SIZE 1 BY 2 ;
END FILL
END LIBRARY
"""
# As OpenROAD writes it; names are escaped, a coordinate may be `*`.
DEF = r"""VERSION 5.8 ;
DIVIDERCHAR "/" ;
BUSBITCHARS "[]" ;
DESIGN m ;
UNITS DISTANCE MICRONS 2000 ;
PROPERTYDEFINITIONS
    DESIGN note STRING "a ; in quotes" ;
END PROPERTYDEFINITIONS
DIEAREA ( 0 0 ) ( 40000 20000 ) ;
ROW ROW_0 site 0 0 N DO 20 BY 1 STEP 2000 0 ;
VIAS 1 ;
    - via1_2 + RECT metal1 ( -1 -1 ) ( 1 1 ) ;
END VIAS
COMPONENTS 10 ;
    - r0 DFF + PLACED ( 2000 4000 ) N ;
    - r1 DFF + SOURCE TIMING + FIXED ( 20000 4000 ) FE ;
    - g0 NAND2 + PLACED ( 10000 4000 ) FS ;
    - g1 NAND2 + PLACED ( 12000 4000 ) N ;
    - both NAND2 + PLACED ( 14000 4000 ) N ;
    - kept DFF + PLACED ( 2000 8000 ) S ;
    - out DFF + PLACED ( 16000 8000 ) N ;
    - clkbuf_0 BUF + PLACED ( 30000 8000 ) N ;
    - FILLER_0 FILL + SOURCE DIST + PLACED ( 36000 4000 ) N ;
    - lost NAND2 + UNPLACED ;
END COMPONENTS
PINS 3 ;
    - clk + NET clk + DIRECTION INPUT + USE SIGNAL
      + PORT
        + LAYER metal2 ( -70 -70 ) ( 70 70 )
        + PLACED ( 0 10000 ) N ;
    - d + NET d + DIRECTION INPUT + USE SIGNAL ;
    - out_i[1] + NET out_i[1] + DIRECTION OUTPUT + USE SIGNAL + PLACED ( 40000 10000 ) N ;
END PINS
SPECIALNETS 1 ;
    - VDD ( * VDD ) + USE POWER
      + ROUTED metal7 2800 + SHAPE STRIPE ( 2000 18000 ) ( 30000 * )
      NEW metal1 340 + SHAPE FOLLOWPIN ( 0 4000 ) ( 40000 4000 )
      NEW metal4 0 + SHAPE STRIPE ( 2000 18000 ) via1_2 ;
END SPECIALNETS
NETS 8 ;
    - clk ( PIN clk ) ( clkbuf_0 A ) + USE SIGNAL
      + ROUTED metal1 ( 1 2 ) via1_2 ( * 5 ) ;
    - clknet_0 ( r0 CK ) ( r1 CK ) ( kept CK ) ( out CK ) ( clkbuf_0 Y ) + USE SIGNAL ;
    - filter.lane_0.sum_3\[0\] ( r0 Q ) ( both A ) + USE SIGNAL ;
    - rotation.magnitude_1\[2\] ( r1 Q ) ( both B ) + USE SIGNAL ;
    - _001_ ( g0 Y ) ( r0 D ) ( kept D ) + USE SIGNAL ;
    - _002_ ( g1 Y ) ( g0 A ) ( r1 D ) ( out D ) + USE SIGNAL ;
    - filter.history_i\[7\] ( kept Q ) ( g0 B ) + USE SIGNAL ;
    - out_i[1] ( PIN out_i[1] ) ( out Q ) + USE SIGNAL ;
END NETS
END DESIGN
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "m.def").write_text(DEF)
    (tmp_path / "m.lef").write_text(LEF)
    return tmp_path


def placed(files):
    return picture.Placed.read(files / "m.def", [files / "m.lef"])


def test_a_def_is_read_in_um(files):
    layout = def_file.read(files / "m.def")
    assert layout.design == "m" and layout.die_um == ((0, 0), (20, 10))
    assert layout.components["r1"] == def_file.Component("DFF", (10, 2), True)
    assert layout.components["lost"].at_um is None
    assert layout.ports == {"clk": (0, 5), "out_i[1]": (20, 5)}
    (strap,) = layout.straps
    assert strap == def_file.Strap("metal7", 1.4, (1, 9), (15, 9))
    assert layout.nets["filter.history_i[7]"] == (("kept", "Q"), ("g0", "B"))


def test_every_cell_is_of_the_lane_that_the_names_of_its_nets_tell(files):
    found = placed(files)
    of_cell = owners.of_cells(found.layout, found.macros)
    assert of_cell == {
        "r0": Owner("filter", 0),
        "r1": Owner("rotation", 1),
        # Nameless gates are of all that they drive: g0 of lane 0 and the history.
        "g0": Owner(owners.SHARED),
        "g1": Owner(owners.SHARED),
        "both": Owner(owners.SHARED),
        "kept": Owner(owners.HISTORY),
        # Two lanes, two bits: the upper bit is lane 1's, from the last block of the step.
        "out": Owner("rotation", 1),
        "clkbuf_0": Owner(owners.CLOCK),
    }


def test_the_picture_has_the_cells_where_they_lie(files):
    root = ElementTree.fromstring(placed(files).draw("m"))
    space = "{http://www.w3.org/2000/svg}"
    paths = [path.get("d") for path in root.iter(f"{space}path")]
    # r1 is turned: 2 um wide and 4 um high, with a gap of a fourteenth around it.
    assert any("M10143 2143h1714v3714h-1714z" in path for path in paths)
    # No filler, and nothing of a cell without a place.
    assert sum(path.count("z") for path in paths) == 1 + 8 - 1 + 1 + 2
    words = [text.text for text in root.iter(f"{space}text")]
    area = {"r0": 8, "r1": 8, "out": 8, "kept": 8, "clk": 3, "shared": 6}
    assert f"lane 0, filter  {100 * 8 / sum(area.values()):.0f} %" in words
    assert f"lane 1, rotation  {100 * 16 / sum(area.values()):.0f} %" in words
    assert "20 µm by 10 µm" in words and "5 µm" in words


def test_cells_that_touch_are_one_where_there_are_very_many(files, monkeypatch):
    single = placed(files).draw("m")
    monkeypatch.setattr(picture, "SINGLE_CELLS", 1)
    # g0, g1 and `both` are shared and touch, two by two; nothing else does.
    assert placed(files).draw("m").count("z") == single.count("z") - 2


def test_many_lanes_share_the_colours_and_a_line_of_the_legend(files):
    lanes = {Owner("filter", lane): [picture.Box(0, 0, 1, 1)] for lane in range(13)}
    words = [words for _, words in picture._legend(lanes)]
    assert words[0] == "lanes 0, 6, …: filters  23 %"
    assert words[1] == "lanes 1, 7: filters  15 %" and len(words) == 6


def luminance(colour):
    """The relative luminance of WCAG 2."""
    linear = (
        c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4
        for c in bytes.fromhex(colour[1:])
    )
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_no_colour_sinks_into_a_dark_page():
    _, dark = picture.STYLE.split("dark)")
    (ground,) = re.findall(r"\.die{fill:(#\w{6})", dark)
    parts = [Owner(part, lane) for part in ("filter", "rotation") for lane in range(6)]
    parts += [Owner(part) for part in picture.PARTS]
    for owner in parts:
        kind = picture.CLASSES.get(owner.part, "none")
        own = re.findall(rf"\.{kind}{{fill:(#\w{{6}})", dark)
        colour = (own or [picture._colour(owner)])[0]
        assert (luminance(colour) + 0.05) / (luminance(ground) + 0.05) > 2.8, owner


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("END DESIGN", "", r"only part of a DEF file: it has no END DESIGN"),
        ("NETS 8", "NETS 9", r"only part of a DEF file: NETS 9, of which 8"),
        ("( 10000 4000 ) FS", "( 10000 4000 ) X", r"line 17: orientation X: must be one of N, S"),
        ("( 10000 4000 ) FS", "( 10000 y ) FS", r"line 17: cannot be read: '- g0"),
        ("- g1 NAND2", "- g0 NAND2", r"line 18: component g0: it is there twice"),
        ("- _002_ (", "- _001_ (", r"net _001_: it is there twice"),
        ("UNITS DISTANCE MICRONS 2000 ;", "", r"must come after UNITS"),
        ("DIEAREA ( 0 0 ) ( 40000 20000 ) ;", "", r"no DEF of a layout: must have UNITS"),
        ("( 40000 20000 ) ;", "( 0 20000 ) ;", r"DIEAREA 0 by 10 um: must be above 0"),
        ("- g1 NAND2", "- g1 NOR2", r"component g1: cell NOR2: has no MACRO in the LEF"),
        ("DESIGN m ;", "DESIGN k ;", r"m\.def: DESIGN k: must be m, as the netlist"),
        ("+ PLACED (", "+ UNPLACED (", r"no component is placed"),
    ],
)
def test_a_def_that_does_not_fit_is_refused(files, old, new, complaint):
    text = DEF.replace("FIXED", "PLACED") if "UNPLACED" in new else DEF
    assert old in text
    (files / "m.def").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=complaint):
        placed(files).draw("m")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("SIZE 1 BY 2", "SIZE 1 BY 0", r"m\.lef: line 4: MACRO NAND2: must have SIZE width BY"),
        ("  SIZE 1.5 BY 2 ;\n", "", r"MACRO BUF: must have SIZE"),
        ("END FILL\n", "", r"only part of a LEF file: MACRO FILL has no END"),
        (LEF, "VERSION 5.8 ;\n", r"no LEF of cells: no MACRO"),
    ],
)
def test_a_lef_that_does_not_fit_is_refused(files, old, new, complaint):
    assert old in LEF
    (files / "m.lef").write_text(LEF.replace(old, new))
    with pytest.raises(InputError, match=complaint):
        lef.read([files / "m.lef"])


def test_dbp_power_draws_the_layout_of_a_netlist(files, capsys):
    verilog = "module m (d, q); input d; output q; NAND2 g0 (.A(d), .B(d), .Y(q)); endmodule"
    (files / "m.v").write_text(verilog)
    (files / "a.csv").write_text("net,toggles_per_clock,static_probability\nd,.5,.5\nq,.5,.5\n")
    command = ["power", "--netlist", str(files / "m.v"), "--activity", str(files / "a.csv")]
    command += ["--liberty", str(TINY_LIB), "--clock-mhz", "100", "--out", str(files / "out")]
    command += ["--wire-load", "none"]
    drawing = ["--def", str(files / "m.def"), "--lef", str(files / "m.lef")]
    assert main([*command, *drawing]) == 0
    assert (files / "out" / "layout.svg").read_text().startswith("<svg")
    assert main(command) == 0
    # No picture of an earlier call beside later figures.
    assert not (files / "out" / "layout.svg").exists()
    capsys.readouterr()
    for options, complaint in (
        (drawing[:2], "needs the sizes of its cells: add --lef FILE"),
        (drawing[2:], "must come with a layout, --def FILE"),
    ):
        assert main([*command, *options]) == 2
        assert complaint in capsys.readouterr().err


@pytest.mark.skipif(
    not (ROUTED.is_file() and NANGATE.is_dir()),
    reason="needs nangate45 and a layout by OpenROAD in layout/ of DBP_REFERENCE_ROOT",
)
def test_a_layout_of_openroad_has_two_lanes_alike_and_its_clock_tree():
    layout = def_file.read(ROUTED)
    macros = lef.read(sorted(NANGATE.glob("*.lef.gz")))
    counts = Counter(owners.of_cells(layout, macros).values())
    # 82 buffers and 71 loads that balance them.
    assert counts[Owner(owners.CLOCK)] == 153
    assert counts[Owner("filter", 0)] == counts[Owner("filter", 1)] == 950
    assert counts[Owner("rotation", 0)] == pytest.approx(counts[Owner("rotation", 1)], rel=0.01)
    # Of 4,909 cells the names of nets leave ten without a lane or a part.
    assert sum(counts.values()) == 4909 and counts[Owner(owners.SHARED)] <= 10
    assert not re.search("FILL|TAP", " ".join(owners.of_cells(layout, macros)))
