"""Activity from SAIF and VCD: counts by hand, names, scopes, and files that are neither."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess

import pytest

from dbp.errors import InputError
from dbp.synthesis.activity import saif, vcd
from dbp.synthesis.activity.activity import Part, Window

PERIOD_S = 10e-9
NETS = ["clk", "a[1]", "a[0]", "filter.y[3]"]

# 40 ns, four clocks. clk toggles 8 times; a goes 00, 11, 01, x1, 11; filter.y[3] begins unknown.
VCD = """$date today $end
$comment clk is
  the clock $end
$timescale 1ns $end
$scope module bench $end
$var wire 1 ! clk $end
$var integer 32 & k $end
$var real 64 + level $end
$scope module dut $end
$var wire 1 ! clk $end
$var wire 2 # a [1:0] $end
$var wire 1 $ \\filter.y[3] $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
$dumpvars
0!
b0 #
x$
b0 &
$end
#5
1!
r1.5 +
#10
0!
b11 #
1$
#15
1!
#20
0!
b1 #
#25
1!
#30
0!
bx1 #
0$
#35
1!
b11 #
#40
0!
"""
TOGGLES = {"clk": 8 / 4, "a[1]": 3 / 4, "a[0]": 1 / 4, "filter.y[3]": 1 / 4}
AT_ONE = {"clk": 0.5, "a[1]": 15 / 35, "a[0]": 0.75, "filter.y[3]": 20 / 30}


def saif_text(**changes: str) -> str:
    text = r"""(SAIFILE (SAIFVERSION "2.0") (DIRECTION "backward") (DESIGN "x") (DATE "(today)")
      (DIVIDER / ) (TIMESCALE 1 ns) (DURATION 40.00)
      (INSTANCE bench
        (NET (clk (T0 20) (T1 20) (TX 0) (TC 8) (IG 0)))
        (INSTANCE "FIR" dut
          (PORT (clk (T0 20) (T1 20) (TX 0) (TC 8) (IG 0)))
          (NET
            (a\[1\] (T0 20) (T1 15) (TX 5) (TC 3) (IG 7))
            (a\[0\] (T0 10) (T1 30) (TX 0) (TC 1) (IG 0))
            (filter\.y\[3\] (T0 10) (T1 20) (TX 10) (TC 1) (IG 0))
            (TC (T0 1) (T1 1) (TC 0)) (DURATION (T0 1) (T1 1) (TC 0))))))"""
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        content = text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


@pytest.mark.parametrize("name", ["x.vcd", "x.vcd.gz"])
def test_vcd_by_hand(write, name):
    rates = vcd.read(write(name, VCD), NETS, PERIOD_S)
    assert rates.toggles_per_clock == pytest.approx(TOGGLES)
    assert rates.static_probability == pytest.approx(AT_ONE)


@pytest.mark.parametrize(
    "separated",
    [
        lambda body: body.replace("\n", " "),  # all on one line, with the end of the header
        lambda body: body.replace("\n", "\t \n\n"),
        lambda body: body.replace(" ", "\n"),  # a value and its identifier on two lines
        lambda body: body.replace("\n", "\r\n"),
        lambda body: re.sub(r"(#\d+)\n", r"\1 ", body),
        lambda body: body.replace("#15\n", "$comment 0! #99 $end #15\n"),
        lambda body: body.replace("#15\n", "$comment 0!\n#99\n$end\n#15\n"),
    ],
)
def test_any_white_space_separates_the_words_of_a_vcd(write, separated):
    head, end, body = VCD.partition("$enddefinitions $end")
    rates = vcd.read(write("x.vcd", head + end + separated(body)), NETS, PERIOD_S)
    assert rates.toggles_per_clock == pytest.approx(TOGGLES)
    assert rates.static_probability == pytest.approx(AT_ONE)


@pytest.mark.parametrize("code", ["#", "b", "$", "0", "r1", "#5", "$end1", "1~"])
def test_identifiers_are_of_any_printable_characters(write, code):
    text = VCD.replace("2 # a", "2 vector a").replace(" #\n", " vector\n")
    text = text.replace("1 $ \\", "1 other \\").replace("x$", "xother")
    text = text.replace("0$", "0other").replace("1$", "1other")
    text = text.replace("wire 1 !", f"wire 1 {code}")
    text = text.replace("0!", f"0{code}").replace("1!", f"1{code}")
    for body in (text, text.replace("\n#", " #")):
        rates = vcd.read(write("x.vcd", body), NETS, PERIOD_S)
        assert rates.toggles_per_clock == pytest.approx(TOGGLES)
        assert rates.static_probability == pytest.approx(AT_ONE)


def test_what_passes_while_the_dump_is_off_does_not_count(write):
    text = VCD.replace("#15\n1!\n", "#15\n1!\n$dumpoff\nx!\nbx #\nx$\n$end\n").replace(
        "#25\n1!\n", "#25\n$dumpon\n1!\nb1 #\n1$\n$end\n"
    )
    rates = vcd.read(write("x.vcd", text), NETS, PERIOD_S)
    # 30 ns, three clocks: clk rises at 5 and 15, falls at 10, 30 and 40, rises at 35.
    assert rates.toggles_per_clock["clk"] == pytest.approx(6 / 3)
    assert rates.static_probability["clk"] == pytest.approx(15 / 30)
    assert rates.toggles_per_clock["a[1]"] == pytest.approx((1 + 1) / 3)


@pytest.mark.parametrize("name", ["x.saif", "x.saif.gz"])
def test_saif_by_hand(write, name):
    rates = saif.read(write(name, saif_text()), NETS, PERIOD_S)
    assert rates.toggles_per_clock == pytest.approx(TOGGLES)
    assert rates.static_probability == pytest.approx(AT_ONE)


def test_half_the_period_is_half_the_toggles_a_clock(write):
    for read, path in ((vcd.read, write("x.vcd", VCD)), (saif.read, write("x.saif", saif_text()))):
        rates = read(path, NETS, PERIOD_S / 2)
        assert rates.toggles_per_clock["a[1]"] == pytest.approx(3 / 8)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("$timescale 1ns $end", "", "no .timescale"),
        ("1ns", "3ns", "timescale '3ns'"),
        ("$enddefinitions $end", "", "line 16: "),
        ("#20", "#2", "line {}: time 2 after 15"),
        ("#20", "#twenty", "line {}: '#twenty': no time"),
        ("b11 #", "b1q #", "line {}: '1q': no value"),
        ("1$", "hello", "line {}: 'hello': no value change"),
        ("1$", "1$ 1! hello", "line {}: 'hello': no value change"),
        ("#20", "#²", "line {}: '#.*': no time"),
        ("#20", "#" + "9" * 5000, "line {}: '#9+': no time"),
        ("1$", "$comment 1$", "line 44: .comment without .end"),
        ("#40\n0!\n", "#40\nb0\n", "line 44: 'b0' of no variable"),
        ("2 # a [1:0]", "² # a [1:0]", "must be 1.."),
        ("2 # a [1:0]", "3 # a [1:0]", "is not of size 3"),
        ("2 # a [1:0]", "99999999999 # a", "size '99999999999'"),
        ("1$\n", "x$\n", r"scope bench/dut: net filter.y\[3\]: is never 0 or 1"),
    ],
)
def test_a_broken_vcd_gets_one_line(write, old, new, complaint):
    path = write("x.vcd", VCD.replace(old, new).replace("\n0$\n", "\n"))
    line = VCD.count("\n", 0, VCD.index(old)) + 1
    with pytest.raises(InputError, match=complaint.format(line)) as caught:
        vcd.read(path, NETS, PERIOD_S)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("(DURATION 40.00)", "", "no DURATION"),
        ("1 ns", "1 year", "timescale '1year'"),
        ("(TC 3)", "(TC three)", "line 8: 'TC three': must be a number"),
        ("(T0 20) (T1 15)", "", r"instance bench/dut: net a\[1\]: needs TC"),
        ("(TC 3)", "", r"instance bench/dut: net a\[1\]: needs TC"),
        ("(TC 0))))))", "(TC 0)))))", "a '\\)' is missing"),
        ("(TC 0))))))", "(TC 0)))))))", "a '\\)' too many"),
        ("(SAIFILE", "SAIFILE (", "line 1: 'SAIFILE' outside"),
    ],
)
def test_a_broken_saif_gets_one_line(write, old, new, complaint):
    path = write("x.saif", saif_text(**{old: new}))
    with pytest.raises(InputError, match=complaint) as caught:
        saif.read(path, NETS, PERIOD_S)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [saif.read, vcd.read])
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b no gzip", b"\xff\xfe\x00", b"module x;", None])
def test_what_is_something_else_gets_one_line(tmp_path, read, content):
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path, NETS, PERIOD_S)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_another_design_is_refused(write):
    for read, path in ((vcd.read, write("x.vcd", VCD)), (saif.read, write("x.saif", saif_text()))):
        with pytest.raises(InputError, match="none of its 2 scopes has a net"):
            read(path, ["other"], PERIOD_S)


@pytest.mark.parametrize(
    "variable",
    [
        "parameter 0 zp P",
        "parameter 32 zp a",
        "real 64 zp a",
        "real 0 zp x",
        "realtime 64 zp x",
        "string 0 zp name",
        "string 0 zp",
        "wire 1 zp",
        "event 1 zp a",
        "wire 0 zp nothing",
        "reg 8388608 zp mem [8388607:0]",
        "reg 99999999999 zp mem",
        "reg 8 zp mem[3] [7:0]",
        "reg 8 zp mem[3]",
        "logic 8 zp struct.field [8:1]",
        "wire 3 zp odd [1:0]",
        "wire 4 zp odd [x:0]",
    ],
)
def test_variables_that_no_net_needs_are_passed_over(write, variable):
    for place in ("$scope module dut $end\n", "$var wire 1 $ \\filter.y[3] $end\n"):
        text = VCD.replace(place, f"{place}$var {variable} $end\n")
        text = text.replace("\n#15\n", "\n1zp\nb10 zp\nr2.5 zp\nshello zp\n#15\n")
        rates = vcd.read(write("x.vcd", text), NETS, PERIOD_S)
        assert rates.toggles_per_clock == pytest.approx(TOGGLES)
        assert rates.static_probability == pytest.approx(AT_ONE)


# Two copies of a net in scopes that a divider in a name could merge; b.y toggles twice.
TWINS = r"""$timescale 1ns $end
$scope module tb $end
$scope module a $end $scope module b $end
$var wire 1 ! y $end $var wire 1 ! x $end $upscope $end $upscope $end
$scope module \a/b $end $var wire 1 # y $end $upscope $end
$scope module c $end $scope module b $end $var wire 1 $ y $end $upscope $end $upscope $end
$upscope $end $enddefinitions $end
#0 0! 0# 0$
#10 1! 1# 1$
#20 0! 0#
#30 1#
#40
"""


@pytest.mark.parametrize(
    ("scope", "toggles"),
    [(None, 2), ("tb/c/b", 1), ("tb.c.b", 1), ("c/b", 1), ("c.b", 1), ("tb.a.b", 2), ("a.b", 2)],
)
def test_the_scope_is_chosen(write, scope, toggles):
    rates = vcd.read(write("x.vcd", TWINS), ["y", "x"], PERIOD_S, scope)
    assert rates.toggles_per_clock["y"] == pytest.approx(toggles / 4)
    assert rates.scope == ("tb/c/b" if toggles == 1 else "tb/a/b")


def test_a_scope_that_is_not_one_is_refused(write):
    path = write("x.vcd", TWINS)
    with pytest.raises(InputError, match=r"scope 'b': must be one, is tb/a/b, tb/a/b, tb/c/b"):
        vcd.read(path, ["y"], PERIOD_S, "b")
    with pytest.raises(InputError, match=r"scope 'z': must be in the file; .* in tb/a/b"):
        vcd.read(path, ["y"], PERIOD_S, "z")
    with pytest.raises(InputError, match=r"scope tb/c/b: has no net of the netlist"):
        vcd.read(path, ["x"], PERIOD_S, "tb/c/b")
    # Two instances of one path by / are two all the same.
    assert vcd.read(path, ["y"], PERIOD_S).toggles_per_clock["y"] == pytest.approx(2 / 4)


def test_the_scope_of_a_saif_is_chosen(write):
    path = write("x.saif", saif_text())
    assert saif.read(path, NETS, PERIOD_S).scope == "bench/dut"
    rates = saif.read(path, NETS, PERIOD_S, "bench")
    assert dict(rates.toggles_per_clock) == {"clk": 2.0} and rates.scope == "bench"
    with pytest.raises(InputError, match="scope 'other': must be in the file"):
        saif.read(path, NETS, PERIOD_S, "other")


@pytest.mark.parametrize(
    ("window", "clk", "high", "a"),
    [
        # clk rises at 5, 15 ..., falls at 10, 20 ...; a[1] rises at 10, falls at 20, rises at 35.
        ((10, 30), 4, 0.5, 2),
        ((10, 20), 2, 0.5, 1),
        ((20, 30), 2, 0.5, 1),
        ((0, 40), 7, 0.5, 3),
        ((7, 12), 1, 3 / 5, 1),
        ((6, 9), 0, 1.0, 0),
        ((9.5, 10.5), 1, 0.5, 1),
        ((30, 40), 2, 0.5, 1),
        ((None, 20), 3, 0.5, 1),
        ((20, None), 5, 0.5, 2),
    ],
)
def test_a_part_of_the_time_counts(write, window, clk, high, a):
    """Toggles, share of time at 1 of the clock, toggles of a[1], by hand."""
    part = Part(None, *window).window
    path = write("x.vcd", VCD.replace("\n0$\n", "\n").replace("x$", "0$"))
    rates = vcd.read(path, NETS, PERIOD_S, None, part)
    first, last = window[0] or 0, 40 if window[1] is None else window[1]
    clocks = (last - first) / 10
    assert rates.toggles_per_clock["clk"] * clocks == pytest.approx(clk)
    assert rates.static_probability["clk"] == pytest.approx(high)
    assert rates.toggles_per_clock["a[1]"] * clocks == pytest.approx(a)


def test_windows_side_by_side_add_up(write):
    path = write("x.vcd", VCD)
    whole = vcd.read(path, ["clk", "a[0]"], PERIOD_S, None, Window(0, 38e-9))
    for cut in (3e-9, 10e-9, 22.5e-9):
        parts = [
            (vcd.read(path, ["clk", "a[0]"], PERIOD_S, None, Window(a, b)), b - a)
            for a, b in ((0, cut), (cut, 38e-9))
        ]
        for of in ("toggles_per_clock", "static_probability"):
            for net in ("clk", "a[0]"):
                both = sum(getattr(rates, of)[net] * length for rates, length in parts)
                assert both == pytest.approx(getattr(whole, of)[net] * 38e-9)


def test_what_comes_after_the_window_is_not_read(write):
    path = write("x.vcd", VCD.replace("#30\n", "#30\nnonsense\n"))
    rates = vcd.read(path, ["clk"], PERIOD_S, None, Window(10e-9, 20e-9))
    assert rates.toggles_per_clock["clk"] == pytest.approx(2)


def test_windows_that_do_not_fit_are_refused(write):
    path = write("x.vcd", VCD)
    with pytest.raises(InputError, match=r"the dump ends at 40 ns: to_ns = 50 must not be later"):
        vcd.read(path, NETS, PERIOD_S, None, Window(10e-9, 50e-9))
    with pytest.raises(InputError, match=r"no time passes after from_ns = 40: ends at 40 ns"):
        vcd.read(path, NETS, PERIOD_S, None, Window(from_s=40e-9))
    with pytest.raises(InputError, match="to_ns = 5: must be after from_ns = 5"):
        Part(None, 5, 5)
    with pytest.raises(InputError, match=r"from_ns = -1: must be a time"):
        Part(None, -1)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
def test_a_dump_that_icarus_wrote(tmp_path):
    """A counter: bit k toggles every 2^k clocks, and is 1 half of the time."""
    (tmp_path / "t.v").write_text(
        r"""`timescale 1ns/1ps
        module counter (input clk, output reg [3:0] \count.er );
          initial \count.er = 0;
          always @(posedge clk) \count.er <= \count.er + 1;
        endmodule
        module bench;
          reg clk = 0; wire [3:0] q;
          counter dut (clk, q);
          always #5 clk = !clk;
          initial begin $dumpfile("t.vcd"); $dumpvars; #1600 $finish; end
        endmodule"""
    )
    for command in (["iverilog", "-g2005", "-o", "t.vvp", "t.v"], ["vvp", "-n", "t.vvp"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    nets = ["clk", *(f"count.er[{k}]" for k in range(4))]
    rates = vcd.read(tmp_path / "t.vcd", nets, 10e-9)
    assert rates.toggles_per_clock["clk"] == pytest.approx(2, rel=0.01)
    for k in range(4):
        assert rates.toggles_per_clock[f"count.er[{k}]"] == pytest.approx(2.0**-k, rel=0.01)
        assert rates.static_probability[f"count.er[{k}]"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
def test_icarus_tells_an_escaped_name_from_a_bit(tmp_path):
    """Bit 1 of d toggles every 10 ns, the net that looks like it every 15 ns, a vector of one 5."""
    (tmp_path / "t.v").write_text(
        r"""`timescale 1ns/1ps
        module m (d, \d[1] , one); input [1:0] d; input \d[1] ; input [0:0] one; endmodule
        module bench;
          parameter P = 3; real r = 1.5; reg [1:0] d = 0; reg e = 0, f = 0; integer k = 0;
          m dut (.d(d), .\d[1] (e), .one(f));
          always #5 begin d = d + 1; f = !f; r = r + 1; k = k + 1; end
          always #15 e = !e;
          initial begin $dumpfile("t.vcd"); $dumpvars; #601 $finish; end
        endmodule"""
    )
    for command in (["iverilog", "-g2005", "-o", "t.vvp", "t.v"], ["vvp", "-n", "t.vvp"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    nets = {"d[1]": ("d[1]",), r"\d[1]": (r"\d[1]",), "one[0]": ("one[0]", "one")}
    rates = vcd.read(tmp_path / "t.vcd", nets, 30e-9, "dut", Window(to_s=600e-9))
    assert rates.toggles_per_clock == {
        "d[1]": pytest.approx(59 / 20),
        r"\d[1]": pytest.approx(39 / 20),
        "one[0]": pytest.approx(119 / 20),
    }
