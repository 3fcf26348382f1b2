"""The Design: exact round trip, stable hash, and refusal of all that it does not understand."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest
from helpers.designs import DESIGN, FILTER, ROTATION, designs
from hypothesis import given, settings
from hypothesis import strategies as st

from dbp.datapath import shipped
from dbp.datapath.design import Design, Filter
from dbp.errors import InputError


@pytest.mark.slow
@given(designs())
@settings(max_examples=50, deadline=None)
def test_json_round_trips_exactly(design):
    again = Design.from_json(design.to_json())
    assert again == design
    assert again.hash == design.hash


def test_hash_is_stable_and_ignores_the_label_only():
    # Pinned: other people's files carry these hashes.
    assert DESIGN.hash == "c5c17a0c84c2686d8194883d43fc59ee230b4384fdef6607b886df74a4b4d50e"
    assert dataclasses.replace(DESIGN, name="other").hash == DESIGN.hash
    assert dataclasses.replace(DESIGN, adc_rms_permille=251).hash != DESIGN.hash


def test_file_round_trips_and_is_frozen(tmp_path):
    DESIGN.save(tmp_path / "design.json")
    assert Design.load(tmp_path / "design.json") == DESIGN
    with pytest.raises(dataclasses.FrozenInstanceError):
        DESIGN.signal_bits = 8


def edited(**changes):
    content = json.loads(DESIGN.to_json())
    for path, value in changes.items():
        *way, last = path.split("__")
        target = content
        for key in way:
            target = target[int(key) if key.isdigit() else key]
        if value is None:
            del target[last]
        else:
            target[int(last) if last.isdigit() else last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DESIGN.to_json()[:200], "not a complete JSON text"),
        ("[]", '"format" must be "dbp-design"'),
        (edited(format="else"), '"format" must be "dbp-design"'),
        (
            edited(version=5),
            "version = 5: this dbp reads versions 2 to 4 only, a newer dbp wrote it",
        ),
        (edited(version=2), "samples_per_symbol: needs version 3"),
        (edited(samples_per_symbol="17/16"), "samples_per_symbol = '17/16': must be an integer or"),
        (
            edited(samples_per_symbol=1.5),
            "samples_per_symbol = 1.5: must be a text in lowest terms",
        ),
        (edited(polarizations=1), "polarizations: needs version 4"),
        (edited(version=4), "missing or unknown fields.*polarizations"),
        (edited(version=4, polarizations=3), "polarizations = 3: must be an integer in 1..2"),
        (edited(version="1"), "version = '1'"),
        (edited(version=1), "version = 1: this dbp reads versions 2 to 4 only"),
        (edited(lanes=2), "lanes"),
        (edited(signal_bits=None), "signal_bits"),
        (edited(name="file/../x"), "name = 'file/../x': must be 1..100 letters"),
        (edited(name="linear"), "no designs' names"),
        ('{"format": ' + "[" * 100_000, "not a complete JSON text"),
        ('{"signal_bits": ' + "9" * 5000 + "}", "not a complete JSON text"),
        (edited(signal_bits=9.0), "signal_bits = 9.0: must be an integer in 2..16"),
        (edited(signal_bits=True), "signal_bits = True"),
        (
            edited(filters__0__half_taps_i__2=32),
            r"half_taps_i\[2\] = 32: must be an integer in -32..31",
        ),
        (edited(filters__0__half_taps_i=[]), "1..128 taps"),
        (edited(filters__0__half_taps_q=[1]), "equally many"),
        (
            edited(filters__1__shift=20),
            r"filters\[1\]: shift = 20: must be below the accumulator's 19",
        ),
        (edited(filters=[]), "0 filters and 1 rotations"),
        (edited(filters=3), "filters: must be a list"),
        (edited(rotations__0__output_bits=0), "output_bits = 0"),
        (edited(rotations__0__taylor_order=3), "taylor_order = 3: must be an integer in 1..2"),
        (edited(rotations__0__kerr_gains=-2621), "kerr_gains must be a list of 1..64 gains"),
        (edited(rotations__0__kerr_gains__1=0.5), r"kerr_gains\[1\] = 0.5"),
        (edited(rotations__0__power_offset=513), "power_offset = 513: must be at most 512"),
        (edited(rotations__0__phase_fraction_bits=0, rotations__0__output_bits=10), "at most 9"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(text, message):
    with pytest.raises(InputError, match=message):
        Design.from_json(text)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(["signal_bits", "filters", "rotations", "name", "version", "format"]),
)
@settings(max_examples=200, deadline=None)
def test_any_value_in_any_field_is_refused_cleanly_or_accepted(value, field):
    content = json.loads(DESIGN.to_json())
    content[field] = value
    with contextlib.suppress(InputError):
        Design.from_json(json.dumps(content))


def test_kerr_follows_launch_power_by_the_integer_rule():
    # -2621 * 1000 / 2^16 = -39.99..., at 2 mW twice that; the constant saturates, never wraps.
    assert ROTATION.kerr(1000) == (5, -40)
    assert ROTATION.kerr(2000) == (9, -80)
    assert ROTATION.kerr(1_000_000) == (511, -512)
    assert ROTATION.kerr_saturates(1_000_000)
    assert not ROTATION.kerr_saturates(2000)
    with pytest.raises(InputError, match="launch_power_uw"):
        ROTATION.kerr(-1)


def test_delay_and_widths():
    assert FILTER.taps == 5
    assert ROTATION.kerr_taps == 3
    assert DESIGN.delay == 2 + 1 + 2
    assert FILTER.accumulator_bits(9) == 9 + 6 + 1 + 3


def test_a_design_says_in_one_line_what_it_is():
    design = shipped.designs()["learned-c6-s9"]
    assert repr(design) == (
        "Design('learned-c6-s9': 33 filters x 15 taps, 6/9 bits, 32 rotations, "
        f"hash {design.hash[:6]})"
    )
    alone = dataclasses.replace(design, filters=design.filters[:1], rotations=())
    assert "1 filter x" in repr(alone) and "0 rotations" in repr(alone)


def test_taps_are_gains_of_full_scale():
    # Two bits more at the output, shifted by 5: codes of 8 are 2, fractions of 8 / 2^5 / 2^2.
    filter_ = Filter(6, 5, 11, (4, 8), (-2, 0))
    design = Design("taps", 9, 250, (filter_,), ())
    np.testing.assert_array_equal(design.taps(0), np.array([4 - 2j, 8, 4 - 2j]) / 2**7)


def test_a_file_of_version_2_is_a_design_of_two_samples_with_its_hash():
    content = json.loads(DESIGN.to_json())
    del content["samples_per_symbol"]
    older = Design.from_json(json.dumps(content | {"version": 2}))
    assert older == DESIGN and older.samples_per_symbol == 2
    assert older.hash == DESIGN.hash
    # The hash of a shipped design when its file was of version 2.
    shipped_hash = shipped.designs()["learned-c6-s9"].hash
    assert shipped_hash.startswith("59073ba51920")


def test_samples_per_symbol_are_part_of_a_design():
    other = dataclasses.replace(DESIGN, samples_per_symbol="6/4")
    assert str(other.samples_per_symbol) == "3/2"
    assert other != DESIGN and other.hash != DESIGN.hash
    again = Design.from_json(other.to_json())
    assert again == other and again.hash == other.hash
    assert "3/2 samples per symbol" in repr(other) and "per symbol" not in repr(DESIGN)


@pytest.mark.parametrize("written", [2, "4/2", "2/1", "02", 1.5, None])
def test_samples_per_symbol_have_one_spelling(written):
    text = shipped.designs()["learned-c6-s9"].to_json()
    content = {**json.loads(text), "version": 3, "samples_per_symbol": written}
    with pytest.raises(InputError, match="samples_per_symbol"):
        Design.from_json(json.dumps(content))
