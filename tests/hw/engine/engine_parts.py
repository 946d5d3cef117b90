"""The components of hw/engine that the benches test, at small and unequal sizes, in banks."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from autapse.hw.contract.chip import ChipConfig
from autapse.hw.contract.geometry import host_geometry
from autapse.hw.contract.program import Space
from autapse.hw.contract.rows import Kind
from autapse.hw.engine.arrivals import Arrivals
from autapse.hw.engine.beats import Collector, Feeder
from autapse.hw.engine.bus import BusServer
from autapse.hw.engine.gradient import GradientEngine
from autapse.hw.engine.history import History
from autapse.hw.engine.inbox import Inbox
from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.loss import MeanSquaredError
from autapse.hw.engine.memory import BusMemory, SynapseMemory
from autapse.hw.engine.mirror import MirrorSender
from autapse.hw.engine.optimiser import MomentumDescent
from autapse.hw.engine.outbox import Outbox
from autapse.hw.engine.readout import LossEngine
from autapse.hw.engine.registers import Counters, Registers
from autapse.hw.engine.scan import EventList, Scanner
from autapse.hw.engine.schedule import Schedule
from autapse.hw.engine.sequence import Sequencer
from autapse.hw.engine.update import UpdateEngine
from autapse.hw.engine.walk import Walker
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward
from engine_bank import Bank
from mesh_parts import Conducted, Gated, Mirrored, RemoteScanner

FLIGHT = 5  # cycles that a beat spends in the stand-in for a neuron unit


class Ends(wiring.Component):
    """Feeder and Collector with a plain delay between them where the neuron units would be."""

    inside = frozenset({"o_pass", "i_retire", "i_collected", "i_pass", "i_beat", "i_last"})

    def __init__(self, config: ChipConfig):
        self.config = config
        self.units = {"feeder": Feeder(config, "state", "half_width_log"), "collector": Collector(config, "outputs")}
        super().__init__({
            name: Out(wiring.Signature({port: member for port, member in unit.signature.members.items()
                                        if port not in self.inside})) for name, unit in self.units.items()
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.feeder, m.submodules.collector = feeder, collector = self.units.values()
        beat, last = feeder.o_issue, feeder.o_last
        for stage in range(FLIGHT):
            delayed, last_delayed = Signal(name=f"beat_{stage}"), Signal(name=f"last_{stage}")
            m.d.sync += [delayed.eq(beat), last_delayed.eq(last)]
            beat, last = delayed, last_delayed
        wiring.connect(m, feeder.o_pass, collector.i_pass)
        m.d.comb += [
            collector.i_beat.eq(beat), collector.i_last.eq(last),
            feeder.i_collected.eq(beat), feeder.i_retire.eq(collector.o_retire),
        ]
        for name, unit in self.units.items():
            outside = getattr(self, name)
            for path, member, outer in outside.signature.flatten(outside):
                inner = unit
                for step in path:
                    inner = getattr(inner, step)
                m.d.comb += inner.eq(outer) if member.flow == wiring.In else outer.eq(inner)
        return m


class Served(wiring.Component):
    """BusServer with every memory of a chip, and plain memories where registers, counters and identity would be.

    The engines' writers stand open: `w_<space>`.
    """

    written = (Space.SPIKES, Space.TARGETS, Space.ERROR_INPUTS, Space.READOUTS)

    def __init__(self, config: ChipConfig, *, small: dict[Space, int] | None = None):
        self.config, self.small = config, small or {Space.REGISTERS: 17, Space.COUNTERS: 20, Space.IDENTITY: 9}
        self.memories = {
            space: SynapseMemory(lanes=config.lanes, depth=depth) if space == Space.SYNAPSES
            else BusMemory(width=width, depth=depth, readers=1 + (space == Space.READOUTS),
                           host_reader=int(space == Space.READOUTS), far=space in (Space.ERRORS, Space.REMOTE))
            for space, (width, depth) in host_geometry(config).items()}
        self.units = self.memories | {space: BusMemory(width=16, depth=depth) for space, depth in self.small.items()}
        self.server = BusServer(config, self.memories, {space: self.units[space] for space in self.small})
        super().__init__({
            **{f"w_{space.name.lower()}": Out(self.memories[space].w.signature) for space in self.written
               if space in self.memories},
            **dict(self.server.signature.members.items()),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.server = self.server
        for space, memory in self.units.items():
            m.submodules[space.name.lower()] = memory
        for name, member in self.server.signature.members.items():
            inner, outer = getattr(self.server, name), getattr(self, name)
            if not member.is_port:
                wiring.connect(m, inner, wiring.flipped(outer))
            else:
                m.d.comb += inner.eq(outer) if member.flow == wiring.In else outer.eq(inner)
        for space in self.written:
            if space in self.memories:
                wiring.connect(m, wiring.flipped(getattr(self, f"w_{space.name.lower()}")), self.memories[space].w)
        return m


class Lent(wiring.Component):
    """LossEngine and UpdateEngine with the arithmetic that they share; the ports of one of them, the other rests."""

    def __init__(self, config: ChipConfig, *, width: int, fraction: int, loss: bool):
        self.config, self._loss = config, loss
        self.parts = {"loss": LossEngine(config, borrows=True),
                      "update": UpdateEngine(config, width=width, fraction=fraction, lends=True)}
        self._shown = shown = self.parts["loss" if loss else "update"]
        self.unit = shown.unit
        self.reading, self.pause, self.entry = UpdateEngine.reading, UpdateEngine.pause, UpdateEngine.entry
        hidden = [*MeanSquaredError(borrows=True).borrowed_ports, *MomentumDescent(lends=True).lent_ports]
        super().__init__({name: member for name, member in shown.signature.members.items() if name not in hidden})

    def elaborate(self, platform):
        m = Module()
        m.submodules.loss, m.submodules.update = loss, update = self.parts.values()
        m.d.comb += [
            update.i_lent.eq(int(self._loss)), update.i_lent_exact.eq(loss.o_exact),
            update.i_lent_factor.eq(loss.i_gain), loss.i_scaled.eq(update.o_lent),
            loss.i_scaled_overflow.eq(update.o_lent_overflow),
        ]
        for name, member in self.signature.members.items():
            inner, outer = getattr(self._shown, name), getattr(self, name)
            if not member.is_port:
                wiring.connect(m, inner, wiring.flipped(outer))
            else:
                m.d.comb += inner.eq(outer) if member.flow == wiring.In else outer.eq(inner)
        return m


class Borrowed(wiring.Component):
    """UpdateEngine with neuron units that work for it; the ports of the former."""

    def __init__(self, config: ChipConfig, *, width: int, fraction: int):
        self.config = config
        self._update = update = UpdateEngine(config, width=width, fraction=fraction, borrows=True)
        self.unit, self.reading, self.pause, self.entry = update.unit, update.reading, update.pause, update.entry
        lent = [f"{name}_{k}" for name in self.unit.borrowed for k in range(config.units)]
        super().__init__({name: member for name, member in update.signature.members.items() if name not in lent})

    def elaborate(self, platform):
        m = Module()
        m.submodules.update = update = self._update
        for k in range(self.config.units):
            m.submodules[f"forward_{k}"] = forward = LIFForward(lends=True).create()
            m.submodules[f"backward_{k}"] = backward = LIFBackward(lends=True).create()
            m.d.comb += [forward.i_lent.eq(1), backward.i_lent.eq(1)]
            for name, (theirs, _) in self.unit.borrowed.items():
                lender = getattr(forward if theirs == "difference" else backward, theirs)
                wiring.connect(m, lender, getattr(update, f"{name}_{k}"))
        for name, member in self.signature.members.items():
            inner, outer = getattr(update, name), getattr(self, name)
            if not member.is_port:
                wiring.connect(m, inner, wiring.flipped(outer))
            else:
                m.d.comb += inner.eq(outer) if member.flow == wiring.In else outer.eq(inner)
        return m


def memories() -> dict:
    return {
        **{f"synapses_{lanes}": SynapseMemory(lanes=lanes, depth=24) for lanes in (1, 2, 8)},
        "synapses_rows": SynapseMemory(lanes=4, depth=21, columns=False),
        **{f"rows_{width}": BusMemory(width=width, depth=depth, readers=readers)
           for width, depth, readers in ((8, 5, 1), (16, 7, 2), (32, 6, 2), (48, 9, 1))},
        "rows_far": BusMemory(width=48, depth=9, readers=2, far=True),
        "list": EventList(depth=11, width=13),
    }


def registers() -> dict:
    return {"registers": Registers(), "counters": Counters()}


def sequence() -> dict:
    return {"sequence": Sequencer(), "sequence_apart": Sequencer(overlap=False), "sequence_single": Sequencer(slots=1)}


def bus() -> dict:
    pair = ChipConfig(lanes=4, units=2, layers=3, synapses=12, parameters=5, spike_rows=11, mask_rows=6,
                      membrane_rows=7, error_rows=9, history_words=8, active_words=3, readouts=3, error_inputs=5)
    wide = ChipConfig(lanes=32, units=1, slots=1, training=False, layers=2, synapses=5, parameters=3, spike_rows=6,
                      readouts=2)
    return {"bus_pair": Served(pair), "bus_wide": Served(wide)}


def order() -> dict:
    sizes = {"layers": 3, "neurons": 40}
    return {
        "schedule": Schedule(ChipConfig(layers=5, spike_rows=6)), "ends_1": Ends(ChipConfig(lanes=2, units=2, **sizes)),
        "ends_4": Ends(ChipConfig(lanes=4, units=1, **sizes)),
    }


def sums() -> dict:
    return {
        "plain_4": Lanes(lanes=4, units=1, products=False, width=52),
        "plain_2": Lanes(lanes=2, units=2, products=False, width=45),
        "products_4": Lanes(lanes=4, units=2, products=True, width=92),
    }


PAIR = ChipConfig(lanes=4, units=2, readouts=9, sum_bits=47, synapses=8000)
SINGLE = ChipConfig(lanes=1, units=1, readouts=17, synapses=5000)
SLOW = ChipConfig(lanes=8, units=1, synapses=5000)


def update() -> dict:
    return {
        "update_1": UpdateEngine(SINGLE, width=52, fraction=24), "update_2": UpdateEngine(PAIR, width=47, fraction=24),
        "update_8": UpdateEngine(SLOW, width=52, fraction=24), "loss_1": LossEngine(SINGLE), "loss_2": LossEngine(PAIR),
    }


def lent() -> dict:
    return {
        "update_borrowed": Borrowed(PAIR, width=43, fraction=24),
        "update_lent": Lent(PAIR, width=47, fraction=24, loss=False),
        "update_lent_wide": Lent(SLOW, width=92, fraction=48, loss=False),
        "loss_lent": Lent(PAIR, width=47, fraction=24, loss=True),
        "loss_lent_wide": Lent(SINGLE, width=92, fraction=48, loss=True),
    }


def gradient() -> dict:
    return {"gradient": GradientEngine(ChipConfig(
        lanes=2, units=1, error_rows=900, history_words=120, active_words=50, events=6, synapses=200))}


SIZES = {"units": 1, "layers": 12, "spike_rows": 60, "mask_rows": 24, "synapses": 300, "error_rows": 40}


def events() -> dict:
    return {
        "scan_1": Scanner(ChipConfig(lanes=1, events=6, **SIZES), errors=False),
        "scan_4": Scanner(ChipConfig(lanes=4, events=43, **SIZES), errors=False),
        "scan_errors": Scanner(ChipConfig(lanes=2, events=9, **SIZES), errors=True),
        "scan_remote": RemoteScanner(ChipConfig(lanes=4, events=21, mesh_width=2, remote_rows=45, **SIZES)),
        "scan_remote_1": RemoteScanner(ChipConfig(lanes=1, events=6, mesh_width=2, remote_rows=30, **SIZES)),
    }


def walk() -> dict:
    return {
        "walk_forward": Walker(ChipConfig(lanes=4, events=7, **SIZES), backward=False),
        "walk_backward": Walker(ChipConfig(lanes=2, events=11, **SIZES), backward=True),
    }


def history() -> dict:
    return {"history": History(ChipConfig(
        lanes=4, units=2, layers=6, spike_rows=40, history_words=50, active_words=9))}


MESHES = {   # by lanes: cores, slots of steps and the room of the outbox are no two alike
    "1": ChipConfig(lanes=1, units=1, mesh_width=2, step_slots=2, outbox=8, layers=2, events=11, synapses=900,
                    spike_rows=30, error_rows=40, remote_rows=50, routes=70),
    "4": ChipConfig(lanes=4, units=2, mesh_width=3, mesh_height=2, step_slots=8, outbox=64, layers=5, events=90,
                    synapses=3000, spike_rows=300, error_rows=400, remote_rows=500, routes=70),
    "8": ChipConfig(lanes=8, units=2, mesh_width=5, mesh_height=4, step_slots=4, outbox=16, layers=16, events=70,
                    synapses=5000, spike_rows=90, error_rows=200, remote_rows=130, routes=40),
    # Sends and takes spikes alone.
    "plain": ChipConfig(lanes=4, units=1, mesh_width=2, training=False, step_slots=2, outbox=8, layers=3, events=20,
                        spike_rows=50),
}


def mesh_rows() -> dict:
    return {
        **{f"outbox_{size}": Outbox(config) for size, config in MESHES.items()},
        **{f"inbox_{size}": Inbox(config) for size, config in MESHES.items()},
    }


def mesh_gate() -> dict:
    return {
        "arrivals": Arrivals(MESHES["4"]),
        "forward_1": Gated(MESHES["1"], kind=Kind.SPIKES), "forward_8": Gated(MESHES["8"], kind=Kind.SPIKES),
        "backward_4": Gated(MESHES["4"], kind=Kind.ERRORS),
    }


def mesh_mirror() -> dict:
    return {**{f"mirror_{lanes}": MirrorSender(MESHES[lanes]) for lanes in ("1", "4", "8")},
            "mirrored": Mirrored(MESHES["1"])}


def mesh_cores() -> dict:
    return {"cores_2": Conducted(cores=2, slots=1), "cores_6": Conducted(cores=6, slots=2),
            "cores_20": Conducted(cores=20, slots=2)}


# Small banks: a simulator evaluates all that stands in one, whichever of it a bench looks at.
PARTS = {"memories": memories, "registers": registers, "sequence": sequence, "bus": bus, "order": order, "sums": sums,
         "update": update, "lent": lent, "gradient": gradient, "events": events, "walk": walk, "history": history,
         "mesh_rows": mesh_rows, "mesh_gate": mesh_gate, "mesh_mirror": mesh_mirror, "mesh_cores": mesh_cores}


def bank(name: str) -> Bank:
    return Bank(PARTS[name]())
