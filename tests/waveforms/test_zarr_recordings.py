"""Groups of Zarr as the public recordings have them: read from folders and URLs, or refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import waveforms
from helpers.waveforms import drawn, here, noise, stream

from dbp import cli, config
from dbp.errors import InputError
from dbp.evaluation import on_waveform
from dbp.support import untrusted_files
from dbp.waveforms import zarr_recordings
from dbp.waveforms.recording import Recording, read_recording

zarr = pytest.importorskip("zarr", reason="pip install 'digital-backpropagation[zarr]'")
stores = pytest.importorskip("benchmarks.public_recordings")

BOTH = np.stack([drawn(4000, 1), drawn(4000, 2)])
WAVEFORM = np.stack([stream(row, 2) + noise(8000, 20, k) for k, row in enumerate(BOTH)])
DESIGN = replace(waveforms.DESIGN, polarizations=2)
LINK = config.Link(spans=15, span_km=75.0, dispersion_ps_per_nm_km=16.4, roll_off=0.1)


def recorded(baud, roll_off):
    return Recording(WAVEFORM, 2, baud, roll_off, -2.0, "16qam", BOTH)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The captures of a store of each layout."""
    folder = tmp_path_factory.mktemp("stores")
    link = config.link_with(LINK, {"spans": 10, "span_km": 81.5})
    first = stores.write_labptptm1(folder / "one", recorded(28e9, 0.2), link)
    return first, stores.write_labptptm2(folder / "two", recorded(36e9, 0.1), LINK)


@pytest.fixture
def quick(monkeypatch):
    """Read in this process."""
    monkeypatch.setattr(untrusted_files, "_in_a_process", here)


def test_both_layouts_are_read(made, quick):
    first, second = made
    assert first.name == "LP-20_1" and second.name == "-2dBm_ch4_1"
    one, two = read_recording(first), read_recording(str(second))
    for read, baud, roll_off in ((one, 28e9, 0.2), (two, 36e9, 0.1)):
        assert (read.polarizations, read.samples_per_symbol) == (2, 2)
        assert (read.symbol_rate_baud, read.roll_off) == (baud, roll_off)
        assert (read.launch_power_dbm, read.modulation) == (-2.0, "16qam")
        assert np.allclose(read.waveform, stores.SCALE * WAVEFORM, atol=1e-6)
        assert np.array_equal(read.symbols, BOTH)
    assert one.link == {"spans": 10, "span_km": 81.5}
    assert two.link == pytest.approx(
        {"spans": 15, "span_km": 75.0, "dispersion_ps_per_nm_km": 16.4}
    )


def test_a_store_has_what_the_public_one_has(made):
    group = zarr.open_group(made[1], mode="r")
    assert sorted(group) == ["recv", "sent"] and group.metadata.zarr_format == 2
    assert group["recv"].dtype == group["sent"].dtype == np.complex64
    assert set(np.unique(group["sent"][:].real)) == {-3, -1, 1, 3}
    # What the notebook of LabPtPTm2 shows of a capture.
    assert sorted(group.attrs) == [
        *("baudrate", "channelindex", "channels", "distance", "lpdbm", "lpw", "modformat"),
        *("polmux", "samplerate", "spans", "srcid"),
    ]


@pytest.mark.parametrize("url", ["file://{}", "simplecache::file://{}"])
def test_any_url_of_fsspec_is_read(url, made, quick):
    assert read_recording(url.format(made[1])).link["spans"] == 15


def test_what_is_stated_of_the_link_is_what_references_undo(made, quick):
    recording = read_recording(made[1])
    link = on_waveform.link_as_recorded(config.Link(), recording)
    assert (link.spans, link.span_km, link.symbol_rate_gbd) == (15, 75.0, 36.0)
    assert link.impairments.dual_polarisation
    assert not on_waveform.notes("d", DESIGN, link, recording)
    far = config.link_with(link, {"spans": 16, "dispersion_ps_per_nm_km": 17.0})
    assert on_waveform.notes("d", DESIGN, far, recording) == [
        "d: spans = 15, for a link of 16",
        "d: dispersion_ps_per_nm_km = 16.4, for a link of 17",
    ]


def test_designs_and_references_count_on_a_group(made, tmp_path, monkeypatch, capsys):
    # Nothing is to be undone here.
    text = "[link]\nnonlinearity_per_w_km = 0.0\n"
    (tmp_path / "none.toml").write_text(text)
    (tmp_path / "design.json").write_text(DESIGN.to_json())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zarr_recordings, "_LINK", ("distance", "spans"))
    monkeypatch.setattr(on_waveform, "link_as_recorded", lambda link, _: flat(link))
    given = ["--waveform", f"file://{made[1]}", "--receiver", "blind", "--config", "none.toml"]
    assert cli.main(["ber", "design.json", "linear", *given, "--out", "run"]) == 0
    said = capsys.readouterr().out
    assert "spans, span_km as the waveform states" in said and "carrier " in said
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["waveform"] == f"file://{made[1]}" and written["receiver"] == "blind"
    for point in written["points"]:
        assert point["snr_db"] == pytest.approx(23, abs=1) and "phase_rad" not in point


def flat(link):
    return config.link_with(link, {"dispersion_ps_per_nm_km": 0.0, "dual_polarisation": True})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.attrs.__delitem__("lpdbm"), "lpdbm: missing: must be an attribute of it or"),
        (lambda g: g.attrs.update(lpdbm="loud"), "launch_power_dbm: a text: must be one number"),
        (lambda g: g.attrs.update(spans=[1, 2]), "spans: must be one number above 0"),
        (lambda g: g.attrs.update(modformat="8PSK"), "modulation = '8PSK': must be one of"),
        (lambda g: g.__delitem__("recv"), "recv: missing: must be an array of the group"),
        (lambda g: (g.__delitem__("recv"), g.__delitem__("sent")), "must hold the array recv, and"),
        (lambda g: g["recv"].__setitem__((7, 1), np.nan), r"waveform\[1\]: element 7 of 0.. is"),
        (lambda g: g["sent"].__setitem__((7, 1), 2), r"symbols\[1\]: element 7 of 0.. .* points"),
    ],
)
def test_what_does_not_fit_is_named(change, message, made, tmp_path, quick):
    store = tmp_path / "store"
    shutil.copytree(made[1].parents[2], store)
    for consolidated in store.rglob(".zmetadata"):
        consolidated.unlink()
    capture = store / "1125km_SSMF" / "src1" / made[1].name
    change(zarr.open_group(capture, mode="r+"))
    with pytest.raises(InputError, match=message) as caught:
        read_recording(capture)
    assert str(caught.value).startswith(f"{capture}: ") and "\n" not in str(caught.value)


def test_the_roll_off_must_be_known(made, tmp_path, quick):
    shutil.copytree(made[1], tmp_path / "capture")
    with pytest.raises(InputError, match=r"capture: rolloff: missing: must be an attribute"):
        read_recording(tmp_path / "capture")
    zarr.open_group(tmp_path / "capture", mode="r+").attrs["rolloff"] = 0.25
    assert read_recording(tmp_path / "capture").roll_off == 0.25


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{}/two", "must hold the array recv, and holds 1125km_SSMF, supdata"),
        ("file://{}/nothing", "no group of Zarr is there, or its place cannot be reached"),
        ("{}/nothing.zarr", "must end in .npz, .mat, .h5, .hdf5"),
        ("nosuch://{}", "no group of Zarr is there, or its place cannot be reached"),
    ],
)
def test_what_is_no_capture_is_refused(place, message, made, quick):
    with pytest.raises(InputError, match=message):
        read_recording(place.format(made[1].parents[3]))


def test_without_the_package_it_says_what_to_install(made, quick, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InputError, match=r"needs pip install 'digital-backpropagation\[zarr\]'"):
        read_recording(made[1])


def test_groups_are_read_in_a_process_of_their_own(made):
    assert read_recording(made[0]).symbols.shape == (2, 4000)
