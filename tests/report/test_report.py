"""Parts of the page that the run of `test_run` does not show."""

import re
from dataclasses import replace

from helpers.designs import DESIGN

from dbp import config
from dbp.report import page as report


def formats(design, folder):
    design.save(folder / "design.json")
    page = report.write_report([folder]).read_text()
    table = re.search(r"<h2>Formats</h2>.*?<table>(.*?)</table>", page, re.S)[1]
    header, row = table.removesuffix("</tr>").split("</tr>")
    cells = re.findall(r"<t[hd]>(.*?)</t[hd]>", header), re.findall(r"<t[hd]>(.*?)</t[hd]>", row)
    return dict(zip(*cells, strict=True))


def test_options_of_the_datapath_are_shown_where_they_are_used(tmp_path):
    options = ("K taps", "power offset", "Taylor order", "guard bits")
    rotation = replace(DESIGN.rotations[0], power_offset=0, kerr_gains=(1,), taylor_order=1)
    plain = formats(replace(DESIGN, rotations=(rotation,)), tmp_path)
    assert plain["K bits"] == "10" and not set(options) & set(plain)
    other = replace(DESIGN.rotations[0], power_offset=7, kerr_gains=(1, 2, 3))
    wide = replace(DESIGN.filters[0], output_bits=10)
    last = DESIGN.filters[-1]
    design = replace(DESIGN, filters=(wide, DESIGN.filters[0], last), rotations=(other, rotation))
    shown = formats(design, tmp_path)
    assert [shown[option] for option in options] == ["5 / 1", "7 / 0", "2 / 1", "1 / 0"]


def test_two_polarisations_are_said_of_the_link_and_of_the_design(tmp_path):
    assert "polarisations" not in formats(DESIGN, tmp_path)
    (tmp_path / "config.toml").write_text(config.load("dual-c6-s9").to_toml())
    assert formats(replace(DESIGN, polarizations=2), tmp_path)["polarisations"] == "2"
    page = (tmp_path / "report.html").read_text()
    assert "20 GBd 16QAM in each of two polarisations, 17 ps/nm/km" in page
    (tmp_path / "config.toml").write_text(config.load("paper").to_toml())
    formats(DESIGN, tmp_path)
    assert "20 GBd 16QAM, 17 ps/nm/km" in (tmp_path / "report.html").read_text()
