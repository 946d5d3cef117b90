"""The components of the running gradient that the benches test, at small and unequal sizes."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from autapse.hw.contract.chip import ChipConfig
from autapse.hw.engine.harvest import Harvest
from autapse.hw.engine.running import RunningGradient
from autapse.hw.engine.table import LayerWrite, attach
from autapse.hw.engine.wide import WideMemory
from engine_bank import Bank

SIZES = {"events": 14, "synapses": 300, "spike_rows": 90, "error_rows": 150}
FOUR = ChipConfig(lanes=4, units=2, layers=5, sum_bits=47, **SIZES)
ONE = ChipConfig(lanes=1, units=1, layers=5, **SIZES)
ROWS = 230


class Chain(wiring.Component):
    """Running gradient, its wide memory and its harvest, as a core joins them."""

    def __init__(self, config: ChipConfig):
        self.config = config
        self._parts = {"running": RunningGradient(config, rows=ROWS), "harvest": Harvest(config, rows=ROWS)}
        inside = {"o", "layers", "layer", "o_take", "o_take_address", "i_row"}
        super().__init__({
            "layers": In(LayerWrite()), "i_clear": In(1), "o_clearing": Out(1),
            **{name: Out(wiring.Signature({port: member for port, member in part.signature.members.items()
                                           if port not in inside})) for name, part in self._parts.items()},
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.running, m.submodules.harvest = running, harvest = self._parts.values()
        m.submodules.memory = memory = WideMemory(lanes=config.lanes, depth=ROWS, width=config.sum_bits)
        connect(m, flipped(self.layers), running.layers)
        attach(m, self, harvest, "harvest")
        connect(m, running.o, memory.i)
        m.d.comb += [
            memory.i_take.eq(harvest.o_take), memory.i_take_address.eq(harvest.o_take_address),
            harvest.i_row.eq(memory.o_row), memory.i_clean.eq(harvest.o_final),
            memory.i_clear.eq(self.i_clear), self.o_clearing.eq(memory.o_clearing),
        ]
        for name, part in self._parts.items():
            outside = getattr(self, name)
            for path, member, outer in outside.signature.flatten(outside):
                inner = part
                for step in path:
                    inner = getattr(inner, step)
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


def wide() -> dict:
    return {
        "wide_1": WideMemory(lanes=1, depth=5, width=43), "wide_4": WideMemory(lanes=4, depth=21, width=52),
        "wide_deep": WideMemory(lanes=2, depth=600, width=47),
    }


def running() -> dict:
    return {"running_4": RunningGradient(FOUR, rows=ROWS), "running_1": RunningGradient(ONE, rows=ROWS),
            "chain_4": Chain(FOUR), "chain_1": Chain(ONE)}


PARTS = {"wide": wide, "running": running}


def bank(name: str) -> Bank:
    return Bank(PARTS[name]())
