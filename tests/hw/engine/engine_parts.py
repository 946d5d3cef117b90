"""The components of hw/engine that the benches test, at small and unequal sizes, in three banks."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from autapse.hw.contract.program import LAYER_ROW
from autapse.hw.engine.beats import Collector, Feeder
from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.memory import BusMemory, SynapseMemory
from autapse.hw.engine.registers import Counters, Registers
from autapse.hw.engine.scan import EventList
from autapse.hw.engine.schedule import Schedule
from engine_bank import Bank

FLIGHT = 5  # cycles that a beat spends in the stand-in for a neuron unit


class Ends(wiring.Component):
    """Feeder and Collector with a plain delay between them where the neuron units would be."""

    inside = frozenset({"o_pass", "i_retire", "i_collected", "i_pass", "i_beat"})

    def __init__(self, *, lanes: int, units: int):
        self._units = {"feeder": Feeder(lanes=lanes, units=units), "collector": Collector(lanes=lanes, units=units)}
        super().__init__({
            name: Out(wiring.Signature({port: member for port, member in unit.signature.members.items()
                                        if port not in self.inside})) for name, unit in self._units.items()
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.feeder, m.submodules.collector = feeder, collector = self._units.values()
        beat = feeder.o_issue
        for stage in range(FLIGHT):
            delayed = Signal(name=f"beat_{stage}")
            m.d.sync += delayed.eq(beat)
            beat = delayed
        wiring.connect(m, feeder.o_pass, collector.i_pass)
        m.d.comb += [collector.i_beat.eq(beat), feeder.i_collected.eq(beat), feeder.i_retire.eq(collector.o_retire)]
        for name, unit in self._units.items():
            outside = getattr(self, name)
            for path, member, outer in outside.signature.flatten(outside):
                inner = unit
                for step in path:
                    inner = getattr(inner, step)
                m.d.comb += inner.eq(outer) if member.flow == wiring.In else outer.eq(inner)
        return m


def memories() -> dict:
    return {
        **{f"synapses_{lanes}": SynapseMemory(lanes=lanes, depth=24) for lanes in (1, 2, 8)},
        **{f"rows_{width}": BusMemory(width=width, depth=depth, readers=readers)
           for width, depth, readers in ((8, 5, 1), (16, 7, 2), (32, 6, 2), (48, 9, 1))},
        "list": EventList(depth=11, width=13), "registers": Registers(), "counters": Counters(),
    }


def order() -> dict:
    return {
        "schedule": Schedule(layers=5, row_bits=16 * LAYER_ROW),
        "ends_1": Ends(lanes=2, units=2), "ends_4": Ends(lanes=4, units=1),
    }


def sums() -> dict:
    return {
        "plain_4": Lanes(lanes=4, units=1, products=False, width=52),
        "plain_2": Lanes(lanes=2, units=2, products=False, width=45),
        "products_4": Lanes(lanes=4, units=2, products=True, width=92),
    }


PARTS = {"memories": memories, "order": order, "sums": sums}


def bank(name: str) -> Bank:
    return Bank(PARTS[name]())
