"""stimulus.npz: exact round trip, and refusal of what belongs to another design or is damaged."""

import dataclasses

import numpy as np
import pytest
from helpers.designs import DESIGN

from dbp.datapath.golden import Samples
from dbp.datapath.stimulus import Stimulus
from dbp.errors import InputError
from dbp.support.files import write_npz

STIMULUS = Stimulus(
    Samples(np.arange(-256, 256), np.arange(255, -257, -1)), 1259, DESIGN.hash, "c" * 64, 7
)


def test_round_trip(tmp_path):
    path = tmp_path / "stimulus.npz"
    STIMULUS.save(path)
    again = Stimulus.load(path, DESIGN)
    assert (again.samples.i == STIMULUS.samples.i).all()
    assert (again.samples.q == STIMULUS.samples.q).all()
    assert again.samples.i.dtype == np.int64
    assert (again.launch_power_uw, again.config_hash, again.seed) == (1259, "c" * 64, 7)


def test_another_design_is_refused(tmp_path):
    STIMULUS.save(tmp_path / "stimulus.npz")
    with pytest.raises(InputError, match="make it again"):
        Stimulus.load(tmp_path / "stimulus.npz", dataclasses.replace(DESIGN, adc_rms_permille=200))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples_i": np.full(512, 256, np.int16)}, "within -256..255"),
        ({"samples_i": np.zeros(512)}, "must be int16"),
        ({"samples_i": np.zeros(3, np.int16)}, "two equal lengths"),
        ({"samples_i": np.zeros((0,), np.int16), "samples_q": np.zeros((0,), np.int16)}, "equal"),
        ({"launch_power_uw": np.int64(-1)}, "launch_power_uw = -1"),
        ({"launch_power_uw": np.float64(1)}, "must be integers"),
        ({"more": np.int64(0)}, "fields"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes, message):
    path = tmp_path / "stimulus.npz"
    STIMULUS.save(path)
    with np.load(path) as file:
        content = {**file, **changes}
    write_npz(path, **content)
    with pytest.raises(InputError, match=message):
        Stimulus.load(path, DESIGN)


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_damaged_file_is_refused(tmp_path, keep):
    path = tmp_path / "stimulus.npz"
    STIMULUS.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        Stimulus.load(path, DESIGN)


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "stimulus.npz"
    np.savez(path, samples_i=np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        Stimulus.load(path, DESIGN)
