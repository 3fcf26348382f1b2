"""The bench as plain Verilog of 2005: plays rows of hexadecimal files and compares every output."""

from __future__ import annotations

from collections.abc import Sequence

from dbp.rtl.ports import Ports
from dbp.synthesis.handoff.vectors import CHUNK_BITS, Layout, VectorSet, checksum, layouts

HOLD_PS = 100
_BENCH = """\
// {title}.
// Plays the golden vectors in vectors/ through {top} and compares every word that leaves, the clock
// in which it does, and every register that is read. Says PASS or FAIL; FAIL ends with $stop, in
// Icarus Verilog with exit status 1. Run it in the folder above this one.
// +vcd=FILE dumps {top} while the received waveform streams, for activity.
`timescale 1ps / 1ps

module bench;
  parameter PERIOD_PS = {period_ps};
  // Inputs change so long after the clock edge, and outputs are compared so long before the next.
  parameter HOLD_PS = {hold_ps};

  localparam IN_BITS = {in_bits};
  localparam OUT_BITS = {out_bits};
  localparam MOST_ROWS = {most_rows};
  localparam LANES = {lanes};

  reg [IN_BITS-1:0] stimulus [0:MOST_ROWS-1];
  reg [OUT_BITS-1:0] answers [0:MOST_ROWS-1];
  reg [IN_BITS-1:0] in_row;
  reg [OUT_BITS-1:0] out_row;
  reg {clock};
{declarations}
  {top} dut (
{connections}
  );

  integer row, rows, low, samples, reads, differ, set_differ, vcd_from, vcd_to;
  reg [{chunk_top}:0] sum;
  reg [8*256-1:0] vcd;

  // What the file holds, as one number: a file that is missing, cut short or changed has another.
  task check_files(input [{chunk_top}:0] in_sum, input [{chunk_top}:0] out_sum);
    begin
      sum = 0;
      for (row = 0; row < rows; row = row + 1)
        for (low = 0; low < IN_BITS; low = low + {chunk})
          sum = {{sum[{chunk_top_1}:0], sum[{chunk_top}]}} ^ (stimulus[row] >> low);
      if (sum !== in_sum) begin
        $display("FAIL: the stimulus is not the one that this bench was written for");
        differ = differ + 1;
      end
      sum = 0;
      for (row = 0; row < rows; row = row + 1)
        for (low = 0; low < OUT_BITS; low = low + {chunk})
          sum = {{sum[{chunk_top_1}:0], sum[{chunk_top}]}} ^ (answers[row] >> low);
      if (sum !== out_sum) begin
        $display("FAIL: the answers are not those that this bench was written for");
        differ = differ + 1;
      end
    end
  endtask

  task compare;
    begin
      out_row = answers[row];
      // Whether a word leaves is compared in every clock, what it is in those in which one does.
      if ({valid_differs}) begin
        if (set_differ < 3) $display("row %0d: a word or commit is missing or too much", row);
        set_differ = set_differ + 1;
      end
      if (out_row[CHECK_WORD]) begin
        samples = samples + LANES;
        if ({word_differs}) begin
          if (set_differ < 3) $display("row %0d: another word than golden", row);
          set_differ = set_differ + 1;
        end
      end
{compare_read}    end
  endtask

  task play;
    begin
      set_differ = 0;
      for (row = 0; row < rows; row = row + 1) begin
        #HOLD_PS;
        if (row == vcd_from) $dumpvars(0, dut);
        if (row == vcd_to) $dumpoff;
        in_row = stimulus[row];
        #(PERIOD_PS / 2 - HOLD_PS) {clock} = 0;
        #(PERIOD_PS - PERIOD_PS / 2 - HOLD_PS);
        // The outputs of the clock edge behind the row before.
        if (row > 0) begin
          row = row - 1;
          compare;
          row = row + 1;
        end
        #HOLD_PS {clock} = 1;
      end
      #(PERIOD_PS - HOLD_PS) row = rows - 1;
      compare;
      #HOLD_PS row = 0;
      differ = differ + set_differ;
    end
  endtask

  initial begin
    samples = 0;
    reads = 0;
    differ = 0;
    {clock} = 1;
    in_row = 0;
{sets}
    if (samples !== {samples} || reads !== {reads}) begin
      $display("FAIL: compared %0d of {samples} samples, %0d of {reads} reads", samples, reads);
      differ = differ + 1;
    end
    if (differ === 0) begin
      $display("PASS: %0d samples and %0d reads of registers compared, 0 differ",
        samples, reads);
      $finish;
    end else begin
      $display("FAIL: %0d samples and %0d reads of registers compared, %0d rows differ",
        samples, reads, differ);
`ifdef __ICARUS__
      $finish_and_return(1);
`else
      $stop;
`endif
    end
  end
endmodule
"""
_SET = """\
    // {vectors}
    rows = {rows};
    vcd_from = -1;
    vcd_to = -1;
{vcd}    $readmemh("vectors/{name}_stimulus.hex", stimulus, 0, rows - 1);
    $readmemh("vectors/{name}_answers.hex", answers, 0, rows - 1);
    check_files(32'h{in_sum:08x}, 32'h{out_sum:08x});
    play;
    $display("{name}: {rows} clocks, %0d rows differ", set_differ);
"""
_VCD = """\
    if ($value$plusargs("vcd=%s", vcd)) begin
      $dumpfile(vcd);
      vcd_from = {counted_from};
      vcd_to = {counted_to};
    end
"""
_COMPARE_READ = """\
      if (out_row[CHECK_READ]) begin
        reads = reads + 1;
        if (cfg_read_data !== out_row[{high}:{low}]) begin
          if (set_differ < 3) $display("row %0d: a register reads %0d instead of %0d", row,
            cfg_read_data, out_row[{high}:{low}]);
          set_differ = set_differ + 1;
        end
      end
"""


def verilog(ports: Ports, sets: Sequence[VectorSet], clock_period_ps: int, title: str) -> str:
    """Return the text of the bench; ``title`` says what it tests."""
    stimulus, answers = layouts(ports)
    inputs, outputs = _places(stimulus), _places(answers)
    reads = ""
    if "cfg_read_data" in outputs:
        high, low = outputs["cfg_read_data"]
        reads = _COMPARE_READ.format(high=high, low=low)

    def differs(*names: str) -> str:
        return " || ".join(f"{name} !== out_row[{_range(outputs[name])}]" for name in names)

    declarations = [f"  localparam {name.upper()} = {outputs[name][0]};" for name in _FLAGS]
    for port in ports.ports:
        if port.direction == "output":
            width = f"[{port.width - 1}:0] " if port.width > 1 else ""
            declarations.append(f"  wire {width}{port.name};")
    connections = [
        f"    .{ports.clock}({ports.clock})",
        *(f"    .{name}(in_row[{_range(place)}])" for name, place in inputs.items()),
        *(f"    .{port.name}({port.name})" for port in ports.ports if port.direction == "output"),
    ]
    return _BENCH.format(
        title=title,
        top=ports.top,
        period_ps=clock_period_ps,
        hold_ps=HOLD_PS,
        in_bits=stimulus.bits,
        out_bits=answers.bits,
        most_rows=max(len(each.stimulus) for each in sets),
        lanes=ports.lanes * ports.polarizations,
        clock=ports.clock,
        declarations="\n".join(declarations),
        connections=",\n".join(connections),
        chunk=CHUNK_BITS,
        chunk_top=CHUNK_BITS - 1,
        chunk_top_1=CHUNK_BITS - 2,
        valid_differs=differs("out_valid", "out_commit"),
        word_differs=differs("out_i", "out_q"),
        compare_read=reads,
        sets="".join(_set(each, stimulus, answers, k == 0) for k, each in enumerate(sets)),
        samples=sum(each.samples for each in sets),
        reads=sum(each.reads for each in sets),
    )


_FLAGS = ("check_word", "check_read")


def _places(layout: Layout) -> dict[str, tuple[int, int]]:
    """Return the most and the least significant bit of each field."""
    places, low = {}, 0
    for name, width in reversed(layout.fields):
        places[name] = (low + width - 1, low)
        low += width
    return places


def _range(place: tuple[int, int]) -> str:
    high, low = place
    return str(low) if high == low else f"{high}:{low}"


def _set(each: VectorSet, stimulus: Layout, answers: Layout, dumps: bool) -> str:
    vcd = _VCD.format(counted_from=each.counted_from, counted_to=each.counted_to) if dumps else ""
    return _SET.format(
        vectors=", ".join(each.vectors),
        rows=len(each.stimulus),
        name=each.name,
        in_sum=checksum(each.stimulus, stimulus.bits),
        out_sum=checksum(each.expected, answers.bits),
        vcd=vcd,
    )
