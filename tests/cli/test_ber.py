"""Where the settings of an evaluation come from: the first source that has them."""

import pytest

from dbp.cli.ber import Request, resolve, resolve_reproduction
from dbp.comparison import paper
from dbp.errors import InputError
from dbp.runs import config_of, find_design, place

DESIGN = find_design("learned-c6-s9")[0]
TOML = """
seed = 5
[link]
spans = 2
[baseline]
taps = 9
[evaluation]
launch_power_dbm = [1.0]
min_errors = 70
max_bits = 7000
[sweep]
design = ["dbp1"]
launch_power_dbm = [2.0, 3.0]
noise_figure_db = [4.0, 5.0]
"""


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    return str(path)


def candidates(plan):
    return [(candidate.label, candidate.arithmetic) for candidate in plan.candidates]


def test_without_anything_else_it_is_the_papers_link():
    plan = resolve(Request(designs=["learned-c6-s9", "linear"]))
    settings = config_of(None)
    assert candidates(plan) == [("learned-c6-s9", "fixed"), ("linear", "float")]
    assert plan.designs == {"learned-c6-s9": DESIGN} and plan.link_keys == ()
    assert plan.links == (({}, settings.link),)
    assert plan.launch_powers_dbm == settings.evaluation.launch_power_dbm
    assert plan.rule.min_errors == settings.evaluation.min_errors
    assert (plan.seed, plan.config_hash) == (settings.seed, settings.hash)


def test_a_run_folder_brings_its_own_configuration(tmp_path):
    settings = config_of(None).model_copy(update={"seed": 77})
    place(DESIGN, settings, tmp_path / "run")
    plan = resolve(Request(designs=["linear", str(tmp_path / "run"), "learned-c6-s9"]))
    assert plan.seed == 77
    # Two designs of one name are told apart by the run's folder.
    labels = [label for label, _ in candidates(plan)]
    assert labels == ["linear", "run", "learned-c6-s9"]
    assert resolve(Request(designs=["linear", str(tmp_path / "run")], seed=0)).seed == 0


def test_the_file_fills_what_the_request_leaves_open(toml):
    plan = resolve(Request(config=toml, sweep={}))
    assert candidates(plan) == [("dbp1", "float")] and plan.seed == 5
    assert plan.launch_powers_dbm == (2.0, 3.0) and plan.link_keys == ("noise_figure_db",)
    assert [changes for changes, _ in plan.links] == [
        {"noise_figure_db": 4.0}, {"noise_figure_db": 5.0}
    ]  # fmt: skip
    assert all(link.spans == 2 for _, link in plan.links)
    assert (plan.rule.min_errors, plan.rule.max_bits) == (70, 7000)
    assert len(plan.transmissions) == 4


def test_the_request_comes_first(toml):
    request = Request(
        designs=["linear"], launch_powers_dbm=(0.0,), config=toml, seed=6,
        sweep={"noise_figure_db": (6.0,)}, min_errors=1, max_bits=2,
    )  # fmt: skip
    plan = resolve(request)
    assert candidates(plan) == [("linear", "float")] and plan.launch_powers_dbm == (0.0,)
    assert [link.noise_figure_db for _, link in plan.links] == [6.0] and plan.seed == 6
    assert (plan.rule.min_errors, plan.rule.max_bits) == (1, 2)
    assert plan.config_hash != resolve(Request(config=toml, sweep={})).config_hash


def test_without_a_sweep_the_files_is_not_gone_through(toml):
    plan = resolve(Request(config=toml))
    # Its designs are those to evaluate all the same.
    assert candidates(plan) == [("dbp1", "float")]
    assert plan.link_keys == () and plan.launch_powers_dbm == (1.0,)


def test_both_arithmetics_are_of_designs_only():
    plan = resolve(Request(designs=["learned-c6-s9", "linear"], arithmetic="both"))
    assert candidates(plan) == [
        ("learned-c6-s9", "fixed"), ("learned-c6-s9", "float"), ("linear", "float")
    ]  # fmt: skip


def test_notes_say_where_a_design_is_out_of_its_range(toml):
    request = Request(designs=["learned-c6-s9"], launch_powers_dbm=(20.0,))
    assert resolve(request).notes() == ["learned-c6-s9: K is at the end of its range at +20 dBm"]
    plan = resolve(Request(designs=["learned-c6-s9"], config=toml))
    assert plan.notes() == []
    links = {"spans": (3,)}
    assert resolve(Request(designs=["learned-c6-s9"], config=toml, sweep=links)).notes() == [
        "learned-c6-s9: 32 rotations, for a link of 3 spans"
    ]


def test_what_cannot_be_evaluated_is_refused(toml):
    with pytest.raises(InputError, match=r"must have DESIGN\.\.\."):
        resolve(Request())
    with pytest.raises(InputError, match="names must differ"):
        resolve(Request(designs=["linear", "linear"]))
    with pytest.raises(InputError, match="has no bits to count"):
        resolve(Request(config=toml, sweep={"modulation": ("gaussian",)}))


def test_the_papers_curves_have_a_receiver_each():
    curves = paper.ber_curves()
    plan = resolve_reproduction(Request(), curves)
    assert candidates(plan) == [(curve.receiver, curve.arithmetic) for curve in curves]
    assert plan.links == (({}, config_of(None).link),)
