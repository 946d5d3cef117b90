"""Area and Fmax of the running gradient's parts on an ECP5-85F, as the table of docs/core.md.

    python tests/hw/engine/measure_running.py [NAME ...]

Each part of a chip for 64-128-10, 8 steps, 8 lanes, is synthesised alone with Yosys and nextpnr from PyPI
(`pip install autapse[synth]`), in about a minute. Its ports are reached over a chain of registers and a tree of
registered exclusive ors, whose cells are taken off the count again.
"""

import sys
import tempfile
from pathlib import Path

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from autapse.gateware.synthesis import synthesise
from autapse.hw.contract.chip import ChipConfig
from autapse.hw.engine.harvest import Harvest
from autapse.hw.engine.running import RunningGradient
from autapse.hw.engine.wide import WideMemory

CONFIG = ChipConfig(lanes=8, units=1, layers=2, events=256, synapses=4096, spike_rows=256, mask_rows=256,
                    error_rows=256)
ROWS = 1298
PARTS = {
    "running": lambda: RunningGradient(CONFIG, rows=ROWS),
    "wide": lambda: WideMemory(lanes=CONFIG.lanes, depth=ROWS, width=CONFIG.sum_bits),
    "harvest": lambda: Harvest(CONFIG, rows=ROWS),
}


class OnTwoPins(wiring.Component):
    """A component behind one input and one output, each port registered; `cells` and `registers` are the harness's."""

    def __init__(self, part):
        self._part, self.cells, self.registers = part, 0, 0
        super().__init__({"i": In(1), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = self._part
        chain, outputs = self.i, []
        for path, member, port in part.signature.flatten(part):
            value = getattr(port, "as_value", lambda port=port: port)()
            register = Signal(len(value), name="pin_" + "_".join(map(str, path)))
            self.registers += len(register)
            if member.flow == In:
                m.d.sync += register.eq(Cat(chain, register))
                m.d.comb += value.eq(register)
                chain = register[-1]
            else:
                m.d.sync += register.eq(value)
                outputs.append(register)
        tree = Cat(outputs)
        while len(tree) > 1:
            level = Signal(-(-len(tree) // 4))
            m.d.sync += level.eq(Cat(tree[at:at + 4].xor() for at in range(0, len(tree), 4)))
            self.cells, self.registers, tree = self.cells + len(level), self.registers + len(level), level
        m.d.comb += self.o.eq(tree)
        return m


def main():
    for name in sys.argv[1:] or PARTS:
        design = OnTwoPins(PARTS[name]())
        with tempfile.TemporaryDirectory() as folder:
            found = synthesise(design, folder=Path(folder), say=lambda text: None)
        cells = found["cells (LUT4 and carry)"] - design.cells
        print(f"{name:<10}{cells} cells, {found['registers'] - design.registers} registers, "
              f"{found['block RAM (DP16KD)']} block RAM, {found['Fmax (MHz)']} MHz")


if __name__ == "__main__":
    main()
