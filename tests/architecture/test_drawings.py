"""The drawings of the documentation are what their script makes of the sources of today."""

import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(IMAGES / "draw.py"))


@pytest.fixture(scope="module")
def drawn(script):
    texts = {}
    script["main"](texts.__setitem__)
    return texts


def test_every_drawing_is_what_the_script_makes(drawn):
    assert set(drawn) == {"chain.svg", "step.svg", "lanes.svg", "house.svg"}
    for name, text in drawn.items():
        assert text == (IMAGES / name).read_text(), f"run docs/images/draw.py: {name}"


def test_every_drawing_can_be_read_aloud_and_on_a_telephone(drawn):
    for text in drawn.values():
        root = ElementTree.fromstring(text)
        assert root.find("{*}title").text and root.find("{*}desc").text.endswith(".")
        # 520 units on 360 pixels: letters of 13 units have 9 pixels.
        width, height = map(float, root.get("viewBox").split()[2:])
        assert width <= 520
        for box in root.findall(".//{*}rect"):
            assert float(box.get("x", 0)) + float(box.get("width")) <= width
            assert float(box.get("y", 0)) + float(box.get("height")) <= height


def test_the_house_has_every_package_and_two_towers_that_do_not_touch(script, drawn):
    table = script["ladder_table"]()
    packages = {row for row in table["LADDER"] if "." not in row}
    words = {text.text for text in ElementTree.fromstring(drawn["house.svg"]).findall(".//{*}text")}
    assert packages - {"api", "cli"} <= words and "api · cli" in words
    ground = {row.partition(".")[0] for row in table["GROUND"]}
    light, silicon = script["towers"](table["LADDER"], ground, table["ROOF"])
    assert silicon == ["rtl", "sim", "synthesis"] and light[0] == "link" and "report" in light
    touching = {**table["LADDER"], "sim": (*table["LADDER"]["sim"], "learning")}
    assert len(script["towers"](touching, ground, table["ROOF"])) == 1
