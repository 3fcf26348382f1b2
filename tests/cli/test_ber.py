"""Where the settings of an evaluation come from: the first source that has them."""

from dataclasses import replace

import pytest

from dbp import cli, config
from dbp.cli.ber import Request, resolve, resolve_reproduction
from dbp.comparison import paper
from dbp.errors import InputError
from dbp.records.provenance import write_metrics
from dbp.records.schemas import BerMetrics, Point
from dbp.report.contents import Contents
from dbp.report.page import write_report
from dbp.runs import config_of, find_design, labels_of, place

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


def run_of(folder, design=DESIGN, **changes):
    """A run's folder with a design, on the paper's link with changes, and other settings."""
    settings = config_of(None)
    link = config.link_with(settings.link, changes.pop("link", {}))
    place(design, settings.model_copy(update={"link": link, **changes}), folder)
    return str(folder)


def links_of(plan):
    """By label: what tells the links apart on which a receiver is evaluated, and their spans."""
    found = {}
    for transmission in plan.transmissions:
        for receiver in transmission.receivers:
            place = (dict(transmission.changes), transmission.scenario.link.spans)
            found.setdefault(receiver.name, []).append(place)
    return found


@pytest.mark.parametrize("swapped", [False, True])
def test_each_design_is_counted_on_the_link_of_its_own_run(tmp_path, swapped):
    names = [
        run_of(tmp_path / "a", link={"spans": 8}),
        run_of(tmp_path / "b", link={"spans": 16}) + "/design.json",
    ]
    if swapped:
        names.reverse()
    plan = resolve(Request(designs=[*names, "linear"], launch_powers_dbm=(0.0,)))
    assert links_of(plan)["a"] == [({"spans": 8}, 8)]
    assert links_of(plan)["b"] == [({"spans": 16}, 16)]
    assert [spans for _, spans in links_of(plan)["linear"]] == ([16, 8] if swapped else [8, 16])
    assert plan.config_hash is None and plan.link_keys == ("spans",)
    # Alone it is counted in the same scenario.
    for name in names:
        alone = resolve(Request(designs=[name], launch_powers_dbm=(0.0,)))
        assert alone.link_keys == ()
        assert alone.transmissions[0].scenario in [t.scenario for t in plan.transmissions]


def test_impairments_and_shipped_designs_have_links_too(tmp_path):
    names = ["learned-c6-s9", run_of(tmp_path / "a", link={"adc_bits": 5})]
    plan = resolve(Request(designs=names, launch_powers_dbm=(0.0,)))
    assert links_of(plan) == {
        "learned-c6-s9": [({"adc_bits": 0}, 32)], "a": [({"adc_bits": 5}, 32)]
    }  # fmt: skip


def test_a_configuration_or_a_sweep_is_for_all(tmp_path, toml):
    names = [run_of(tmp_path / f"{n}", link={"spans": n}) for n in (8, 16)]
    plan = resolve(Request(designs=names, config=toml, launch_powers_dbm=(0.0,)))
    assert links_of(plan) == {"8": [({}, 2)], "16": [({}, 2)]}
    request = Request(designs=names, sweep={"spans": (8, 16)}, launch_powers_dbm=(0.0,))
    both = [({"spans": 8}, 8), ({"spans": 16}, 16)]
    assert links_of(resolve(request)) == {"8": both, "16": both}
    request = Request(designs=names, sweep={"noise_figure_db": (4,)}, launch_powers_dbm=(0.0,))
    assert links_of(resolve(request)) == {
        str(n): [({"noise_figure_db": 4, "spans": n}, n)] for n in (8, 16)
    }


def powers_of(plan):
    """The launch powers of each receiver, by its name and the polarisations of the link."""
    found = {}
    for each in plan.transmissions:
        scenario = each.scenario
        for receiver in each.receivers:
            key = receiver.name, scenario.link.impairments.polarizations
            found.setdefault(key, []).append(scenario.launch_power_dbm)
    return {key: tuple(powers) for key, powers in found.items()}


@pytest.mark.parametrize("names", [("learned-c6-s9", "dual-c6-s9"), ("dual-c6-s9",)])
def test_a_shipped_design_is_counted_at_the_launch_powers_of_its_preset(names):
    """With two polarisations the best launch power is 3 dB higher."""
    presets = {"learned-c6-s9": "paper", "dual-c6-s9": "dual-c6-s9"}
    settings = {name: config.load(presets[name]) for name in names}
    expected = {
        (receiver, settings[name].link.impairments.polarizations):
            settings[name].evaluation.launch_power_dbm
        for name in names
        for receiver in (name, "linear")
    }  # fmt: skip
    plan = resolve(Request(designs=[*names, "linear"]))
    assert powers_of(plan) == expected
    assert plan.rule.max_bits == settings[names[0]].evaluation.max_bits
    plan = resolve(Request(designs=[*names, "linear"], launch_powers_dbm=(0.0, 1.0)))
    assert powers_of(plan) == dict.fromkeys(expected, (0.0, 1.0))
    assert (plan.config_hash is None) == (len(names) > 1)


def test_runs_of_different_links_are_counted_at_their_own_launch_powers(tmp_path):
    evaluation = config_of(None).evaluation
    names = [
        run_of(
            tmp_path / name,
            link={"spans": spans},
            evaluation=evaluation.model_copy(update={"launch_power_dbm": powers}),
        )
        for name, spans, powers in (("a", 8, (5.0,)), ("b", 16, (3.0,)), ("c", 16, (4.0,)))
    ]
    plan = resolve(Request(designs=names))
    powers = {name: powers for (name, _), powers in powers_of(plan).items()}
    assert powers == {"a": (5.0,), "b": (3.0,), "c": (3.0,)}
    assert plan.notes() == [
        "c: its configuration has evaluation.launch_power_dbm = (4.0,): counted with (3.0,), "
        "as that of b"
    ]


def test_other_settings_are_those_of_the_first_run_and_a_note_says_so(tmp_path):
    evaluation = config_of(None).evaluation.model_copy(update={"min_errors": 7})
    names = [run_of(tmp_path / "a", seed=5), run_of(tmp_path / "b", seed=6, evaluation=evaluation)]
    plan = resolve(Request(designs=names, launch_powers_dbm=(0.0,)))
    assert (plan.seed, plan.rule.min_errors) == (5, config_of(None).evaluation.min_errors)
    assert plan.notes() == [
        "b: its configuration has seed = 6: counted with 5, as that of a",
        "b: its configuration has evaluation.min_errors = 7: counted with 400, as that of a",
    ]
    plan = resolve(Request(designs=names, launch_powers_dbm=(0.0,), seed=1, min_errors=3))
    assert plan.notes() == []


def test_runs_are_told_apart_by_their_folders(tmp_path):
    other = replace(DESIGN, adc_rms_permille=DESIGN.adc_rms_permille + 1)
    runs = {name: run_of(tmp_path / name, other) for name in ("x/run", "y/run", "z")}

    def labels(*names):
        return list(labels_of({name: find_design(name) for name in names}).values())

    # The shipped design has that name: what is called so alone must be that one.
    assert labels(runs["z"]) == ["z"]
    assert labels("learned-c6-s9", runs["z"]) == ["learned-c6-s9", "z"]
    assert labels(runs["x/run"], runs["y/run"]) == [runs["x/run"], runs["y/run"]]
    assert labels(runs["x/run"], runs["z"] + "/design.json") == ["run", "z"]
    place(replace(other, name="mine"), config_of(None), tmp_path / "m")
    assert labels(str(tmp_path / "m")) == ["mine"]


def test_designs_of_different_links_are_not_compared(tmp_path, capsys):
    names = [run_of(tmp_path / f"{n}", link={"spans": n}) for n in (8, 16)]
    command = ["compare", *names, "--out", str(tmp_path / "out")]
    assert cli.main(command) == 2
    assert "link.spans = 8 of" in (said := capsys.readouterr().err) and "--config" in said
    # A shipped one is of the paper's link.
    assert cli.main(["compare", names[0], "learned-c6-s9", *command[-2:]]) == 2
    assert "link.spans = 8 of" in capsys.readouterr().err


def test_a_report_tells_evaluations_of_different_links_apart(tmp_path):
    folders = []
    for n in (8, 16):
        folders.append(tmp_path / f"{n}")
        run_of(folders[-1], link={"spans": n})
        link = config.flat_link(config_of(folders[-1]).link)
        points = [
            Point(design=name, arithmetic="fixed", launch_power_dbm=0.0, bits=100, errors=n,
                  ber=n / 100, ber_low=0.0, ber_high=1.0, snr_db=float(n), design_hash=hash_)
            for name, hash_ in (("learned-c6-s9", DESIGN.hash), ("theirs", None))
        ]  # fmt: skip
        metrics = BerMetrics(points=points, link=link, design_hash=None, config_hash=None, seed=1,
                             versions={}, wall_time_s=1.0)  # fmt: skip
        write_metrics(folders[-1] / "metrics.json", metrics)
    content = Contents.load(folders)
    assert [(p.spans, p.design, p.errors) for p in content.points] == [
        (8, "8", 8), (8, "theirs", 8), (16, "16", 16), (16, "theirs", 16)
    ]  # fmt: skip
    # The same design twice, each on its own link.
    assert [content.best_of(run).errors for run in content.runs] == [8, 16]
    page = write_report(folders).read_text()
    assert "<b>8</b>: 8 x 100 km" in page and "<b>16</b>: 16 x 100 km" in page
    assert "<th>spans</th><th>design</th>" in page


def test_links_of_a_waveform_count_must_be_one_for_references(tmp_path, capsys, monkeypatch):
    names = [run_of(tmp_path / f"{n}", link={"spans": n}) for n in (8, 16)]
    monkeypatch.chdir(tmp_path)
    small = ["[link]", "spans = 1", "block_symbols = 64"]
    (tmp_path / "small.toml").write_text("\n".join(small))
    assert cli.main(["link", "small.toml", "--output", "w.npz", "--symbols", "4096"]) == 0
    assert cli.main(["ber", *names, "linear", "--waveform", "w.npz", "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert "references undo one link" in said and "link.spans = 8" in said
