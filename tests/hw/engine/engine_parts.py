"""The components of hw/engine that the benches test, at small and unequal sizes, in banks."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from autapse.hw.contract.chip import ChipConfig
from autapse.hw.contract.program import LAYER_ROW
from autapse.hw.engine.beats import Collector, Feeder
from autapse.hw.engine.gradient import GradientEngine
from autapse.hw.engine.history import History
from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.memory import BusMemory, SynapseMemory
from autapse.hw.engine.readout import LossEngine
from autapse.hw.engine.registers import Counters, Registers
from autapse.hw.engine.scan import EventList, Scanner
from autapse.hw.engine.schedule import Schedule
from autapse.hw.engine.update import UpdateEngine
from autapse.hw.engine.walk import Walker
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


def update() -> dict:
    pair, single = ChipConfig(lanes=4, units=2, readouts=9, sum_bits=47), ChipConfig(lanes=1, units=1, readouts=17)
    meeting = ChipConfig(lanes=2, units=1, error_rows=900, history_words=120, active_words=50)
    return {
        "update_1": UpdateEngine(single, width=52, fraction=24), "update_2": UpdateEngine(pair, width=47, fraction=24),
        "loss_1": LossEngine(single), "loss_2": LossEngine(pair), "gradient": GradientEngine(meeting),
    }


def events() -> dict:
    turned = ChipConfig(lanes=4, units=2, spike_rows=40, history_words=50, active_words=9)
    return {
        "scan_1": Scanner(lanes=1, events=6, depth=40, errors=False),
        "scan_4": Scanner(lanes=4, events=14, depth=40, errors=False),
        "scan_errors": Scanner(lanes=2, events=9, depth=40, errors=True),
        "walk_forward": Walker(lanes=4, events=7, backward=False),
        "walk_backward": Walker(lanes=2, events=11, backward=True, spike_rows=40, mask_rows=24),
        "history": History(turned),
    }


PARTS = {"memories": memories, "order": order, "sums": sums, "update": update, "events": events}


def bank(name: str) -> Bank:
    return Bank(PARTS[name]())
