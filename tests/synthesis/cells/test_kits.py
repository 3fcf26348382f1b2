"""Kits: where they are found, how they are installed, and the library that is shipped."""

import csv
import functools
import gzip
import hashlib
import http.server
import math
import os
import shutil
import threading
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from dbp import cli, config
from dbp.errors import InputError, MissingError, ToolError
from dbp.synthesis import netlist
from dbp.synthesis.cells import install, kits, liberty_reader, wire_load
from dbp.synthesis.cells.install import Source
from dbp.synthesis.cells.make_predictive28 import derive, gates, table, write_liberty
from dbp.synthesis.mapping import yosys_map
from dbp.synthesis.timing import opensta_timing

ROOT = os.environ.get("DBP_PDK_ROOT")
needs_both = pytest.mark.skipif(
    not (ROOT and all((Path(ROOT) / name).is_dir() for name in table.SOURCES)),
    reason="needs nangate45 and asap7 in DBP_PDK_ROOT",
)


@pytest.fixture(scope="module")
def sources():
    """The two kits that the shipped library comes from."""
    return tuple(derive.KitFigures(name) for name in table.SOURCES)


TEXT = b"library (standin) { nom_voltage : 1; }\n"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; ``cut.lib`` claims to be longer than it is."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.endswith("/cut.lib"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(TEXT) + 1000))
            self.end_headers()
            self.wfile.write(TEXT)
        else:
            super().do_GET()


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """The address of a server with a file, the same packed, and one that only says it is packed."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "plain.lib").write_bytes(TEXT)
    (folder / "packed.lib.gz").write_bytes(gzip.compress(TEXT))
    (folder / "half.lib.gz").write_bytes(gzip.compress(TEXT)[:-12])
    (folder / "false.lib.gz").write_bytes(TEXT)
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def catalog(web, *files, content=TEXT):
    checksum = hashlib.sha256(content).hexdigest()
    return {"nangate45": Source(web, "Apache-2.0", dict.fromkeys(files, checksum))}


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_an_installed_kit_is_found(web, cache_folder, monkeypatch):
    monkeypatch.delenv("DBP_PDK_ROOT", raising=False)
    with pytest.raises(MissingError, match="run `dbp pdk install nangate45`"):
        kits.find("nangate45")
    folder = install.install("nangate45", catalog(web, "packed.lib.gz", "plain.lib"))
    assert folder == cache_folder / "pdk" / "nangate45"
    kit, files = kits.find("nangate45")
    assert kit.node_nm == 45
    assert files == [folder / "packed.lib.gz", folder / "plain.lib"]
    assert [liberty_reader.read(file).name for file in files] == ["standin", "standin"]
    # Again, in place of what is there, and of what a killed installation has left.
    (folder.parent / ".nangate45.0123456789abcdef" / "new").mkdir(parents=True)
    install.install("nangate45", catalog(web, "plain.lib"))
    assert kits.find("nangate45")[1] == [folder / "plain.lib"]
    assert names(folder.parent) == ["nangate45"]


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("plain.lib", b"other", "plain.lib: SHA-256 .* must be"),
        ("packed.lib.gz", b"other", r"packed.lib.gz: SHA-256 .* must be"),
        ("half.lib.gz", TEXT, "half.lib.gz: not a gzip file as pinned"),
        ("false.lib.gz", TEXT, "false.lib.gz: not a gzip file as pinned"),
        ("cut.lib", TEXT, r"cut.lib: ended after 39 of 1039 bytes"),
        ("absent.lib", TEXT, r"absent.lib: cannot be fetched: HTTP 404"),
    ],
)
def test_a_wrong_file_leaves_the_cache_as_it_was(web, cache_folder, file, content, complaint):
    earlier = install.install("nangate45", catalog(web, "plain.lib"))
    wrong = catalog(web, "packed.lib.gz")["nangate45"].files
    files = {**wrong, **catalog(web, file, content=content)["nangate45"].files}
    with pytest.raises(ToolError, match=complaint):
        install.install("nangate45", {"nangate45": Source(web, "", files)})
    assert names(earlier) == ["plain.lib"]
    assert names(earlier.parent) == ["nangate45"]


def test_no_network_is_one_line(web, monkeypatch, capsys, cache_folder):
    nowhere = catalog("http://127.0.0.1:9", "plain.lib")  # nothing listens at "discard"
    monkeypatch.setattr(install.install, "__defaults__", (nowhere,))
    assert cli.main(["pdk", "install", "nangate45"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "plain.lib: cannot be fetched: " in err
    assert not (cache_folder / "pdk" / "nangate45").exists()


def test_the_command_lists_and_installs(web, monkeypatch, capsys, cache_folder):
    monkeypatch.delenv("DBP_PDK_ROOT", raising=False)
    monkeypatch.setattr(install.install, "__defaults__", (catalog(web, "plain.lib"),))
    assert cli.main(["pdk", "install", "asap6"]) == 2
    assert cli.main(["pdk", "install", "nangate45"]) == 0
    out = capsys.readouterr().out
    assert "nangate45 (licence Apache-2.0)" in out
    assert cli.main(["pdk"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(kits.KITS)
    assert lines[0].endswith(str(cache_folder / "pdk" / "nangate45"))
    assert lines[1].endswith("not here: dbp pdk install asap7")


def test_pins_are_complete():
    assert get_args(config.Kit) == tuple(kits.KITS)
    assert set(install.SOURCES) == set(kits.KITS) - {kits.SHIPPED}
    for source in install.SOURCES.values():
        assert source.folder.startswith("https://raw.githubusercontent.com/")
        assert len(source.folder.split("/")[5]) == 40  # a commit, not a branch
        assert all(len(checksum) == 64 for checksum in source.files.values())


@pytest.mark.skipif(not ROOT, reason="no kits: DBP_PDK_ROOT is not set")
@pytest.mark.parametrize("name", sorted(install.SOURCES))
def test_kits_at_hand_are_the_pinned_ones(name):
    folder = Path(ROOT) / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in DBP_PDK_ROOT")
    found = {}
    for file in folder.glob("*.lib*"):
        content = file.read_bytes()
        content = gzip.decompress(content) if file.suffix == ".gz" else content
        found[file.name.removesuffix(".gz")] = hashlib.sha256(content).hexdigest()
    pinned = install.SOURCES[name].files
    assert found == {file.removesuffix(".gz"): checksum for file, checksum in pinned.items()}


# ---- wires --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", wire_load.WIRES)
def test_wire_files_are_what_the_module_makes(name):
    path = wire_load.file_for(name)
    assert path.read_text() == wire_load.liberty(name)
    library = liberty_reader.read(path)
    wires = wire_load.WIRES[name]
    # 2.5 gate pitches a fan-out, in farads.
    per_fanout = 2.5 * wires.nand2_area_um2**0.5 * wires.capacitance_ff_per_um * 1e-15
    load = library.wire_load(library.default_wire_load)
    assert load.capacitance_f([0, 1, 3, 40]) == pytest.approx(
        np.array([0, 1, 3, 40]) * per_fanout, rel=1e-4
    )


@needs_both
def test_asap7_gets_wires_and_keeps_its_own_figures(sources):
    library = sources[1].library
    assert library.default_wire_load == "per_fanout"
    assert library.voltage_v == 0.7
    nands = [
        cell.area_um2
        for cell in library.cells.values()
        if len(cell.outputs) == 1 and len(cell.inputs) == 2 and cell.outputs[0].function
        and cell.outputs[0].function.truth.tolist() == [True, True, True, False]
    ]  # fmt: skip
    assert min(nands) == pytest.approx(wire_load.WIRES["asap7"].nand2_area_um2)


@needs_both
def test_the_length_rule_is_that_of_nangate45(sources):
    """2.0 to 2.7 gate pitches per fan-out, over fan-outs of 1 to 5."""
    library = sources[0].library
    lengths = dict(library.wire_loads[library.default_wire_load].lengths)
    pitch = library.cells["NAND2_X1"].area_um2 ** 0.5
    pitches = [lengths[n] / n / pitch for n in range(1, 6)]
    assert 1.9 < min(pitches) < wire_load.PITCHES_PER_FANOUT < max(pitches) < 2.7


# ---- predictive28 -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return liberty_reader.read(table.LIBERTY)


def test_the_shipped_kit_needs_nothing(monkeypatch):
    monkeypatch.delenv("DBP_PDK_ROOT", raising=False)
    kit, files = kits.find("predictive28")
    assert kit.node_nm == 28 and files == [table.LIBERTY]


def test_the_committed_library_is_what_its_table_makes():
    assert table.LIBERTY.read_text() == write_liberty.liberty(table.read_table())


def test_the_rules_give_the_committed_values():
    figures = table.read_table()
    assert table.valued(figures) == figures


def test_every_value_follows_from_its_sources():
    """By hand: between 45 and 7 nm in the logarithm, at 0.9 V."""
    share = math.log(45 / 28) / math.log(45 / 7)
    volts = {"log": 0, "log/V": 1, "log/V2": 2}
    with table.TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ratios = {}
    for row in rows:
        value, first = float(row["value"]), float(row["nangate45"])
        if row["rule"] == "median":
            continue
        second = float(row["asap7"])
        if row["rule"] == "linear":
            expected = first + share * (second - first)
        else:
            power = volts[row["rule"]]
            expected = (first / 1.1**power) ** (1 - share) * (second / 0.7**power) ** share
            expected *= 0.9**power
            assert min(first, second) > 0
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-12), row
        if first > 0:
            ratios.setdefault(row["quantity"], []).append(expected / first)
    medians = {quantity: np.median(found) for quantity, found in ratios.items()}
    guessed = [row for row in rows if row["rule"] == "median"]
    assert {row["cell"] for row in guessed} == {"MUX2_X1", "HA_X1", "FA_X1"}
    for row in guessed:
        expected = float(row["nangate45"]) * medians[row["quantity"]]
        assert float(row["value"]) == pytest.approx(expected, rel=1e-4, abs=1e-12), row


@needs_both
def test_the_table_is_what_the_kits_say(sources):
    assert derive.derive(*sources) == table.read_table()


def test_the_library_is_small_and_complete(shipped):
    assert shipped.voltage_v == 0.9
    assert len(shipped.cells) == len(gates.GATES) <= 30
    kinds = {name.split("_X")[0].rstrip("0123456789") for name in shipped.cells}
    assert kinds == {"INV", "BUF", "NAND", "NOR", "AND", "OR", "AOI", "OAI", "XOR", "XNOR", "MUX",
                     "HA", "FA", "DFF"}  # fmt: skip
    for cell in shipped.cells.values():
        assert cell.area_um2 > 0 and cell.leakage_w > 0
        for out in cell.outputs:
            related = {arc.related_pin for arc in out.arcs}
            assert related == ({"CK"} if cell.sequential else set(out.function.variables))
            assert related == {item.related_pin for item in out.internal_power}
            for arc in out.arcs:
                for lookup in (arc.rise_delay, arc.fall_delay, arc.rise_slew, arc.fall_slew):
                    assert lookup.values.shape == (5, 5) and (lookup.values > 0).all()
                    assert (np.diff(lookup.values, axis=1) > 0).all()


def test_senses_are_those_of_the_functions(shipped):
    """What an input does to an output, found from the truth table."""
    for cell in shipped.cells.values():
        for out in cell.outputs:
            for arc in out.arcs if not cell.sequential else ():
                names = sorted(out.function.variables)
                ups = downs = False
                for state in range(1 << len(names)):
                    low = {n: float(state >> k & 1) for k, n in enumerate(names)}
                    before, after = (
                        out.function.probability(low | {arc.related_pin: bit}) for bit in (0.0, 1.0)
                    )
                    ups |= bool(after > before)
                    downs |= bool(after < before)
                expected = "non_unate" if ups and downs else "positive_unate"
                expected = expected if ups else "negative_unate"
                assert arc.timing_sense == expected, (cell.name, arc.related_pin)


@needs_both
def test_a_fan_out_of_four_lies_between_the_two_kits(shipped, sources):
    """Area, load, its energy, and the delay, which the table states through a fitted plane."""
    found = []
    for library, name in (
        (sources[0].library, "INV_X1"),
        (shipped, "INV_X1"),
        (sources[1].library, "INVx1_ASAP7_75t_R"),
    ):
        cell = library.cells[name]
        (out,), (pin,) = cell.outputs, cell.inputs
        (arc,), slew = out.arcs, 0.0
        load = 2 * (pin.rise_capacitance_f + pin.fall_capacitance_f)
        for _ in range(20):
            slew = arc.rise_slew(slew, load)
        delay = float(arc.rise_delay(slew, load))
        found.append((cell.area_um2, load, load * library.voltage_v**2, delay))
    for old, ours, new in zip(*found, strict=True):
        assert new < ours < old


@pytest.mark.skipif(shutil.which("sta") is None, reason="needs OpenSTA")
def test_yosys_and_opensta_read_the_library(shipped, tmp_path):
    (tmp_path / "t.v").write_text(
        "module t(input clk, input [5:0] a, b, output reg [11:0] y);"
        " always @(posedge clk) y <= a * b; endmodule\n"
    )
    shutil.copy(table.LIBERTY, tmp_path)
    files = [table.LIBERTY.name]
    yosys_map.synthesize(tmp_path, files, "t.v", "t", shipped, ())
    mapped = netlist.read(tmp_path / "netlist.v")
    cells = {instance.cell for instance in mapped.instances}
    assert cells <= set(shipped.cells) and "DFF_X1" in cells and len(cells) > 8
    # OpenSTA takes a library's default wire load where none is set.
    text = table.LIBERTY.read_text()
    (tmp_path / "bare.lib").write_text(text.replace('default_wire_load : "per_fanout";', ""))
    ports = ["a", "b"], ["y"]
    bare = opensta_timing.analyze(tmp_path, ["bare.lib"], "netlist.v", "t", *ports, 2.4, None)
    wires = shipped.default_wire_load
    result = opensta_timing.analyze(tmp_path, files, "netlist.v", "t", *ports, 2.4, wires)
    assert 0 < result.slack_ns < bare.slack_ns < 2.4
    # The arrival at a register's input leaves its setup time free.
    arrival = result.critical_path[-1][2]
    setup_ns = {figure.key: figure.value for figure in table.read_table()}[
        "DFF_X1", "D", "", "setup"
    ] / 1e3
    assert 2.4 - arrival - result.slack_ns == pytest.approx(setup_ns, abs=2e-4)


def test_figures_that_have_no_logarithm_are_refused():
    with pytest.raises(InputError, match=r"must be positive for rule 'log'"):
        table.interpolate(0.0, 1.0, "log")


def test_wires_go_with_any_corner(tmp_path):
    """The supply in a file without cells is no corner's; that of one with cells must be alike."""
    wires = wire_load.file_for("asap7")
    text = table.LIBERTY.read_text()
    (tmp_path / "first.lib").write_text(text)
    (tmp_path / "second.lib").write_text(text.replace("0.9", "0.8").replace("cell (", "cell (Y_"))
    library = liberty_reader.read(tmp_path / "first.lib", wires)
    assert library.voltage_v == 0.9
    with pytest.raises(InputError, match=r"second.lib: 0.8 V: must be 0.9 V"):
        liberty_reader.read(tmp_path / "first.lib", tmp_path / "second.lib")
