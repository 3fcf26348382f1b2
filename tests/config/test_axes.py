"""The axes of a search: what is refused, by its key, and what a file of them holds."""

import pytest

from dbp import config
from dbp.config import axes
from dbp.errors import InputError

AXES = """
learned.taps = [13, 15]
rate = [
  {link.adc_samples_per_symbol = "2", learned.coefficient_bits = 6},
  {link.adc_samples_per_symbol = "3/2", learned.coefficient_bits = 5},
]
datapath.branch_bits = [5, 6]
"""


def parse(text, explore=""):
    return config.parse(f"[explore]\n{explore}\n[explore.axes]\n{text}")


def test_axes_in_the_order_of_their_names_with_what_each_place_sets():
    found = axes.parse(parse(AXES).explore.axes)
    assert [axis.name for axis in found] == ["datapath.branch_bits", "learned.taps", "rate"]
    assert found[1].values == ({"learned.taps": 13}, {"learned.taps": 15})
    assert found[2].values[1] == {
        "link.adc_samples_per_symbol": "3/2",
        "learned.coefficient_bits": 5,
    }


def test_a_search_has_a_file_and_a_hash_and_others_keep_theirs():
    found = parse(AXES)
    assert config.parse(found.to_toml()) == found
    assert found.hash != config.Config().hash == config.parse("[explore]").hash
    expected = "4ba13752dc2eba8a4ceb1f905424cf0456db3e99728ddadec714d9ff3eab9a96"
    assert config.Config().hash == expected  # as before there were searches


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learned.taps = [12]", r"explore\.axes: learned\.taps = 12: must be odd"),
        ("learned.tps = [3]", r"learned\.tps: unknown key.*did you mean 'taps'"),
        ("learnd.taps = [3]", r"explore\.axes\.learnd\.taps: must be a key of .*'learned\.taps'"),
        ("learned.taps = 3", r"explore\.axes\.learned\.taps = 3: must be a list"),
        ("learned.taps = []", r"explore\.axes\.learned\.taps = \[\]: must be a list of 1"),
        ("link.spans = [1]", r"explore\.axes\.link\.spans: must be a key of learned, datapath"),
        ("hardware.lanes = [1]", r"explore\.axes\.hardware\.lanes: must be"),
        ("a = [3]", r"explore\.axes\.a\[0\] = 3: must be a table"),
        ("a = [{learned = 3}]", r"explore\.axes\.a\[0\]\.learned = 3: must be a table"),
        ("learned.taps = [3, 3]", r"must not have a value twice"),
        ("a = [{learned.taps = 3}]\nlearned.taps = [3]", r"learned\.taps: must be on one axis"),
        (
            "a = [{learned.taps = 3}, {learned.kerr_taps = 3}]",
            r"a\[1\]: sets learned\.kerr_taps: must set the keys of the first, learned\.taps",
        ),
    ],
)
def test_wrong_axes_are_named(text, said):
    with pytest.raises(InputError, match=said):
        parse(text)


@pytest.mark.parametrize(
    ("explore", "said"),
    [
        ("population = 1", r"explore\.population = 1"),
        ("filters = 'hardwire'", r"explore\.filters.*did you mean 'hardwired'"),
        ("synthesis_lanes = [8]", r"explore\.synthesis_lanes.*two widths"),
        ("synthesis_lanes = [8, 4]", r"explore\.synthesis_lanes.*two widths"),
        ("cheap.curvature_symbols = 99999", r"explore\.cheap\.curvature_symbols = 99999: must be"),
        (
            "cheap = {symbols = 1024, curvature_symbols = 1024}\n[training]\nblock_symbols = 2048",
            r"explore\.cheap: symbols and validation_symbols must be at least",
        ),
    ],
)
def test_wrong_keys_of_a_search_are_named(explore, said):
    with pytest.raises(InputError, match=said):
        parse("learned.taps = [3]", explore)
