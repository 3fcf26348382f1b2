"""SPEF: what is read, in which spellings, and what is refused."""

import gzip

import pytest

from dbp.errors import InputError
from dbp.synthesis.netlist import spef

HEADER = """*SPEF "IEEE 1481-1998"
*DESIGN "top" // a comment
*DESIGN_FLOW "PIN_CAP NONE"
*DIVIDER /
*DELIMITER :
*T_UNIT 1 PS
*C_UNIT 1.0 FF
*R_UNIT 1 KOHM
"""
BODY = """
*NAME_MAP
*1 a\\[0\\]
*2 u_1
/* more
   than one line */
*PORTS
*1 I
*D_NET *1 3.5 *V 1
*CONN
*P *1 I
*I *2:A I *C 1 2 *D BUF
*CAP
1 *1 1
2 *2:A 0.5:1:1.5 *SC 1:2
3 *2:A other:7 1.5
*RES
1 *1 *2:A 0.1
*END
*D_NET plain 0
*END
"""


def read(tmp_path, text, name="wires.spef"):
    (tmp_path / name).write_text(text)
    return spef.read(tmp_path / name)


def test_a_net_has_the_sum_of_its_capacitors_coupling_in_full(tmp_path):
    wires = read(tmp_path, HEADER + BODY)
    assert wires.farads == {"a[0]": pytest.approx(3.5e-15), "plain": 0.0}
    assert wires.capacitance_f("\\a[0]") == pytest.approx(3.5e-15)
    assert wires.capacitance_f("unknown") == 0
    assert wires.design == "top"
    assert not wires.pins_included


@pytest.mark.parametrize(
    ("old", "new", "farads"),
    [
        ("*C_UNIT 1.0 FF", "*C_UNIT 1 PF", 3.5e-12),
        ("*C_UNIT 1.0 FF", "*c_unit 10 fF", 3.5e-14),
        ("*D_NET *1 3.5 *V 1", "*D_NET a\\[0\\] 3.5", 3.5e-15),
    ],
)
def test_other_spellings(tmp_path, old, new, farads):
    assert read(tmp_path, (HEADER + BODY).replace(old, new)).capacitance_f("a[0]") == (
        pytest.approx(farads)
    )


def test_packed_and_with_pins(tmp_path):
    text = (HEADER + BODY).replace("PIN_CAP NONE", "PIN_CAP INPUT_OUTPUT_CAPS")
    (tmp_path / "w.spef.gz").write_bytes(gzip.compress(text.encode()))
    assert spef.read(tmp_path / "w.spef.gz").pins_included


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("*C_UNIT 1.0 FF\n", "", r"line \d+: no \*C_UNIT before the first \*D_NET"),
        ("1.0 FF", "1.0 XF", r"line 7: \*C_UNIT 1.0 XF: must be .* FF, PF"),
        ("1.0 FF", "many FF", "line 7: cannot be read: '.C_UNIT many FF'"),
        ("2 *2:A 0.5:1:1.5", "2 *7:A 1", r"line \d+: \*7: not in \*NAME_MAP"),
        ("1 *1 1\n", "1 *1 one\n", r"line \d+: cannot be read: '1 \*1 one'"),
        ("1 *1 1\n", "1 *1 -1\n", r"cannot be read"),
        ("*D_NET plain 0\n*END\n", "*D_NET plain 0\n", r"only part of a SPEF file: .*plain"),
        ("*END\n*D_NET plain", "*D_NET plain", r"\*D_NET a\[0\] has no \*END before the next"),
        ("*D_NET plain", "*D_NET *1", r"\*D_NET a\[0\]: it is there twice"),
        ("*D_NET plain", "*R_NET plain", r"\*R_NET: reduced wires are not read"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, old, new, complaint):
    text = HEADER + BODY
    assert old in text
    with pytest.raises(InputError, match=complaint) as error:
        read(tmp_path, text.replace(old, new))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "module top; endmodule\n", "\x00\x01"])
def test_what_is_no_spef(tmp_path, text):
    with pytest.raises(InputError, match=r"no SPEF file: it has no \*D_NET"):
        read(tmp_path, text)


def test_a_broken_archive_and_no_file(tmp_path):
    (tmp_path / "w.spef.gz").write_bytes(gzip.compress(b"*SPEF" * 999)[:30])
    for name in ("w.spef.gz", "none.spef"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            spef.read(tmp_path / name)
