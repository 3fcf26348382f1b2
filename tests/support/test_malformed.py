"""Malformed files and options: refused in one line, or read as they were meant.

Valid files and command lines are changed at random, with an eye on their structure. Each is then
refused with one line that says where the fault is, or accepted: then it says the same as what
was made of it. Nothing else may happen: no other exception, no value bent until it fits.
"""

import io
import json
import math
import os
import re
import sqlite3
import struct
import tomllib
import zipfile
from itertools import product

import numpy as np
import pytest
from helpers.designs import DESIGN, designs, examples
from helpers.measures import group_measures
from hypothesis import given
from hypothesis import strategies as st

from dbp import cli, config, runs
from dbp.cli import ber, prove, rtl, run, sim, synth, train
from dbp.datapath.design import Design
from dbp.datapath.golden import Samples
from dbp.datapath.stimulus import Stimulus
from dbp.errors import DbpError, InputError, one_line
from dbp.evaluation.store import Results
from dbp.learning.checkpoint import Row, State, _made_by
from dbp.learning.float_filters import FloatFilters
from dbp.support import files

PRESETS = config.presets()
CONFIG = config.parse('[learned]\nkerr_taps = 3\n[sweep]\nspans = [1, 2]\ndesign = ["linear"]')
CONTROL = "\x00\x07\n\r\x1b[31m\x7f\x85\u2028\u202e\ud800\ufeff\U0001f600"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One folder for all cases: each overwrites the file."""
    return tmp_path_factory.mktemp("malformed")


def tried(read, *arguments, kind=InputError):
    """Return what ``read`` returns; None where it refuses with a message fit for a terminal."""
    try:
        return read(*arguments)
    except kind as error:
        line = one_line(error)
        assert len(line) <= 1000 and line.isprintable()
        assert len(str(error)) < 5000
        tried.message = line
        return None


# Values as TOML or JSON writes them, valid and invalid.
NUMBERS = (
    "0 -0 1 -1 2 3 7 16 64 255 1e400 -1e400 1e-400 0.5 -0.0 00 1_0 0x10 0x 1e 9223372036854775808"
)
LITERALS = [
    *NUMBERS.split(),
    *("9" * 30, "9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "1" + "0" * 400 + ".0"),
    *("nan", "-nan", "inf", "-inf", "NaN", "Infinity", "-Infinity", "null", "true", "false", ""),
    *('""', '"16"', '"nan"', '"paper"', "''", '"\\u0000"', '"\\ud800"', '"\\u007f"'),
    '"\U0001f600"',
    *('"' + "x" * 100_000 + '"', '"a', "'b", '"""c\nd"""', '"\x1b[31m"', "\x00"),
    *("[]", "[[]]", "[1]", "[1.5, nan]", "[true, 1]", '["linear", 3]', "[1, 2"),
    "[0x" + "f" * 5000 + "]",
    *("[" * 2000 + "]" * 2000, "[" * 100_000, "[" + "1, " * 3000 + "1]"),
    *("{}", "{a = 1}", '{"a": 1}', "{a = {a = {a = 1}}}", '{"a": {"a": [{"a": 1}]}}'),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "1979-13-45"),
]  # fmt: skip
KEYS = ["", "spans", "taps", "seed", "impairments", "a.b", '""', '"\\u001b\\n"', "link.spans",
        "sweep.spans", "__class__", "é", "a b", "x" * 10_000, ".".join("a" * 3000)]  # fmt: skip
EDITS = st.sampled_from(["value"] * 6 + ["key", "double", "drop", "swap", "table", "add"])


@st.composite
def edited_toml(draw):
    """The lines of a valid configuration, one to three of them changed."""
    text = draw(st.sampled_from([CONFIG.to_toml(), PRESETS["demo"], PRESETS["isit2018"]]))
    lines = text.splitlines()
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        k = draw(st.integers(0, len(lines) - 1))
        key = lines[k].partition(" = ")[0]
        literal = draw(st.sampled_from(LITERALS))
        name = draw(st.sampled_from(KEYS))
        edit = draw(EDITS)
        if edit == "value":
            lines[k] = f"{key} = {literal}"
        elif edit == "key":
            lines[k] = lines[k].replace(key, name)
        elif edit == "double":
            lines.insert(draw(st.integers(0, len(lines))), lines[k])
        elif edit == "drop":
            del lines[k]
        elif edit == "swap":
            lines[0], lines[k] = lines[k], lines[0]
        elif edit == "table":
            lines.insert(k, draw(st.sampled_from(["[", "[[", ""])) + f"{name}]")
        else:
            lines.insert(k, f"{name} = {literal}")
        lines = lines or [""]
    return "\n".join(lines) + "\n"


@st.composite
def edited_bytes(draw, content):
    """The bytes of a file with some cut off, overwritten, inserted or removed."""
    content = bytearray(draw(content) if isinstance(content, st.SearchStrategy) else content)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        edit = draw(st.sampled_from(["cut", "set", "set", "insert", "remove", "zero"]))
        if edit == "cut":
            del content[start:]
        elif edit == "remove":
            del content[start : start + draw(st.integers(1, 64))]
        elif edit == "zero":
            content[start : start + 16] = bytes(len(content[start : start + 16]))
        else:
            some = draw(st.binary(min_size=1, max_size=4) | st.sampled_from(
                [bytes([k]) for k in (0, 7, 10, 13, 27, 34, 127, 128, 192, 255)]
                + [c.encode("utf-8", "surrogatepass") for c in CONTROL]))  # fmt: skip
            end = start + (len(some) if edit == "set" else 0)
            content[start:end] = some
    return bytes(content)


def same(found, given):
    """Whether a value of a configuration is the one of the file; integers may stand for floats."""
    if isinstance(given, dict):
        return all(same(getattr(found, key), value) for key, value in given.items())
    if isinstance(given, list):
        return len(found) == len(given) and all(map(same, found, given))
    kinds = {type(found), type(given)}
    return found == given and (len(kinds) == 1 or kinds == {int, float})


def check_config(path, content):
    """Load a configuration's bytes, whose keys are none that hold dictionaries but tables."""
    path.write_bytes(content)
    found = tried(config.load, str(path))
    if found is None:
        # The file is named, and the key, or that it is no TOML or text at all.
        assert one_line(path) in tried.message
        rest = tried.message.removeprefix(one_line(path))
        assert re.match(r": (not TOML|cannot be read): ", rest) or re.search(
            r": .*: unknown key|[a-z_]+ = .*: |\[link\]|link\.", rest
        ), rest
        return
    given = tomllib.loads(content.decode().replace("\r\n", "\n"))
    swept = given.pop("sweep", {})
    assert same(found, given)
    assert list(found.sweep) == list(swept) and all(map(same, found.sweep.values(), swept.values()))
    again = config.parse(found.to_toml())
    assert again == found and again.hash == found.hash
    assert math.isfinite(found.link.span_km)


@pytest.mark.slow
@examples(200)
@given(text=edited_toml())
def test_configurations(text, place):
    check_config(place / "config.toml", text.encode("utf-8", "surrogatepass"))


@pytest.mark.slow
@examples(100)
@given(content=edited_bytes(CONFIG.to_toml().encode()))
def test_bytes_of_configurations(content, place):
    check_config(place / "bytes.toml", content)


def test_every_key_of_a_configuration_is_named_where_its_value_is_of_another_kind():
    """All keys times values that fit no key: 880 more cases, each with its key in the message."""
    tables = tomllib.loads(CONFIG.to_toml())
    tables["link.impairments"] = tables["link"].pop("impairments")
    keys = [(table, key) for table, content in tables.items() if table != "seed" for key in content]
    wrong = ["nan", "-inf", "1e400", "{}", "[[]]", "1979-05-27", "0x" + "f" * 5000, '"\\u001b"',
             "[{a = 1}]", "-" + "9" * 40, "[nan]", '["\\u0000"]', "07:32:00"]  # fmt: skip
    for (table, key), value in product(keys, wrong):
        if (table, key) == ("sweep", "design") and value == '["\\u0000"]':
            continue  # a name, which no file has
        if isinstance(tables[table][key], dict) and value == "{}":
            continue  # an empty table
        assert tried(config.parse, f"[{table}]\n{key} = {value}\n") is None
        assert f"{key}" in tried.message, (table, key, value, tried.message)
    assert len(keys) * len(wrong) > 800


def paths(content, way=()):
    """Yield the path of every value inside a JSON value."""
    yield way
    if isinstance(content, dict | list):
        inner = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in inner:
            yield from paths(value, (*way, key))


JUNK = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 2, 3, 17, 41, 1 << 31, -(1 << 31) - 1, 1 << 63, 10**400),
        *(0.0, -0.0, 1.0, 9.0, 0.5, 1e308, math.inf, -math.inf, math.nan),
        *("", "9", "nan", CONTROL, "x" * 100_000, "../x", "linear"),
        *([], [[]], [1], [1] * 200, [0.5], [None], {}, {"a": 1}, {"shift": 3}),
    ]
)


@st.composite
def edited_json(draw):
    """A design as text, one or two of its values changed, or keys doubled."""
    text = draw(st.just(DESIGN) | designs()).to_json()
    content = json.loads(text)
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        *way, last = draw(st.sampled_from([way for way in paths(content) if way]))
        target = content
        for key in way:
            target = target[key]
        edit = draw(st.sampled_from(["set"] * 4 + ["delete", "add", "nudge", "spread"]))
        if edit == "set":
            target[last] = draw(JUNK)
        elif edit == "delete":
            del target[last]
        elif edit == "nudge" and type(target[last]) is int:
            target[last] += draw(st.integers(-3, 3))
        elif edit == "spread" and isinstance(target[last], list):
            target[last] = target[last] * draw(st.integers(0, 100))
        elif isinstance(target, dict):
            target[draw(st.sampled_from(["lanes", "shift", "name", CONTROL]))] = draw(JUNK)
    text = json.dumps(content)
    if draw(st.integers(0, 5)) == 0:  # a pair twice, in any object
        pairs = list(re.finditer(r'"\w+": [-\w."]+(?=[,}])', text))
        if pairs:
            pair = draw(st.sampled_from(pairs))
            text = f"{text[: pair.end()]}, {pair.group()}{text[pair.end() :]}"
    return text


def check_design(path, content):
    path.write_bytes(content)
    found = tried(Design.load, path)
    if found is None:
        assert one_line(path) in tried.message
        rest = tried.message.removeprefix(one_line(path))
        assert re.match(
            r": (cannot be read: |[\w\[\]]+: .*(must be|complete JSON|this dbp reads|twice))", rest
        ), rest
        return
    # Not as Python compares: 1.0 and true are no codes.
    given, again = json.loads(content), json.loads(found.to_json())
    assert json.dumps(given, sort_keys=True) == json.dumps(again, sort_keys=True)
    assert content.count(b'"adc_rms_permille"') == 1


@pytest.mark.slow
@examples(200)
@given(text=edited_json())
def test_designs(text, place):
    check_design(place / "design.json", text.encode())


@pytest.mark.slow
@examples(100)
@given(content=edited_bytes(DESIGN.to_json().encode()))
def test_bytes_of_designs(content, place):
    check_design(place / "bytes.json", content)


LEARNED = config.parse(
    "[link]\nspans = 2\n[learned]\ntaps = 3\nkerr_taps = 3\n"
    "[training]\nfloat_iterations = 2\nsignal_iterations = 1\ntap_iterations = 2"
)
FILTERS = FloatFilters((np.ones(3, np.complex128),) * 3, -np.ones((2, 2)))


def stimulus():
    codes = np.random.default_rng(1).integers(-256, 256, (2, 64))
    return Stimulus(Samples(*codes), 1000, DESIGN.hash, LEARNED.hash, 1)


def checkpoint(steps=4):
    """A state of learning in its last phase."""
    phases = ["float", "float", "signals", "taps", "taps"][:steps]
    rows = [Row(k, phase, 0.5 / k, 10.0 + k) for k, phase in enumerate(phases, 1)]
    size = 3 * 2 * 2 + 2 * 2
    return State(
        LEARNED.hash, rows, np.ones(size), 1e-3, FILTERS, best=np.zeros(size), best_snr_db=14.0
    )


ARCHIVES = {
    "stimulus": (stimulus, lambda path: Stimulus.load(path, DESIGN)),
    "float": (lambda: FILTERS, FloatFilters.load),
    "checkpoint": (checkpoint, lambda path: State.load(path, LEARNED)),
}
ARRAYS = [
    np.array(value).astype(dtype)
    for value, dtypes in [
        (math.nan, "f8 f4 c16"),
        (math.inf, "f8 c16"),
        (0, "i8 i2 f8 u8 ?"),
        (-1, "i8 f8 >i8"),
        (1 << 62, "i8 f8"),
        ("a" * 64, "U64 S64"),
        ("", "U1"),
        ([], "i2 f8 c16 U1"),
        ([[]], "i2 f8"),
        ([1], "i2 i8 f8 c16 M8[s] m8[s]"),
        ([1, 2, 3], "i2 f8 c16 >c16 c8"),
        ([math.nan] * 3, "f8 c16"),
        ([[1.0, 2.0], [3.0, 4.0]], "i2 f8 c16"),
        ([-32768] * 64, "i2 i8"),
        ([0] * 100_000, "i2 f8"),
        (np.zeros((1,) * 32), "f8"),
    ]
    for dtype in dtypes.split()
] + [np.zeros(3, "i2,f8"), np.zeros((), "V8")]
HEADERS = [
    "{'descr': '<i2', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<i2', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999999999999,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<U0', 'fortran_order': False, 'shape': (10000000000,), }",
    "{'descr': ('<i2',), 'fortran_order': False, 'shape': ()}",
    "{'descr': {'names': 3}, 'fortran_order': False, 'shape': ()}",
    *("((((", "{1: 2, 'a': 3}", "  x\n y\n", "\x00", "", "[" * 3000, "{}"),
]


def packed(members):
    """The bytes of an archive of named members, which need not be arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@st.composite
def edited_archive(draw, folder):
    """An archive of one kind with a member changed, missing, odd or of other bytes."""
    name = draw(st.sampled_from(sorted(ARCHIVES)))
    make, read = ARCHIVES[name]
    path = folder / f"{name}.npz"
    make().save(path)
    if draw(st.integers(0, 4)) == 0:
        return read, path, draw(edited_bytes(path.read_bytes()))
    arrays = files.read_npz(path)
    key = draw(st.sampled_from(sorted(arrays)))
    edit = draw(
        st.sampled_from(["set"] * 4 + ["entry"] * 3 + ["drop", "add", "rename", "header", "raw"])
    )
    raw = {}
    if edit == "set":
        arrays[key] = draw(st.sampled_from(ARRAYS))
    elif edit == "entry" and arrays[key].dtype.kind in "ifc" and arrays[key].size:
        flat = arrays[key].reshape(-1)
        bad = [-1, 0, 1, 300] + [math.nan, math.inf, -1e308] * (flat.dtype.kind in "fc")
        flat[draw(st.integers(0, flat.size - 1))] = draw(st.sampled_from(bad))
    elif edit in ("drop", "rename", "header", "raw"):
        taken = arrays.pop(key)
        if edit == "rename":
            arrays[draw(st.sampled_from(["x", "filter_9", "seed", "best", "a/b"]))] = taken
        elif edit == "header":
            header = draw(st.sampled_from(HEADERS)).encode()
            version = draw(st.sampled_from([b"\x01\x00", b"\x01\x00", b"\x09\x00"]))
            raw[f"{key}.npy"] = (
                b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + bytes(16)
            )
        elif edit == "raw":
            raw[key + draw(st.sampled_from(["", ".npy"]))] = draw(st.binary(max_size=8))
    else:
        arrays["other"] = draw(st.sampled_from(ARRAYS))
    members = {}
    for key, array in arrays.items():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, allow_pickle=False)
        members[f"{key}.npy"] = buffer.getvalue()
    return read, path, packed(members | raw)


@pytest.mark.slow
@examples(150)
@given(data=st.data())
def test_archives(data, place):
    read, path, content = data.draw(edited_archive(place))
    path.write_bytes(content)
    found = tried(read, path)
    if found is None:
        assert one_line(path) in tried.message
        return
    given = files.read_npz(path)
    if isinstance(found, State):
        origin = str(given["config_hash"]), str(given.get("sources"))
        if origin != (LEARNED.hash, _made_by()):
            # Another configuration, other code or another processor: learning begins again.
            assert not found.history
            return
    found.save(path)
    again = files.read_npz(path)
    assert set(given) == set(again)
    for key, array in again.items():
        assert np.array_equal(array, given[key]), key


@pytest.mark.parametrize("steps", [1, 3, 4, 5])
def test_a_checkpoint_whose_parts_do_not_belong_together_is_refused(steps, tmp_path):
    path = tmp_path / "checkpoint.npz"
    state = checkpoint(steps)
    begun = {1: {"floats"}, 3: set(), 4: set(), 5: set()}[steps]
    for missing in ({"floats", "best"}, {"best"}, {"floats"}, set()):
        for name in ("floats", "best"):
            value = None if name in missing else getattr(checkpoint(), name)
            setattr(state, name, value)
        state.save(path)
        found = tried(State.load, path, LEARNED)
        assert (found is not None) == (missing == begun)
        if found:
            assert found.history == state.history


@pytest.mark.slow
@examples(60)
@given(data=st.data())
def test_databases(data, place):
    path = place / "results.sqlite"
    if not (place / "whole.sqlite").exists():
        with Results(place / "whole.sqlite") as results:
            results.add([("a", "r", number, group_measures(number % 5)) for number in range(40)])
    whole = (place / "whole.sqlite").read_bytes()
    for file in place.glob("results.sqlite*"):
        file.unlink()
    path.write_bytes(data.draw(edited_bytes(whole)) if data.draw(st.booleans()) else whole)
    if path.read_bytes() == whole:
        column = data.draw(
            st.sampled_from(["scenario", "receiver", "number", "measures", "checksum"])
        )
        value = data.draw(
            st.sampled_from(["''", "x'ff'", "cast(x'ff' as text)", "-1", "1e300", "'{}'"])
        )
        with sqlite3.connect(path) as database:
            database.execute(f"update units set {column} = {value} where number = 7")
        database.close()

    def read():
        with Results(path) as results:
            found = results.load("a", "r")
            results.add([("a", "r", 7, group_measures(2))])
            return found

    found = tried(read, kind=DbpError)
    if found is None:
        assert one_line(path) in tried.message
    else:
        assert all(found[number] == group_measures(number % 5) for number in found)


# Values of options: what numbers are written like, and anything that a shell may hand over.
NUMBER_WORDS = """
0 1 -1 2 16 1e3 nan inf -inf 1e400 0x10 1_0 \u00b2 \uff11 +1 0.5 -30 20 20.1 : :: , ,, 0:1 0:1:0
0:1:-1
1:0:1 0:1:1e-9 -4:4:1 0:1:nan 0:inf:1 -1e999:0:1 a:b:c 0,1, 0,nan
"""
OTHER_WORDS = """
local slurm tcp:// tcp://a:0 tcp://a:1e3 tcp://a:99999 tcp://[::1 tcp://a:1/b spans=1:4:1 spans= =1
spans=1:2 spans=a,b x=1 design=1 link.spans=2 spans=nan modulation=qpsk,x launch_power_dbm=99
"""
LONG_WORDS = ["", " ", "9" * 30, "9" * 5000, "0," * 3000 + "0", "x" * 100_000, CONTROL]
WORDS = st.text(max_size=12) | st.sampled_from(
    NUMBER_WORDS.split() + OTHER_WORDS.split() + LONG_WORDS
)
OPTIONS = ["--launch-power-dbm", "--sweep", "--workers", "--min-errors", "--max-bits", "--seed",
           "--cluster", "--out", "--arithmetic", "--config", "--lunch", "-x"]  # fmt: skip


@pytest.mark.slow
@examples(100)
@given(given=st.lists(st.tuples(st.sampled_from(OPTIONS), WORDS), min_size=1, max_size=3))
def test_command_lines(given):
    called = []
    arguments = ["ber", "linear", "--out", "RUN", *(f"{name}={word}" for name, word in given)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ber, "ber", lambda *a, **k: called.append((a, k)))
        status, lines = main(patch, arguments)
    if not called:
        assert status == 2 and len(lines) == 1 and lines[0].isprintable(), lines
        assert re.match(r"dbp( ber)?: error: ", lines[0])
        assert any(name in lines[0] for name, _ in given)
        return
    assert status == 0 and not lines
    ((request, out, workplace), _) = called[0]
    powers, last = request.launch_powers_dbm, dict(given)
    assert str(out) == os.path.normpath(last.get("--out", "RUN")) or out.parts
    for name, value in (
        ("--workers", workplace.workers),
        ("--min-errors", request.min_errors),
        ("--max-bits", request.max_bits),
        ("--seed", request.seed),
    ):
        assert value == (int(last[name]) if name in last else None)
    if "--launch-power-dbm" in last:
        text = last["--launch-power-dbm"]
        assert powers and all(-30 <= power <= 20 for power in powers)
        if ":" in text:
            start, stop, step = map(float, text.split(":"))
            assert powers == pytest.approx([start + k * step for k in range(len(powers))])
            assert stop - step < powers[-1] <= stop + 1e-6
        else:
            assert powers == tuple(map(float, text.split(",")))


def main(patch, arguments):
    """The exit status of the command line and the lines of its standard error."""
    err = io.StringIO()
    patch.setattr("sys.stderr", err)
    try:
        status = cli.main(arguments)
    except SystemExit as stop:
        status = stop.code
    return status, err.getvalue().split("\n")[:-1]


FORMS = [
    ["train", "demo", "--out", "RUN", "--seed", None],
    ["run", None, "--out", "RUN"],
    ["rtl", None, "--out", "RUN"],
    ["rtl", "learned-c6-s9", "--out", "RUN", "--lanes", None],
    ["rtl", "learned-c6-s9", "--out", "RUN", "--filter", None],
    ["synth", "RUN", "--step", None],
    ["sim", "RUN", "--simulator", None],
    ["ber", None, "--out", "RUN"],
    ["ber", "linear", "--config", None, "--out", "RUN"],
    ["ber", "linear", "--out", "RUN", "--cluster", None],
    ["ber", "linear", "--out", "RUN", "--sweep", None],
]


@pytest.mark.slow
@examples(80)
@given(form=st.sampled_from(FORMS), word=WORDS)
def test_names_and_options_of_every_command(form, word, place):
    called = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for command in (train, rtl, prove, sim, synth, run):
            name = command.__name__.rpartition(".")[2]
            patch.setattr(command, name, lambda *a: called.append(a))
        patch.setattr(ber, "_count", lambda *a: called.append(a) or 1 / 0)
        arguments = [word if part is None else part for part in form]
        try:
            status, lines = main(patch, arguments)
        except ZeroDivisionError:
            status, lines = 0, []
    if word in ("-x", "-h", "--help"):
        return
    if called:
        assert status == 0 and not lines
    else:
        assert status == 2 and len(lines) == 1 and lines[0].isprintable(), (status, lines)


@pytest.mark.parametrize("odd", ["folder", "loop", "nowhere", "pipe", "device", "empty", "long"])
def test_what_is_no_file_is_refused_in_one_line(odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("config.toml", "design.json", "train/float.npz", "stimulus.npz", "results.sqlite"):
        path = tmp_path / odd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if odd == "folder":
            path.mkdir()
        elif odd == "loop":
            path.symlink_to(path)
        elif odd == "nowhere":
            path.symlink_to(tmp_path / "nowhere.at.all")
        elif odd == "pipe":
            os.mkfifo(path)
        elif odd == "device":
            path.symlink_to("/dev/null")
        elif odd == "empty":
            path.touch()
        else:
            path = path.with_name("n" * 300)
        run = path.parent
        for arguments in (
            ["train", str(path), "--out", "RUN"],
            ["ber", str(path), "--out", "RUN"],
            ["ber", "linear", "--config", str(path), "--out", "RUN"],
            ["rtl", str(run), "--out", "RUN"],
            ["sim", str(run)],
            ["synth", str(run)],
            ["prove", str(run)],
        ):
            if odd == "empty" and ("train" in arguments or "--config" in arguments):
                continue  # all of a configuration may be missing
            status, lines = main(monkeypatch, arguments)
            assert status == 2 and len(lines) == 1, (arguments, lines)
    with pytest.raises(InputError):
        runs.config_of(tmp_path / odd) if odd not in ("empty", "long") else runs.find_design(odd)
    assert not (tmp_path / "RUN").exists()
