"""Streams of others: where the sent symbols are found, what is counted, and what is refused."""

import json
import re

import numpy as np
import pytest
from helpers.designs import SCALE
from helpers.waveforms import DESIGN, LINK, ROLL_OFF, drawn, noise, plain, stream
from scipy import io as scipy_io

from dbp import cli, config
from dbp.errors import InputError
from dbp.evaluation import measures
from dbp.evaluation.receivers import FixedReceiver
from dbp.link import modulation, transmission
from dbp.support import untrusted_files
from dbp.waveforms.recording import read_recording
from dbp.waveforms.synchronization import coherence, resample, synchronize


@pytest.mark.parametrize("samples_per_symbol", [2, 3, 4, 5, 8])
def test_resampling_gives_the_samples_of_the_same_pulses(samples_per_symbol):
    sent = drawn(400)
    waveform = 3e-3 * stream(sent, samples_per_symbol)
    # What is left of a symbol is left out.
    waveform = np.append(waveform, waveform[: samples_per_symbol - 1])
    expected = stream(sent, 2)
    expected /= np.sqrt(np.mean(np.abs(expected) ** 2))
    assert np.allclose(resample(waveform, samples_per_symbol), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-99, 1.0, 1e99])
def test_any_unit_becomes_mean_power_1(scale):
    waveform = resample(scale * stream(drawn(100), 4), 4)
    assert np.mean(np.abs(waveform) ** 2) == pytest.approx(1)


@pytest.mark.parametrize(
    "waveform",
    [np.ones(3), np.zeros(400), np.append(np.zeros(4), 1), np.exp(1j * np.pi * np.arange(400))],
)
def test_nothing_in_the_band_is_refused(waveform):
    with pytest.raises(InputError, match="waveform: holds no whole symbol, or nothing within"):
        resample(waveform, 4)


@pytest.mark.parametrize("delay_samples", [0.0, 7.0, 8.0, -0.5, 301.37, -2000.81])
@pytest.mark.parametrize("periods", [1, 3])
def test_delay_phase_and_gain_are_found(delay_samples, periods):
    sent = drawn(4000)
    waveform = np.tile(stream(sent, 2, delay_samples), periods) * 0.5 * np.exp(1.2j)
    waveform = waveform + 0.5 * noise(waveform.size, 15.0)
    found = synchronize(plain, waveform, sent, ROLL_OFF)
    assert 2 * found.delay_symbols == pytest.approx(delay_samples, abs=0.02)
    assert found.phase_rad == pytest.approx(1.2, abs=0.02)
    assert found.gain == pytest.approx(0.5, abs=0.01)
    # The noise of both sides of the band at 2 samples per symbol: half of it passes.
    assert found.coherence == pytest.approx(1 / (1 + 10**-1.5 / 2), abs=0.002)
    assert coherence(sent[found.index], found.received) == pytest.approx(found.coherence, abs=2e-3)
    assert not found.conjugated


def test_a_noiseless_delay_is_exact():
    found = synchronize(plain, stream(drawn(3000), 2, 12.345), drawn(3000), ROLL_OFF)
    assert 2 * found.delay_symbols == pytest.approx(12.345, abs=1e-3)
    assert found.coherence > 1 - 1e-6


def test_a_waveform_may_hold_a_part_of_what_was_sent():
    sent = drawn(9000)
    waveform = stream(sent, 2)[2 * 3001 : 2 * 7000]
    found = synchronize(plain, waveform, sent, ROLL_OFF)
    assert found.delay_symbols == pytest.approx(-3001, abs=1e-3)
    inside = slice(50, -50)
    assert np.array_equal(found.index, np.arange(3001, 7000))
    assert coherence(sent[found.index][inside], found.received[inside]) > 0.9999


def test_a_part_cut_across_the_end_of_a_period_goes_on_with_its_start():
    sent = drawn(1000)
    waveform = np.tile(stream(sent, 2), 4)[2 * 750 : 2 * 2900 + 1][:-1]
    found = synchronize(plain, waveform, sent, ROLL_OFF)
    assert found.delay_symbols == pytest.approx(250, abs=1e-2)
    assert np.array_equal(found.index, (np.arange(2150) + 750) % 1000)


def test_both_conjugated_are_received_as_if_neither_were():
    sent, turn = drawn(4000), np.exp(1j * np.linspace(0, 300, 8000) ** 2)

    def equalize(waveform):  # as dispersion: right for one convention only
        return np.fft.ifft(np.fft.fft(waveform) * np.conj(turn))

    waveform = np.fft.ifft(np.fft.fft(stream(sent, 2, 3.3)) * turn)
    right = synchronize(equalize, waveform, sent, ROLL_OFF)
    other = synchronize(equalize, np.conj(waveform), np.conj(sent), ROLL_OFF)
    assert (right.conjugated, other.conjugated) == (False, True)
    assert other.delay_symbols == pytest.approx(right.delay_symbols, abs=1e-4)
    assert np.allclose(other.received, np.conj(right.received), atol=1e-4)
    assert np.allclose(other.equalized, np.conj(right.equalized))
    with pytest.raises(InputError, match=r"symbols: conjugated: conj\(symbols\) fits"):
        synchronize(equalize, waveform, np.conj(sent), ROLL_OFF)
    with pytest.raises(InputError, match=r"waveform: conjugated: conj\(waveform\) fits"):
        synchronize(equalize, np.conj(waveform), sent, ROLL_OFF)


@pytest.mark.parametrize("name", ["qpsk", "16qam", "64qam"])
@pytest.mark.parametrize("period", [64, 1000, 30000])
def test_other_symbols_are_not_found(name, period):
    for seed in range(5 * SCALE):
        waveform = stream(drawn(5000, 10 + seed, name), 2)
        with pytest.raises(InputError, match=r"symbols: not found .* \(coherence 0\.\d+, must be"):
            synchronize(plain, waveform, drawn(period, 50 + seed, name), ROLL_OFF)


def test_symbols_all_but_lost_in_noise_are_not_found():
    sent = drawn(9000)
    waveform = stream(sent, 2)
    assert synchronize(plain, waveform + noise(18000, -9.0), sent, ROLL_OFF).coherence > 0.1
    with pytest.raises(InputError, match=r"\(coherence 0\.0[3-7]\d, must be 0\.100"):
        synchronize(plain, waveform + noise(18000, -15.8), sent, ROLL_OFF)


def test_a_dead_receiver_is_refused():
    with pytest.raises(InputError, match=r"symbols: not found .* \(coherence 0\.000"):
        synchronize(np.zeros_like, stream(drawn(2000), 2), drawn(2000), ROLL_OFF)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A folder with a design and the same waveform of `dbp link` in three kinds of files."""
    folder = tmp_path_factory.mktemp("simulated")
    DESIGN.save(folder / "design.json")
    (folder / "link.toml").write_text(LINK)
    for kind in ("npz", "mat", "h5"):
        link_ = ["link", str(folder / "link.toml"), "--symbols", "16384", "--seed", "5"]
        power = ["--launch-power-dbm", "-19"]
        assert cli.main([*link_, *power, f"--output={folder / f'a.{kind}'}"]) == 0
    return folder


def counted(folder, waveform, *more):
    out = folder / "RUN"
    arguments = ["ber", str(folder / "design.json"), f"--waveform={waveform}", f"--out={out}"]
    assert cli.main([*arguments, *more]) == 0
    written = json.loads((out / "metrics.json").read_text())
    assert (out / "ber.csv").is_file() and (out / "constellation.npz").is_file()
    return written["points"]


@pytest.fixture(scope="module")
def point(simulated):
    """What is counted on the waveform as it is."""
    return counted(simulated, simulated / "a.npz")[0]


def test_what_the_link_writes_is_counted_as_the_evaluation_does(simulated, point):
    for kind in ("mat", "h5"):
        assert counted(simulated, simulated / f"a.{kind}") == [point]
    # The same block without files: what is at the known places, of the same symbols.
    settings = config.parse(LINK).link.model_copy(update={"block_symbols": 16384})
    received = transmission.simulate(settings, -19.0, 1, seed=5, purpose="evaluate", progress=False)
    equalized = FixedReceiver("x", DESIGN)(received.waveform, -19.0)
    symbols = measures.matched_filter(equalized, settings.roll_off)
    edge = point["edge_symbols"]
    assert edge == 4 + 64
    inside = slice(edge, edge + point["bits"] // 4)
    assert point["bits"] == 4 * 1024 * ((16384 - 2 * edge) // 1024)
    parts = (x[0, inside].reshape(-1, 1024) for x in (received.symbols, received.labels, symbols))
    expected = measures.summarize([measures.measure("16qam", *parts)])
    assert point["errors"] == pytest.approx(expected.errors, rel=0.02)
    assert point["errors"] > 100
    assert point["snr_db"] == pytest.approx(expected.snr_db, abs=0.01)
    assert point["gmi_bits"] == pytest.approx(expected.gmi_bits, abs=0.002)
    assert point["delay_samples"] == pytest.approx(0, abs=0.02)
    assert point["coherence"] == pytest.approx(1 - 10 ** (-expected.snr_db / 10), abs=0.01)


def changed(folder, **changes):
    """The simulated waveform, in ``b.mat``, with other fields."""
    fields = dict(np.load(folder / "a.npz"))
    fields |= {k: v(fields) if callable(v) else v for k, v in changes.items()}
    scipy_io.savemat(folder / "b.mat", {k: v for k, v in fields.items() if v is not None})
    return folder / "b.mat"


def oversampled(fields):
    """4 samples per symbol, turned, scaled and 1.5 of these samples late."""
    spectrum = np.fft.fft(fields["waveform"].astype(np.complex128))
    half = spectrum.size // 2
    spectrum = np.concatenate((spectrum[:half], np.zeros(2 * half), spectrum[half:]))
    late = np.exp(-2j * np.pi * np.fft.fftfreq(4 * half) * 1.5)
    return 1e-3j * np.fft.ifft(spectrum * late)[17:]


def test_other_rate_delay_phase_and_unit_are_counted_alike(simulated, point):
    (other,) = counted(simulated, changed(simulated, waveform=oversampled, sample_rate_hz=80e9))
    assert other["delay_samples"] == pytest.approx(1.5 - 17, abs=0.03)
    assert other["phase_rad"] - point["phase_rad"] == pytest.approx(np.pi / 2, abs=0.02)
    assert other["snr_db"] == pytest.approx(point["snr_db"], abs=0.05)


def test_bits_are_counted_as_symbols_are(simulated, point):
    def bits(fields):
        labels = modulation.decide("16qam", fields["symbols"])
        return labels[:, np.newaxis] >> np.arange(4)[::-1] & 1

    assert counted(simulated, changed(simulated, bits=bits, symbols=None)) == [point]


def test_a_conjugated_file_is_counted_alike(simulated, point):

    def conjugate(name):
        return lambda fields: np.conj(fields[name])

    file = changed(simulated, waveform=conjugate("waveform"), symbols=conjugate("symbols"))
    (other,) = counted(simulated, file)
    assert other["snr_db"] == pytest.approx(point["snr_db"], abs=0.05)


def test_short_streams_are_counted_in_short_blocks(simulated):
    def some(fields):
        return fields["waveform"][: 2 * 1200]

    (point,) = counted(simulated, changed(simulated, waveform=some))
    assert point["bits"] == 4 * 8 * ((1200 - 2 * 68) // 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"waveform": lambda f: f["waveform"][:2000]}, "1000 symbols: must be at least 1160"),
        ({"symbols": lambda f: f["symbols"][:8000]}, "found in the middle|not found"),
        ({"symbols": lambda f: np.roll(f["symbols"], 1)[::-1]}, "symbols: not found"),
        ({"symbols": None}, "symbols or bits, and modulation: must be there"),
        ({"modulation": None}, "symbols or bits, and modulation: must be there"),
        ({"modulation": "gaussian"}, "modulation = 'gaussian': has no bits"),
        ({"symbols": lambda f: np.conj(f["symbols"])}, r"conj\(symbols\) fits"),
        (
            {"waveform": lambda f: np.concatenate((f["waveform"], f["waveform"][5000:25000]))},
            r"not in its symbols \d+\.\.\d+: must be those of the whole waveform",
        ),
    ],
)
def test_streams_that_do_not_fit_are_one_line(changes, message, simulated, tmp_path, capsys):
    file = changed(simulated, **changes)
    design, out = simulated / "design.json", tmp_path / "RUN"
    assert cli.main(["ber", str(design), f"--waveform={file}", f"--out={out}"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(f"dbp: error: {file}: ")
    assert re.search(message, err), err
    assert not out.exists()


@pytest.mark.parametrize("kind", ["npz", "mat", "h5"])
def test_equalize_writes_what_ber_counts(kind, simulated, point, tmp_path):
    out = tmp_path / f"out.{kind}"
    given = ["equalize", str(simulated / "design.json"), f"--input={simulated / 'a.npz'}"]
    assert cli.main([*given, f"--output={out}"]) == 0
    equalized = read_recording(out)
    assert equalized.samples_per_symbol == 2 and equalized.waveform.size == 2 * 16384
    # Codes of the converter, as the hardware puts them out.
    assert np.array_equal(equalized.waveform, np.round(equalized.waveform))
    symbols = measures.matched_filter(equalized.waveform, equalized.roll_off)
    fields = untrusted_files.read(out, ["sent_symbols", "received_symbols", "edge_samples"])
    sent, received = (fields[f"{name}_symbols"].ravel() for name in ("sent", "received"))
    edge = point["edge_symbols"]
    assert fields["edge_samples"] == 2 * edge and sent.size == 16384 - 2 * edge
    assert np.array_equal(sent, equalized.symbols[edge:-edge])
    assert np.vdot(sent, received) == pytest.approx(np.vdot(sent, sent))
    assert coherence(symbols[edge:-edge], received) == pytest.approx(1, abs=1e-4)
    snr_db = -10 * np.log10(1 - coherence(sent, received))
    assert snr_db == pytest.approx(point["snr_db"], abs=0.05)


def test_equalize_needs_no_symbols(simulated, tmp_path, capsys):
    whole = ["--arithmetic=fixed", f"--output={tmp_path / 'whole.npz'}"]
    blind = [f"--output={tmp_path / 'blind.npz'}"]
    equalize = ["equalize", str(simulated / "design.json")]
    assert cli.main([*equalize, f"--input={simulated / 'a.npz'}", *whole]) == 0
    file = changed(simulated, symbols=None, modulation=None)
    capsys.readouterr()
    assert cli.main([*equalize, f"--input={file}", *blind]) == 0
    assert "neither delay nor conjugation" in capsys.readouterr().out
    one, other = (read_recording(tmp_path / f"{n}.npz").waveform for n in ("whole", "blind"))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ber", "design.json", "--waveform=a.npz", "--seed=1", "--out=R"], "no --seed"),
        (["ber", "design.json", "--waveform=a.npz", "--min-errors=1", "--out=R"], "no --min-er"),
        (
            ["ber", "design.json", "--waveform=a.npz", "--launch-power-dbm=0", "--out=R"],
            "no --launch-power-dbm",
        ),
        (["ber", "--waveform=a.npz", "--out=R"], "must have DESIGN"),
        (["ber", "nosuch", "--waveform=a.npz", "--out=R"], "design 'nosuch': neither"),
        (["ber", "--reproduce=paper", "--waveform=a.npz", "--out=R"], "no --waveform"),
        (["equalize", "design.json", "--input=a.npz", "--output=b.wav"], "b.wav: must end in"),
        (["equalize", "design.json", "--input=none.npz", "--output=R"], "R: must end in"),
        (["equalize", "design.json", "--input=none.npz", "--output=R.mat"], "none.npz: no such"),
        (["link", "link.toml", "--output=R.txt"], "R.txt: must end in"),
        (["link", "link.toml", "--output=R.npz", "--symbols=63"], "link.block_symbols = 63: "),
        (["link", "link.toml", "--output=R.npz", "--launch-power-dbm=0:1:1"], "must be one launch"),
        (["link", "nosuch", "--output=R.npz"], "configuration 'nosuch'"),
    ],
)
def test_wrong_options_are_one_line(arguments, message, simulated, monkeypatch, capsys):
    monkeypatch.chdir(simulated)
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and re.search(message, err), err
    assert not list(simulated.glob("R*")) or (simulated / "RUN").exists()


def test_references_count_on_a_waveform_as_theory_says(tmp_path, capsys, monkeypatch):
    # Without the Kerr effect what is left is the noise of the amplifiers: (F G - 1) h f / 2 each.
    (tmp_path / "linear.toml").write_text(
        "[link]\nspans = 12\nnonlinearity_per_w_km = 0.0\nroll_off = 0.2\nsymbol_rate_gbd = 25\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["link", "linear.toml", "--output", "sent.npz", "--symbols", "16384"]) == 0
    arguments = ["ber", "linear", "dbp1", "--waveform", "sent.npz", "--out", "run"]
    assert cli.main([*arguments, "--config", "linear.toml"]) == 0
    assert "undo the link of linear.toml: 12 x 100 km, 17 ps/nm/km, 0 /W" in capsys.readouterr().out
    points = json.loads((tmp_path / "run" / "metrics.json").read_text())["points"]
    gain, figure = 10**2.0, 10**0.5
    noise_w = 12 * (figure * gain - 1) / 2 * 6.62607015e-34 * (299792458 / 1550e-9) * 25e9
    power_w = 1e-3 * 10 ** (points[0]["launch_power_dbm"] / 10)
    for point in points:
        assert point["snr_db"] == pytest.approx(10 * np.log10(power_w / noise_w), abs=0.1)
        # Half of the walk-off of 50 GHz, 17 ps/nm/km 1200 km 0.4007 nm, and the pulses.
        assert point["edge_symbols"] == 103 + 64
        assert point["design_hash"] is None


def test_references_of_another_link_do_not_find_their_symbols_and_say_which_it_is(
    tmp_path, capsys, monkeypatch
):
    (tmp_path / "far.toml").write_text("[link]\nspans = 12\ndispersion_ps_per_nm_km = -8.0\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["link", "far.toml", "--output", "sent.npz", "--symbols", "16384"]) == 0
    assert cli.main(["ber", "linear", "--waveform", "sent.npz", "--out", "run"]) == 2
    said = capsys.readouterr()
    assert "references undo the link of paper" in said.out and "linear" in said.err
