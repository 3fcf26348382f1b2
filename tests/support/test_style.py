"""How figures look: one style for all of them, on a light page and on a dark one."""

import xml.etree.ElementTree as ElementTree

import matplotlib
from matplotlib.figure import Figure

from dbp.support import style
from dbp.support.svg import DARK, to_svg


@style.styled
def drawing():
    ax = Figure().subplots()
    ax.plot([1, 2], [3, 4], color=style.color(0))
    ax.set(yscale="log", title="title")
    style.grid(ax)
    return ax


def test_a_styled_function_leaves_the_users_settings_alone():
    before = dict(matplotlib.rcParams)
    ax = drawing()
    assert dict(matplotlib.rcParams) == before
    assert ax.title.get_color() == style.INK != matplotlib.rcParams["text.color"]


def test_every_colour_but_those_of_curves_turns_on_a_dark_page():
    text = to_svg(drawing().figure)
    root = ElementTree.fromstring(text)
    rules = root.find("{*}defs/{*}style").text
    assert rules.startswith("@media (prefers-color-scheme: dark){")
    used = {
        value.strip()
        for element in root.iter()
        for key, _, value in (part.partition(":") for part in element.get("style", "").split(";"))
        if key.strip() in {"fill", "stroke"} and value.strip() != "none"
    }
    assert {"#ffffff", style.INK, style.MUTED, style.GRID, style.color(0)} == used
    assert used <= set(DARK)
    for light, dark in DARK.items():
        assert f'[style*="stroke: {light}"]{{stroke:{dark}!important}}' in rules


def test_colours_come_again_and_references_have_one_of_their_own():
    assert style.color(len(style.COLORS)) == style.color(0)
    assert style.REFERENCE_COLOR not in style.COLORS
    assert len(set(style.COLORS)) == len(style.COLORS)


def test_users_have_the_style_by_its_name():
    with matplotlib.style.context("dbp.style"):
        assert matplotlib.rcParams["text.color"] == style.INK
