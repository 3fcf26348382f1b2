"""Waveforms of two polarisations: files, what is found in them, and what each fault says."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.waveforms import DESIGN, LINK, drawn, here, noise, plain, stream, turned
from scipy import io as scipy_io

import dbp
from dbp import cli, config
from dbp.errors import InputError
from dbp.evaluation import on_waveform
from dbp.link import modulation, transmission
from dbp.waveforms import recording
from dbp.waveforms.recording import Recording, read_recording, write_recording
from dbp.waveforms.synchronization import coherence, combined, synchronize_all

BOTH = np.stack([drawn(3000, 1), drawn(3000, 2)])
WAVEFORM = np.stack([stream(row, 2) for row in BOTH])
RECORDING = Recording(WAVEFORM, 2, 20e9, 0.2, 0.5, "16qam", BOTH)
FIELDS = {
    "waveform": WAVEFORM,
    "sample_rate_hz": 40e9,
    "symbol_rate_baud": 20e9,
    "roll_off": 0.2,
    "launch_power_dbm": 0.5,
    "modulation": "16qam",
    "symbols": BOTH,
}


def fields_with(**changes):
    fields = FIELDS | changes
    return {name: np.asarray(value) for name, value in fields.items() if value is not None}


# Files.


@pytest.mark.parametrize("kind", ["npz", "mat", "h5", "hdf5"])
def test_what_is_written_is_read(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(recording.untrusted_files, "_in_a_process", here)
    write_recording(tmp_path / f"a.{kind}", RECORDING)
    read = read_recording(tmp_path / f"a.{kind}")
    assert read.polarizations == 2
    for name in Recording.__annotations__:
        assert np.array_equal(getattr(read, name), getattr(RECORDING, name))


def test_columns_are_polarisations_as_rows_are():
    read = recording._recording(fields_with(waveform=WAVEFORM.T, symbols=7e-3 * BOTH.T))
    assert np.array_equal(read.waveform, WAVEFORM) and np.array_equal(read.symbols, BOTH)


def test_bits_of_two_polarisations_are_symbols():
    bits = modulation.decide("16qam", BOTH)[..., np.newaxis] >> np.arange(4)[::-1] & 1
    for given in (bits, bits.reshape(2, -1)):
        read = recording._recording(fields_with(symbols=None, bits=given))
        assert np.array_equal(read.symbols, BOTH)


def holed(name, row, value):
    array = FIELDS[name].copy()
    array[row, 7] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"waveform": WAVEFORM[0]}, "waveform, symbols: of 1 and 2 polarisations: must both be"),
        ({"symbols": BOTH[0]}, "waveform, symbols: of 2 and 1 polarisations: must both be"),
        ({"waveform": WAVEFORM * [[1], [0]]}, r"waveform\[1\]: up to 0: the largest must be in"),
        ({"waveform": np.ones((3, 3000), complex)}, r"waveform: .*, or of shape \(2, n\) with two"),
        (holed("waveform", 1, np.nan), r"waveform\[1\]: element 7 of 0.. is .*nan.*must be finite"),
        (holed("symbols", 0, np.inf), r"symbols\[0\]: element 7 of 0.. is .*inf.*must be finite"),
        (holed("symbols", 1, 0.1), r"symbols\[1\]: element 7 of 0.. is .*must be points of 16qam"),
        ({"symbols": BOTH[:, :63]}, "symbols: 63 symbols: must be 64"),
        (
            {"symbols": None, "bits": np.zeros((3000, 4))},
            r"bits: of shape \(3000, 4\): must be \(2, n\), or \(2, symbols, 4\), since waveform",
        ),
        (
            {"waveform": np.ones((3000, 4), np.int16)},
            r"of both, write \[x\[:, 0\] \+ 1j \* x\[:, 1\], x\[:, 2\] \+ 1j \* x\[:, 3\]\]$",
        ),
    ],
)
def test_fields_that_do_not_fit_are_named(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        recording._recording(fields_with(**changes))
    assert "\n" not in str(caught.value)


def test_polarisations_of_other_lengths_are_said_to_be_one_matrix(tmp_path, monkeypatch):
    monkeypatch.setattr(recording.untrusted_files, "_in_a_process", here)
    cell = np.empty(2, object)
    cell[:] = [WAVEFORM[0], WAVEFORM[1, :-1]]
    scipy_io.savemat(tmp_path / "a.mat", FIELDS | {"waveform": cell})
    with pytest.raises(InputError, match=r"waveform: of type object: .* the rows of one matrix"):
        read_recording(tmp_path / "a.mat")


# What is found in a stream.


def found_in(waveform, sent, equalize=plain):
    waveform = waveform / np.sqrt(np.mean(np.abs(waveform) ** 2))
    return synchronize_all(equalize, waveform, sent, 0.2)


@pytest.mark.parametrize("delays", [(0.0, 0.0), (12.5, 12.5), (-3.2, 801.7)])
def test_any_mixture_is_undone(delays):
    late = np.stack([stream(row, 2, d) for row, d in zip(BOTH, delays, strict=True)])
    waveform = turned(3) @ late + 0.2 * np.stack([noise(6000, 10, k) for k in (5, 6)])
    for found, delay, sent in zip(found_in(waveform, BOTH), delays, BOTH, strict=True):
        assert 2 * found.delay_symbols == pytest.approx(delay, abs=0.02)
        assert found.received.shape == (2, 3000)
        of_one = combined(sent[found.index], found.received)
        assert coherence(sent[found.index], of_one) == pytest.approx(found.coherence, abs=2e-3)
        # Noise of 10 dB, 14 dB less, over twice the band.
        assert found.coherence == pytest.approx(1 / (1 + 0.04 * 0.1 / 2), abs=1e-3)


def test_swapped_rows_are_received_and_told():
    assert not on_waveform.are_swapped(found_in(WAVEFORM, BOTH))
    assert on_waveform.are_swapped(found_in(WAVEFORM[::-1], BOTH))


CHIRP = np.exp(1j * np.linspace(0, 300, 6000) ** 2)


def undo_chirp(waveform):
    """As dispersion: right for one convention only."""
    return np.fft.ifft(np.fft.fft(waveform) * np.conj(CHIRP))


CHIRPED = np.fft.ifft(np.fft.fft(WAVEFORM) * CHIRP)


def conjugate_of(array, *rows):
    out = array.copy()
    for row in rows:
        out[row] = out[row].conj()
    return out


@pytest.mark.parametrize(
    ("waveform", "symbols", "message"),
    [
        ((), (0, 1), r"^symbols: conjugated: conj\(symbols\) fits, with coherence 1.00"),
        ((0, 1), (), r"^waveform: conjugated: conj\(waveform\) fits, with coherence 1.00"),
        (
            (),
            (1,),
            r"in one polarisation only: symbols\[0\] fit as they are, symbols\[1\] fit conj\(s",
        ),
        (
            (0,),
            (),
            r"in one polarisation only: symbols\[0\] fit conj\(waveform\), symbols\[1\] fit as",
        ),
        (
            (1,),
            (1,),
            r"only: symbols\[0\] fit as they are, symbols\[1\] fit conj of both: write both",
        ),
    ],
)
def test_what_is_conjugated_is_said(waveform, symbols, message):
    given = conjugate_of(CHIRPED, *waveform), conjugate_of(BOTH, *symbols)
    with pytest.raises(InputError, match=message):
        found_in(*given, undo_chirp)


def test_all_conjugated_is_received():
    found = found_in(CHIRPED.conj(), BOTH.conj(), undo_chirp)
    assert [each.conjugated for each in found] == [True, True]
    assert min(each.coherence for each in found) > 0.999


@pytest.mark.parametrize(
    ("waveform", "symbols", "message"),
    [
        (
            WAVEFORM,
            [BOTH[0], drawn(3000, 9)],
            r"symbols\[1\]: not found .*as symbols\[0\] are: is a",
        ),
        (
            WAVEFORM[[1, 1]],
            BOTH,
            r"symbols\[0\]: not found .*is a polarisation missing or twice in",
        ),
        (
            WAVEFORM,
            [drawn(3000, 8), drawn(3000, 9)],
            "symbols: not found in the equalised waveform",
        ),
    ],
)
def test_symbols_that_are_not_there_are_named(waveform, symbols, message):
    with pytest.raises(InputError, match=message) as caught:
        found_in(waveform, np.stack(symbols))
    assert "\n" not in str(caught.value)


def test_a_polarisation_that_ends_early_is_told():
    waveform = WAVEFORM + 1e-3 * np.stack([noise(6000, 0, k) for k in (5, 6)])
    waveform[1, 3600:] = noise(2400, 0)
    with pytest.raises(
        InputError, match=r"symbols\[1\]: found in the middle .* not in its symbols"
    ):
        dbp.evaluate_waveform(Nothing(), replace(RECORDING, waveform=waveform), link=SHORT)


SHORT = dbp.Link(spans=1, span_km=1.0)


class Nothing:
    name, arithmetic, key = "nothing", "float", "nothing"

    def __call__(self, waveform, launch_power_dbm):
        return 3j * waveform


def test_rows_of_other_scale_and_with_offsets_are_received_alike():
    noisy = WAVEFORM + np.stack([noise(6000, 13, k) for k in (5, 6)])
    (one,) = dbp.evaluate_waveform(Nothing(), replace(RECORDING, waveform=noisy), link=SHORT)
    other = noisy * [[1e-3], [4.0]] + [[0], [2.0]]
    (two,) = dbp.evaluate_waveform(Nothing(), replace(RECORDING, waveform=other), link=SHORT)
    assert one.errors > 0
    assert two.snr_db == pytest.approx(one.snr_db, abs=0.03)
    assert (one.swapped, two.swapped) == (False, False)
    (note,) = on_waveform._offset_notes("d", replace(RECORDING, waveform=other))
    assert note.startswith("d: waveform[1]: a constant offset of 0.") and "taken out" in note


# From the link through a design of two polarisations to bits.


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    (folder / "design.json").write_text(replace(DESIGN, polarizations=2).to_json())
    (folder / "one.json").write_text(DESIGN.to_json())
    text = LINK + "[link.impairments]\ndual_polarisation = true\n"
    (folder / "link.toml").write_text(text)
    link_ = ["link", str(folder / "link.toml"), "--symbols", "4096", "--seed", "5"]
    assert cli.main([*link_, "--launch-power-dbm=-16", f"--output={folder / 'a.mat'}"]) == 0
    return folder


def counted(folder, *names, more=()):
    out = folder / "RUN"
    file = f"--waveform={folder / 'a.mat'}"
    assert cli.main(["ber", *names, file, f"--out={out}", *more]) == 0
    assert np.load(out / "constellation.npz")[names[-1]].shape[0] == 3000
    return json.loads((out / "metrics.json").read_text())["points"]


def test_what_the_link_writes_is_counted_as_the_evaluation_does(simulated, monkeypatch):
    link = config.parse((simulated / "link.toml").read_text()).link
    long = config.link_with(link, {"block_symbols": 4096})
    received = transmission.simulate(long, -16.0, 1, seed=5, purpose="evaluate", progress=False)
    design = dbp.Design.load(simulated / "design.json")
    expected = dbp.measure(received, design.receive(received))
    monkeypatch.chdir(simulated)
    given = ["--config", "link.toml"]
    fixed, linear = counted(simulated, "design.json", "linear", more=given)
    for point in (fixed, linear):
        assert point["errors"] > 100 and point["bits"] < expected.bits
        assert point["snr_db"] == pytest.approx(expected.snr_db, abs=0.1)
        assert point["delay_samples_y"] == pytest.approx(0, abs=0.05)
        assert point["swapped"] is False


def test_a_design_of_one_polarisation_is_refused(simulated, capsys):
    given = ["ber", str(simulated / "one.json"), f"--waveform={simulated / 'a.mat'}"]
    assert cli.main([*given, f"--out={simulated / 'no'}"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "polarizations = 1: must be 2, as the waveform has" in err


def test_equalize_writes_both(simulated, tmp_path):
    files = [f"--input={simulated / 'a.mat'}", f"--output={tmp_path / 'out.npz'}"]
    assert cli.main(["equalize", str(simulated / "design.json"), *files]) == 0
    read = read_recording(tmp_path / "out.npz")
    assert read.waveform.shape == (2, 8192) and read.symbols.shape == (2, 4096)
    fields = np.load(tmp_path / "out.npz")
    sent, received = fields["sent_symbols"], fields["received_symbols"]
    assert sent.shape == received.shape == (2, 4096 - int(fields["edge_samples"]))
    assert coherence(sent[1], received[1]) > 0.9
    assert re.match("<c|complex", str(received.dtype))
