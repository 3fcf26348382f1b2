"""The folder for a flow of one's own: its bench runs without Python and finds every change."""

import csv
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import util

import numpy as np
import pytest
from helpers.hardware import make_run, small_design

from dbp import cli
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.rtl.ports import Ports
from dbp.support.yosys import run_yosys
from dbp.synthesis.activity import saif
from dbp.synthesis.handoff import folder as handing
from dbp.synthesis.handoff.folder import Handoff, HandoffError, hand_off
from dbp.synthesis.handoff.vectors import checksum, layouts

pytestmark = pytest.mark.skipif(not shutil.which("iverilog"), reason="needs iverilog")
DESIGN = small_design(taps=(3, 1), bits=6)
COMPILE = "iverilog -g2005 -o bench.vvp bench/bench.v rtl/*.v"
PLAY = "vvp -N bench.vvp"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), DESIGN, lanes=2)


def handoff(run):
    stimulus = Stimulus.load(run / "stimulus.npz", DESIGN)
    return Handoff(DESIGN, run / "rtl", lambda samples: stimulus, "predictive28", 416.7)


@pytest.fixture(scope="module")
def given(run, tmp_path_factory):
    """The folder as it was written, with the bench compiled."""
    folder = tmp_path_factory.mktemp("handoff") / "given"
    hand_off(handoff(run), folder)
    assert shell(folder, COMPILE).returncode == 0
    return folder


@pytest.fixture
def copy(given, tmp_path):
    return shutil.copytree(given, tmp_path / "copy")


def shell(folder, command):
    """Run a line where no program is found but Icarus Verilog's: no Python, above all."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("iverilog", "vvp"):
        if not (tools / name).exists():
            (tools / name).symlink_to(shutil.which(name))
    return subprocess.run(
        ["/bin/sh", "-c", command],
        **dict(cwd=folder, env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60),
    )


def flip(file, rng):
    """Invert one bit of a file of hexadecimal rows."""
    lines = file.read_text().splitlines()
    row = rng.integers(1, len(lines))
    # The first digit of a row may have bits that are not there.
    digit = rng.integers(1, len(lines[row]))
    value = int(lines[row][digit], 16) ^ 1 << rng.integers(4)
    lines[row] = f"{lines[row][:digit]}{value:x}{lines[row][digit + 1 :]}"
    file.write_text("\n".join(lines) + "\n")


def low_bit(layout, name):
    """The place of a field's least significant bit in a row."""
    names = [field.name for field in layout.fields]
    return sum(field.width for field in layout.fields[names.index(name) + 1 :])


def test_the_bench_passes_without_python(given):
    played = shell(given, PLAY)
    metrics = json.loads((given / "metrics.json").read_text())
    assert (played.returncode, played.stderr) == (0, "")
    assert played.stdout.splitlines()[-1] == metrics["bench"]
    samples = sum(each["samples"] for each in metrics["vectors"])
    reads = sum(each["registers_read"] for each in metrics["vectors"])
    assert metrics["bench"].startswith(f"PASS: {samples} samples and {reads} reads")
    assert samples > 700 and reads > 20
    # The second set drives every saturator to both of its ends.
    saturating = metrics["vectors"][1]
    ends = saturating["saturators_below"], saturating["saturators_above"]
    assert ends == (saturating["saturators"],) * 2 and saturating["saturators"] > 0
    assert metrics["design_hash"] == DESIGN.hash


@pytest.mark.parametrize("kind", ["stimulus", "answers"])
@pytest.mark.parametrize("name", ["received", "saturating"])
def test_a_flipped_bit_of_the_vectors_fails(copy, name, kind):
    flip(copy / "vectors" / f"{name}_{kind}.hex", np.random.default_rng(len(name + kind)))
    played = shell(copy, PLAY)
    assert played.returncode == 1
    assert played.stdout.splitlines()[-1].startswith("FAIL: ")


def test_a_wrong_answer_is_found_without_the_checksums(copy, run):
    """The comparison itself finds it: checksums find what it would not."""
    bench = copy / "bench" / "bench.v"
    text = re.sub(r"^    check_files\(.*\n", "", bench.read_text(), flags=re.M)
    bench.write_text(text)
    file = copy / "vectors" / "received_answers.hex"
    _, answers = layouts(Ports.read(run / "rtl", DESIGN))
    lines = file.read_text().splitlines()
    # The first word that is checked.
    row = next(k for k, line in enumerate(lines[1:], 1) if int(line, 16) >> (answers.bits - 1))
    lines[row] = f"{int(lines[row], 16) ^ 1 << low_bit(answers, 'out_i'):x}"
    file.write_text("\n".join(lines) + "\n")
    played = shell(copy, f"{COMPILE} && {PLAY}")
    assert played.returncode == 1
    assert f"row {row - 1}: another word than golden" in played.stdout


@pytest.mark.parametrize(
    ("pattern", "old", "new"),
    [
        ("filter_lane_*", " + ", " - "),
        ("rotation_lane_*", " + ", " - "),
        ("registers_*", "~", ""),
        ("chain", "step_0_out_valid", "in_valid"),
    ],
)
def test_a_change_of_the_verilog_fails(copy, pattern, old, new):
    (file, *_) = sorted((copy / "rtl").glob(f"{pattern}.v"))
    before, found, after = file.read_text().rpartition(old)
    if not found:
        pytest.skip(f"no {old!r} in {file.name}")
    file.write_text(before + new + after)
    played = shell(copy, f"{COMPILE} && {PLAY}")
    assert played.returncode != 0
    assert not played.stdout or played.stdout.splitlines()[-1].startswith("FAIL: ")


def test_a_missing_file_fails(copy):
    (copy / "vectors" / "saturating_answers.hex").unlink()
    played = shell(copy, PLAY)
    assert played.returncode == 1 and "FAIL: " in played.stdout


def test_every_flipped_bit_changes_the_checksum():
    rng = np.random.default_rng(1)
    rows = [int(word) for word in rng.integers(0, 1 << 45, 20)]
    for k, row in enumerate(rows):
        for bit in range(45):
            assert checksum([*rows[:k], row ^ 1 << bit, *rows[k + 1 :]], 45) != checksum(rows, 45)


# In a process of its own: it changes the standard output of the one that imports it.
READ_RDL = """
import json, sys
from systemrdl import RDLCompiler, node
compiler = RDLCompiler()
compiler.compile_file(sys.argv[1])
found = {}
for each in compiler.elaborate().top.descendants():
    if isinstance(each, node.RegNode):
        (field,) = each.fields()
        place = each.absolute_address // 4, field.width, field.is_sw_writable
        found[each.get_path()] = place
print(json.dumps(found))
"""


@pytest.mark.skipif(not util.find_spec("systemrdl"), reason="needs systemrdl-compiler")
def test_the_registers_are_those_of_the_ports(given, run):
    ports = Ports.read(run / "rtl", DESIGN)
    command = [sys.executable, "-c", READ_RDL, str(given / "registers" / "registers.rdl")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(answer.stdout)
    bits = ports.widths["cfg_address"]
    addresses = {(step.step << bits) + a for step in ports.steps for a in step.addresses.all()}
    assert {address for address, *_ in found.values()} == addresses
    assert found["chain.step_0.tap_q_1"] == [3, DESIGN.filters[0].coefficient_bits, True]
    assert found["chain.step_1.filter_clipped"][:2] == [(1 << bits) + 2, 32]


def test_the_values_of_the_registers_are_those_of_the_design(given):
    with (given / "registers" / "values.csv").open(newline="") as file:
        rows = {(int(row["step"]), row["name"]): int(row["value"]) for row in csv.DictReader(file)}
    assert rows[0, "tap_q_1"] == DESIGN.filters[0].half_taps_q[1]
    assert rows[0, "kerr_0"] == DESIGN.rotations[0].kerr(1000)[0]


def test_the_activity_is_that_of_the_received_words(given, run):
    metrics = json.loads((given / "metrics.json").read_text())
    ports = Ports.read(run / "rtl", DESIGN)
    nets = [f"out_i[{k}]" for k in range(ports.widths["out_i"])] + ["clk", "out_valid"]
    activity = saif.read(given / "activity" / "received.saif", nets, 2400e-12, "bench/dut")
    assert activity.toggles_per_clock["clk"] == pytest.approx(2)
    assert activity.static_probability["out_valid"] == 1
    # What the answers say of the same clocks.
    (width,) = {port.width for port in ports.ports if port.name == "out_i"}
    _, answers = layouts(ports)
    low = low_bit(answers, "out_i")
    rows = (given / "vectors" / "received_answers.hex").read_text().splitlines()[1:]
    words = [int(row, 16) >> low & (1 << width) - 1 for row in rows]
    valid = [k for k, row in enumerate(rows) if int(row, 16) >> (answers.bits - 1)]
    clocks = metrics["activity_clocks"]
    seen = words[valid[0] : valid[0] + clocks]
    toggles = sum(a & 1 != b & 1 for a, b in itertools.pairwise(seen))
    assert activity.toggles_per_clock["out_i[0]"] * clocks == pytest.approx(toggles)


def test_the_activity_is_of_the_numbers_and_names_that_read_saif_takes(given):
    """OpenSTA's grammar (power/SaifLex.ll, SaifParse.yy): whole numbers alone, and one instance."""
    lines = (given / "activity" / "received.saif").read_text().splitlines()
    (duration,) = (line.split()[1] for line in lines if line.startswith("  (DURATION"))
    clocks = json.loads((given / "metrics.json").read_text())["activity_clocks"]
    assert duration == f"{2400 * clocks})"
    assert "  (TIMESCALE 1 ps)" in lines
    assert [line for line in lines if re.match(r"  \(INSTANCE", line)] == ["  (INSTANCE bench"]
    nets = [line.strip() for line in lines if "(TC " in line]
    name = r"[A-Za-z_][\w$\[\]\\.]*"
    numbers = r"\(T0 (\d+)\) \(T1 (\d+)\) \(TX (\d+)\) \(TC \d+\) \(IG \d+\)"
    found = [re.fullmatch(rf"\({name} {numbers}\)", net, re.ASCII) for net in nets]
    assert all(found)
    assert {sum(map(int, match.groups())) for match in found} == {2400 * clocks}


@pytest.mark.skipif("DBP_PDK_ROOT" not in os.environ, reason="no kits: DBP_PDK_ROOT is not set")
def test_the_layout_wants_the_activity_of_the_netlist_first(run, tmp_path):
    """OpenROAD finds pins of cells by name; before the mapping no file can name them."""
    hand_off(replace(handoff(run), kit="nangate45"), tmp_path / "given")
    script = (tmp_path / "given" / "place_and_route.tcl").read_text()
    assert script.startswith("if {![file exists gates.vcd]} {")
    assert script.count("\nread_vcd -scope bench/dut gates.vcd\nset figures ") == 1
    assert "saif" not in script
    readme = (tmp_path / "given" / "README.md").read_text()
    assert "vvp -N gates.vvp +vcd=gates.vcd`" in readme


def test_the_readme_has_ten_lines_and_all_files_are_there(given):
    lines = (given / "README.md").read_text().splitlines()
    assert len(lines) == 10
    named = {name for line in lines for name in re.findall(r"`([\w/]+\.\w+)`", line)}
    assert {"constraints.sdc", "registers/registers.rdl"} <= named
    assert all((given / name).is_file() for name in named)
    (core,) = given.glob("*.core")
    files = re.findall(r"^      - ([\w/.]+)", core.read_text(), re.M)
    assert all((given / name).is_file() for name in files)
    verilog = {f"rtl/{file.name}" for file in (given / "rtl").iterdir()}
    assert verilog <= set(files)
    assert core.stem in lines[-1]


def test_a_folder_of_others_stays_and_an_earlier_handoff_goes(run, given, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files that are no handoff"):
        hand_off(handoff(run), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    (given / "rtl" / "stale.v").write_text("")
    metrics = hand_off(handoff(run), given)
    assert not (given / "rtl" / "stale.v").exists()
    assert shell(given, f"{COMPILE} && {PLAY}").stdout.splitlines()[-1] == metrics.bench


def test_what_does_not_pass_is_not_handed_over(run, tmp_path, monkeypatch):
    made = handing.make_set

    def wrong(*arguments):
        each = made(*arguments)
        _, answers = layouts(Ports.read(run / "rtl", DESIGN))
        row = next(k for k, word in enumerate(each.expected) if word >> (answers.bits - 1))
        word = each.expected[row] ^ 1 << low_bit(answers, "out_i")
        return replace(each, expected=(*each.expected[:row], word, *each.expected[row + 1 :]))

    monkeypatch.setattr(handing, "make_set", wrong)
    with pytest.raises(HandoffError, match="does not pass: FAIL: "):
        hand_off(handoff(run), tmp_path / "given")
    assert not (tmp_path / "given").exists()


def test_a_kit_is_for_a_handoff(run, capsys):
    assert cli.main(["rtl", str(run), "--out", str(run), "--pdk", "asap7"]) == 2
    assert "--pdk: is for --handoff" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kit", ["predictive28"])
def test_the_scripts_make_a_netlist_that_passes_the_bench(copy, kit):
    run_yosys((copy / "yosys.ys").read_text(), copy, 120)
    played = shell(
        copy, "iverilog -g2005 -o gates.vvp bench/bench.v netlist.v cells.v && vvp -N gates.vvp"
    )
    assert (played.returncode, played.stdout.splitlines()[-1][:5]) == (0, "PASS:")
    if shutil.which("sta"):
        script = [
            f"read_liberty kit/{kit}.lib",
            *("read_verilog netlist.v", "link_design chain", "set_cmd_units -time ns"),
            *("read_sdc constraints.sdc", "puts [worst_slack -max]", "exit"),
        ]
        (copy / "check.tcl").write_text("\n".join(script))
        answer = subprocess.run(
            ["sta", "-no_init", "-no_splash", "-exit", "check.tcl"],
            **dict(cwd=copy, capture_output=True, text=True, timeout=60, check=True),
        )
        assert 0 < float(answer.stdout.split()[-1]) < 2.4
