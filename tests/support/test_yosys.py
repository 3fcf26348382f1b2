"""What Yosys wrote is whole, or an error."""

from __future__ import annotations

import pytest

from dbp.errors import ToolError
from dbp.support.yosys import run_yosys, written_json, written_verilog

VERILOG = "module m(a, y);\n  input a;\n  output y;\n  assign y = a;\nendmodule\n"


def test_every_part_of_what_yosys_writes_is_refused(tmp_path):
    """Yosys' exit status is 0 where a full disk cuts a file off."""
    (tmp_path / "m.v").write_text(VERILOG)
    run_yosys("read_verilog m.v\nwrite_json m.json\nwrite_verilog w.v", tmp_path, 60)
    for name, read in (("m.json", written_json), ("w.v", written_verilog)):
        whole = (tmp_path / name).read_text()
        assert read(tmp_path / name)
        for end in range(len(whole.rstrip())):
            (tmp_path / name).write_text(whole[:end])
            with pytest.raises(ToolError, match=f"Yosys wrote only part of .*{name}"):
                read(tmp_path / name)
