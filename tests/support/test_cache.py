"""The cache: never a wrong array, whatever happens to its files, and no more room than allowed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from dbp import config
from dbp.link import transmission
from dbp.support import cache

SMALL = config.Link(spans=1, block_symbols=64, steps_per_span=1)


def entries(folder):
    return sorted(folder.rglob("*.npy"))


def never():
    raise AssertionError("computed though kept")


def ramp(key, size=100):
    """Return the cached array of a key; its elements depend on the key only."""
    return cache.array({"key": key}, lambda: np.arange(size) * (1 + 1j) + key)


def test_an_array_is_computed_once_and_comes_back_the_same(cache_folder):
    array = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    assert cache.array({"a": 1, "b": [2.5, "c"]}, lambda: array) is array
    back = cache.array({"b": [2.5, "c"], "a": 1}, never)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.float32 and back.flags.writeable
    (entry,) = entries(cache_folder)
    np.testing.assert_array_equal(np.load(entry, allow_pickle=False), array)


def test_objects_are_never_pickled(cache_folder):
    with pytest.raises(ValueError, match="bject arrays"):
        cache.array({}, lambda: np.array([{}]))
    assert not entries(cache_folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content, other: b"",
        lambda content, other: content[:20],
        lambda content, other: content[: len(content) // 2],
        lambda content, other: content[:-1],
        lambda content, other: content + b"\0",
        lambda content, other: content[:100] + bytes([content[100] ^ 1]) + content[101:],
        lambda content, other: content[:-1] + bytes([content[-1] ^ 128]),
        lambda content, other: other,
    ],
)
def test_a_damaged_entry_is_removed_and_computed_again(damage, cache_folder):
    expected = ramp(1)
    (entry,) = entries(cache_folder)
    ramp(2)
    (other,) = set(entries(cache_folder)) - {entry}
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole, other.read_bytes()))

    def compute():
        assert not entry.exists()
        return expected

    np.testing.assert_array_equal(cache.array({"key": 1}, compute), expected)
    assert entry.read_bytes() == whole


def test_the_longest_unused_entries_make_room(cache_folder, monkeypatch):
    written = []
    write_bytes = cache.write_bytes

    def spy(path, content):
        written.append(path)
        write_bytes(path, content)

    monkeypatch.setattr(cache, "write_bytes", spy)
    for key in range(2000):
        ramp(key, 1)
    # Room is made folder by folder: these six keys share one.
    mates = [key for key, path in enumerate(written) if path.parent == written[0].parent][:6]
    paths = [written[key] for key in mates]
    assert len(mates) == 6
    for path in entries(cache_folder):
        path.unlink()
    for age, key in enumerate(mates[:4]):
        ramp(key, 1)
        os.utime(paths[age], ns=(age + 1, age + 1))
    size = paths[0].stat().st_size
    abandoned = paths[0].with_name(".left-by-a-killed-process")
    abandoned.write_bytes(bytes(10))
    os.utime(abandoned, ns=(0, 0))
    monkeypatch.setattr(cache, "LIMIT_BYTES", 4 * size * cache._SHARDS)

    cache.array({"key": mates[0]}, never)  # used again: now the youngest
    ramp(mates[4], 1)
    assert not abandoned.exists()
    assert [path.exists() for path in paths] == [True, False, True, True, True, False]
    ramp(mates[5], 1)
    assert [path.exists() for path in paths] == [True, False, False, True, True, True]
    assert sum(path.stat().st_size for path in paths[0].parent.iterdir()) == 4 * size
    cache.array({"key": mates[0]}, never)


def test_processes_share_the_cache_while_it_evicts(cache_folder):
    program = """
import random, sys
import numpy as np
from dbp.support import cache
cache.LIMIT_BYTES = 256 * 3000
keys = [k % 40 for k in range(1200)]
random.Random(sys.argv[1]).shuffle(keys)
for key in keys:
    found = cache.array({"key": key}, lambda: np.full(50, key))
    assert (found == key).all() and found.shape == (50,)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", program, seed], stderr=subprocess.PIPE, text=True)
        for seed in "abc"
    ]
    assert [(p.communicate()[1], p.returncode) for p in running] == [("", 0)] * 3
    left = [path for path in cache_folder.rglob("*") if path.is_file()]
    assert left == [path for path in left if path.suffix == ".npy"]
    assert 0 < sum(path.stat().st_size for path in left) <= 256 * 3000


def unusable_file(folder, monkeypatch):
    folder.parent.joinpath("file").touch()
    monkeypatch.setenv("DBP_CACHE", str(folder.parent / "file" / "cache"))
    return "Not a directory"


def full_disk(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "write_bytes", full)
    return "No space left"


def no_home(folder, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DBP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    return "Not a directory"


@pytest.mark.parametrize("trouble", [unusable_file, full_disk, no_home])
def test_where_nothing_can_be_kept_all_is_computed_with_one_warning(
    trouble, cache_folder, monkeypatch, caplog
):
    cache._warn.cache_clear()
    reason = trouble(cache_folder, monkeypatch)
    for key in (1, 1, 2):
        np.testing.assert_array_equal(ramp(key), np.arange(100) * (1 + 1j) + key)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and reason in record.message
    assert str(cache.folder()) in record.message and "\n" not in record.message


def test_a_read_only_cache_is_read(cache_folder, monkeypatch, caplog):
    cache._warn.cache_clear()
    expected = ramp(1)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # An error by name: the superuser, who may run the tests, can write to any folder.
    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(cache, "write_bytes", refuse)
    np.testing.assert_array_equal(cache.array({"key": 1}, never), expected)
    assert not caplog.records
    ramp(2)
    assert len(caplog.records) == 1


def test_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("DBP_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache.folder() == Path("/a")
    monkeypatch.setenv("DBP_CACHE", "")
    assert cache.folder() == Path("/b/dbp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert cache.folder() == Path("/c/.cache/dbp")


@pytest.fixture
def transmitted(monkeypatch):
    """Counts the chunks that are simulated, and not those that probe the arithmetic."""
    monkeypatch.setattr(transmission, "_arithmetic_of_form", lambda form, device: "this one")
    calls = []
    transmit = transmission._Channel.transmit

    def spy(self, launch_power_dbm, *generators):
        calls.append(launch_power_dbm)
        return transmit(self, launch_power_dbm, *generators)

    monkeypatch.setattr(transmission._Channel, "transmit", spy)
    return calls


def run(settings=SMALL, power_dbm=0.0, blocks=1, **changes):
    arguments = {"seed": 1, "purpose": "train", **changes}
    return transmission.simulate(settings, power_dbm, blocks, **arguments)


@pytest.mark.parametrize("modulation", ["16qam", "gaussian"])
@pytest.mark.parametrize("precision", ["complex64", "complex128"])
def test_cached_link_data_are_the_simulated_ones(modulation, precision, transmitted):
    settings = SMALL.model_copy(update={"modulation": modulation, "precision": precision})
    size = transmission.chunk_blocks(settings)
    first = run(settings, blocks=2 * size + 1, first_block=size - 1)
    assert len(transmitted) == 3
    again = run(settings, blocks=2 * size, first_block=size)
    assert len(transmitted) == 3
    for name in ("waveform", "symbols", "labels"):
        one, two = getattr(first, name)[1:], getattr(again, name)
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype
    assert first.waveform.dtype == first.symbols.dtype == precision


def test_the_key_changes_with_all_that_link_data_depend_on(transmitted, monkeypatch):
    others = {
        "spans": 2,
        "span_km": 99.0,
        "attenuation_db_per_km": 0.21,
        "dispersion_ps_per_nm_km": 16.0,
        "nonlinearity_per_w_km": 1.2,
        "noise_figure_db": 4.0,
        "wavelength_nm": 1551.0,
        "symbol_rate_gbd": 21.0,
        "modulation": "qpsk",
        "roll_off": 0.2,
        "samples_per_symbol": 8,
        "steps_per_span": 2,
        "block_symbols": 66,
        "precision": "complex128",
        # The converter's filter then needs a wider band of the fibre's waveform.
        "adc_filter_roll_off": 0.1,
    }
    # The impairments before the receiver's front end.
    others |= {
        "transmitter_linewidth_khz": 1.0,
        "wdm_neighbours": 1,
        "wdm_spacing_ghz": 30.0,
        "dispersion_error_percent": 1.0,
        "dual_polarisation": True,
    }
    after_fiber = {
        "receiver_linewidth_khz": 1.0,
        "frequency_offset_mhz": 400.0,
        "adc_bits": 6,
        "adc_full_scale_rms": 3.0,
        "iq_gain_db": 1.0,
        "iq_phase_deg": 1.0,
        "adc_samples_per_symbol": "3/2",
    }
    # What mixes both polarisations needs both, and birefringence its sections and its seed.
    mixed = {"dual_polarisation": True, "pmd_ps_per_root_km": 0.1}
    mixing = {
        "pmd_ps_per_root_km": 0.2,
        "pmd_section_km": 2.0,
        "fibre_seed": 2,
        "polarisation_rotation": True,
        "polarisation_rotation_krad_per_s": 10.0,
        "amplifier_pdl_db": 0.5,
    }
    of_link = set(config.Link.model_fields) | set(config.Impairments.model_fields)
    assert set(others) | set(mixing) | set(after_fiber) == of_link - {"impairments"}
    changes = [{"settings": config.link_with(SMALL, {k: v})} for k, v in others.items()]
    changes += [{"settings": config.link_with(SMALL, {**mixed, k: v})} for k, v in mixing.items()]
    changes += [{}, {"power_dbm": 0.1}, {"seed": 2}, {"purpose": "validate"}]
    changes += [{"first_block": transmission.chunk_blocks(SMALL)}]

    def is_new(**arguments):
        before = len(transmitted)
        run(**arguments)
        after = len(transmitted)
        run(**arguments)
        assert len(transmitted) == after
        return after == before + 1

    assert all(is_new(**change) for change in changes)
    assert not any(is_new(**change) for change in changes)
    assert not any(is_new(settings=config.link_with(SMALL, {k: v})) for k, v in after_fiber.items())
    for module in (np, numba):
        monkeypatch.setattr(module, "__version__", "another")
        assert is_new()
    monkeypatch.setattr(transmission.metadata, "version", lambda name: f"another {name}")
    assert is_new()
    monkeypatch.setattr(transmission, "hash_of", lambda *names: "another")
    assert is_new()


def test_a_damaged_entry_is_simulated_again(cache_folder, transmitted):
    first = run().waveform
    (entry,) = entries(cache_folder)
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    np.testing.assert_array_equal(run().waveform, first)
    np.testing.assert_array_equal(run().waveform, first)
    assert len(transmitted) == 2
