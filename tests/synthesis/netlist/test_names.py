r"""Names of nets: ``\d[1] `` is one, bit 1 of d is another, in every file that holds either."""

from __future__ import annotations

import pytest
from helpers import TINY_LIB

from dbp.errors import InputError
from dbp.synthesis import netlist
from dbp.synthesis.power.cost_netlist import cost_power

TWO = r"""module m (d, \d[1] , y, z);
  input [1:0] d; input \d[1] ; output y, z;
  INV u1 (.A(d[1]), .Y(y));
  INV u2 (.A(\d[1] ), .Y(z));
endmodule
"""
# The same without names that can be mistaken. One clock is 10 ns, the file 40 ns.
APART = TWO.replace(r"\d[1] ", "e")
TOGGLES = {"d[0]": 0, "d[1]": 1, "e": 3, "y": 1, "z": 3}


def table(name):
    rows = [f"{name if net == 'e' else net},{toggles / 4},0.5" for net, toggles in TOGGLES.items()]
    return "\n".join(["net,toggles_per_clock,static_probability", *rows, ""])


def saif(name):
    nets = "".join(
        f"({name if net == 'e' else net.replace('[', chr(92) + '[').replace(']', chr(92) + ']')} "
        f"(T0 20) (T1 20) (TC {toggles}))"
        for net, toggles in TOGGLES.items()
    )
    return f"(SAIFILE (TIMESCALE 1 ns) (DURATION 40) (INSTANCE tb (INSTANCE m (NET {nets}))))"


def vcd(name):
    changes = {0: "b00 ! 0# 0$ 0%", 10: "1# 1%", 20: "b10 ! 1$ 0# 0%", 30: "1# 1%", 40: ""}
    return (
        f"$timescale 1ns $end $scope module m $end $var wire 2 ! d [1:0] $end\n"
        f"$var wire 1 # {name} $end $var wire 1 $ y $end $var wire 1 % z $end\n"
        "$upscope $end $enddefinitions $end\n"
        + "\n".join(f"#{time} {words}" for time, words in changes.items())
    )


@pytest.fixture
def watts(tmp_path):
    def cost(text, rates, kind):
        (tmp_path / "m.v").write_text(text)
        (tmp_path / f"a.{kind}").write_text(rates)
        found = cost_power(
            tmp_path / "m.v", tmp_path / f"a.{kind}", [TINY_LIB], 100.0, tmp_path / "out"
        )
        return found.power_w

    return cost


@pytest.mark.parametrize(
    ("kind", "file", "names"),
    [
        ("csv", table, [r"\d[1]", r"\d[1] "]),
        ("saif", saif, [r"\\d\[1\]", r"\\d[1]", r'"\\d[1]"', r"\\d\[1\]\ "]),
        # Icarus writes the backslash; others leave it out, but then the vector has a range.
        ("vcd", vcd, [r"\d[1]", r"d[1]"]),
    ],
)
def test_an_escaped_name_is_no_bit(watts, kind, file, names):
    """Three toggles of one inverter and one of the other, never twice the same."""
    apart = watts(APART, file("e"), kind)
    # Each output drives 1 fF of wire at 1 V.
    assert apart.switching == pytest.approx(0.5e-15 * (1 + 3) / 40e-9)
    for name in names:
        assert watts(TWO, file(name), kind) == apart


def test_files_that_have_one_of_the_two_lack_the_other(watts):
    with pytest.raises(InputError, match=r"1 nets have none in .*, \\d\[1\] the first"):
        watts(TWO, table("e"), "csv")
    with pytest.raises(InputError, match=r"net d\[1\]: listed twice, with different counts"):
        watts(TWO, saif(r"d\[1\]"), "saif")


def test_two_variables_of_one_name_must_agree(watts):
    text = vcd("d[1]").replace("2 ! d [1:0]", "1 ! d[1]")
    text = (
        text.replace("b00 !", "0!")
        .replace("b10 !", "1!")
        .replace("y $end", "y $end $var wire 1 + d[0] $end")
    )
    text = text.replace("#0 ", "#0 0+ ")
    with pytest.raises(InputError, match=r"net d\[1\]: two variables have this name, and differ"):
        watts(TWO, text, "vcd")


def test_a_name_that_cannot_be_mistaken_goes_without_its_backslash():
    r"""What our own files have always called ``filter.y[3]`` is that still."""
    design = netlist.parse(TWO.replace("[1:0] d", "[7:4] d").replace("A(d[1])", "A(d[4])"))
    assert design.instances[1].nets["A"] == "d[1]"
    assert design.spellings("d[1]") == (r"\d[1]", "d[1]")
    assert netlist.parse(TWO).instances[1].nets["A"] == r"\d[1]"


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        # The vector is no port; the escaped name has a range of its own; a constant's name.
        TWO.replace("m (d,", "m (").replace("input [1:0] d", "wire [1:0] d"),
        TWO.replace(r"input \d[1] ", r"input [1:0] \d[1] ").replace(r"A(\d[1] )", r"A(\d[1] [0])"),
        TWO.replace(r"\d[1]", r"\1'b0"),
        TWO.replace(r"\d[1]", r"\wire").replace("u1", r"\endmodule ").replace("u2", r"\u/a.b[2] "),
        TWO.replace("u1", "u[1:1]").replace("u2", r"\u[1] "),
    ],
)
def test_what_is_written_is_read_again(tmp_path, text):
    design = netlist.parse(text)
    assert len(set(design.nets)) == len(design.nets)
    nets = {net for i in design.instances for net in i.nets.values()}
    assert len(nets) == 4 and len({i.name for i in design.instances}) == 2
    netlist.write(design, tmp_path / "m.v")
    again = netlist.read(tmp_path / "m.v")
    assert again == design
    assert [i.nets for i in again.instances] == [i.nets for i in design.instances]


def test_a_port_that_leads_nowhere_is_not_mistaken_in_writing_either(tmp_path):
    design = netlist.parse(
        r"module m (\a[1] , y); input \a[1] ; output y; INV u (.A(a[1]), .Y(y)); endmodule"
    )
    netlist.write(design, tmp_path / "m.v")
    assert netlist.read(tmp_path / "m.v") == design


# A one-bit vector, and files of tools that leave its index out.
ONE = "module m (a, y); input [0:0] a; output [0:0] y; INV u (.A(a), .Y(y)); endmodule\n"
SCALAR = ONE.replace("[0:0] ", "")


@pytest.mark.parametrize("text", [ONE, SCALAR, ONE.replace("[0:0] a", "[5:5] a")])
@pytest.mark.parametrize("a", ["a", "a[0]", "a [0:0]", "a [0]", "a[0:0]", "a [3:3]"])
def test_a_vector_of_one_bit_may_go_without_its_index(watts, text, a):
    """The files of Icarus and Verilator leave it out where Yosys has it, and the reverse."""
    dump = (
        f"$timescale 1ns $end $scope module m $end $var wire 1 ! {a} $end $var wire 1 # y $end\n"
        "$upscope $end $enddefinitions $end\n#0 0! 1#\n#20 1! 0#\n#40"
    )
    plain = "net,toggles_per_clock,static_probability\na,0.25,0.5\ny,0.25,0.5\n"
    expected = watts(SCALAR, plain, "csv")
    found = watts(text, dump, "vcd")
    assert found.total == pytest.approx(expected.total, rel=1e-12)
    if " " in a or ":" in a or (a == "a[0]" and "[5:5]" in text):
        return
    assert watts(text, plain.replace("a,", f"{a},"), "csv") == expected
    listed = f"({a.replace('[', chr(92) + '[')} (T0 20) (T1 20) (TC 1)) (y (T0 20) (T1 20) (TC 1))"
    # As Verilator writes it, with a comment first.
    report = (
        "// of Verilator\n(SAIFILE (DIVIDER / ) (TIMESCALE 1ns) (DURATION 40) /* x */\n"
        f"(INSTANCE m (NET {listed})))"
    )
    assert watts(text, report, "saif") == expected


def test_a_net_is_known_by_the_names_that_are_assigned_from_it(watts):
    text = """module m (a, y); input a; output y; wire n, k;
      INV u (.A(a), .Y(n)); INV v (.A(k)); assign k = n, y = k; endmodule"""
    rows = "net,toggles_per_clock,static_probability\na,0.25,0.5\n{},0.5,0.25\n"
    first, *others = (watts(text, rows.format(net), "csv") for net in ("n", "k", "y"))
    assert others == [first, first]
