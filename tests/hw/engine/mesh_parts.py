"""What a core of a mesh has, wired as there but without the engines between, for the benches."""

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from autapse.hw.contract.chip import ChipConfig
from autapse.hw.contract.program import Space
from autapse.hw.contract.rows import ADDRESS_BITS, Kind
from autapse.hw.engine.inbox import Inbox
from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.memory import ReadPort, shape_of
from autapse.hw.engine.meshed import MeshParts
from autapse.hw.engine.mirror import MirrorSender
from autapse.hw.engine.outbox import Outbox, RowFlit, row_layout
from autapse.hw.engine.parts import Conductor, Follower
from autapse.hw.engine.remote import RemoteMemory
from autapse.hw.engine.scan import Scanner
from autapse.hw.engine.schedule import Item
from autapse.hw.engine.table import LayerWrite, attach
from autapse.hw.engine.update import UpdateEngine


class Gated(wiring.Component):
    """Gate, counters, outbox and inbox of one engine, connected by `MeshParts`; `row` is what the engine sends."""

    def __init__(self, config: ChipConfig, *, kind: Kind):
        self.config, self.kind = config, kind
        super().__init__({
            "i": In(stream.Signature(Item)), "o": Out(stream.Signature(Item)), "layers": In(LayerWrite()),
            "row": In(data.StructLayout({"valid": 1, "p": row_layout(config, kind)})),
            "i_rows": In(stream.Signature(RowFlit)), "o_rows": Out(stream.Signature(RowFlit)),
            "o_valid": Out(len(Kind)), "i_ready": In(len(Kind)), "o_address": Out(ADDRESS_BITS), "o_last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        parts = MeshParts(self.config)
        m.submodules.outbox = parts.outbox = Outbox(self.config)
        m.submodules.inbox = parts.inbox = Inbox(self.config)
        gate = parts._gate(m, self, "gate", None, flipped(self.o), kind=self.kind)
        connect(m, flipped(self.i), gate.i)
        connect(m, parts.outbox.o, flipped(self.o_rows))
        connect(m, flipped(self.i_rows), parts.inbox.i)
        m.d.comb += [
            getattr(parts.outbox, self.kind.name.lower()).eq(self.row), self.o_valid.eq(parts.inbox.o_valid),
            parts.inbox.i_ready.eq(self.i_ready), self.o_address.eq(parts.inbox.o_address),
            self.o_last.eq(parts.inbox.o_last),
        ]
        return m


class RemoteScanner(wiring.Component):
    """Scanner of errors and the memory that they come to, connected as `MeshParts.rear` does; `w_…` fills it."""

    remote = True

    def __init__(self, config: ChipConfig):
        self.config, self.scanner, self.memory = config, Scanner(config, errors=True), RemoteMemory(config)
        for name in ("errors", "events", "event", "lag", "fields"):
            setattr(self, name, getattr(self.scanner, name))
        self._outside = {name: (part, member) for part in (self.scanner, self.memory)
                         for name, member in part.signature.members.items() if name not in ("rows", "words", "flags")}
        super().__init__({name: member for name, (_, member) in self._outside.items()})

    def elaborate(self, platform):
        m = Module()
        m.submodules.scanner, m.submodules.memory = self.scanner, self.memory
        connect(m, self.scanner.rows, self.memory.flags)
        connect(m, self.scanner.words, self.memory.words)
        for name, (part, member) in self._outside.items():
            inner, outer = getattr(part, name), getattr(self, name)
            if member.is_signature:
                connect(m, inner, flipped(outer))
            else:
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


class Mirrored(wiring.Component):
    """Optimiser, sender of its new weights and outbox, connected as `MeshParts.rear` does."""

    def __init__(self, config: ChipConfig):
        self.config = config
        width = config.sum_bits
        self.update = UpdateEngine(config, width=width, fraction=Lanes(
            lanes=config.lanes, units=config.units, products=False, width=width).fraction)
        ports = self.update.signature.members
        self._outside = [name for name in ports if name not in ("i", "layer", "o_new")]
        super().__init__({
            "i": ports["i"], **{name: ports[name] for name in self._outside}, "layers": In(LayerWrite()),
            "routes": Out(ReadPort(**shape_of(config, Space.ROUTES))), "o_rows": Out(stream.Signature(RowFlit)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.update, m.submodules.outbox = update, outbox = self.update, Outbox(self.config)
        m.submodules.mirror = mirror = MirrorSender(self.config)
        for name, machine in (("update", update), ("mirror", mirror)):
            attach(m, self, machine, name)
        connect(m, mirror.routes, flipped(self.routes))
        connect(m, outbox.o, flipped(self.o_rows))
        for name in self._outside:
            inner, outer = getattr(update, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if self.update.signature.members[name].flow == In else outer.eq(inner)
        m.d.comb += [
            outbox.weights.eq(mirror.o), mirror.i_layer.eq(self.i_item.layer), mirror.i_row.eq(update.o_new),
            mirror.i_words.eq(update.w_data), update.i.payload.eq(self.i.payload),
            update.i.valid.eq(self.i.valid & outbox.o_room), self.i.ready.eq(update.i.ready & outbox.o_room),
        ]
        return m


class Conducted(wiring.Component):
    """A conductor and followers; a core stands at each entry of `cores`, busy during runs and when it says so."""

    def __init__(self, *, cores: int, slots: int):
        self.count, self.slots = cores, slots
        self.conductor = Conductor(cores=cores, slots=slots)
        self.followers = [Follower(slots=slots) for _ in range(cores)]
        self._outside = {name: member for name, member in self.followers[0].signature.members.items()
                         if name not in ("i_parts", "o_report")}
        super().__init__({
            "i": self.conductor.signature.members["i"], "o_busy": Out(1),
            "cores": Out(wiring.Signature(self._outside)).array(cores),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.conductor = conductor = self.conductor
        connect(m, flipped(self.i), conductor.i)
        m.d.comb += self.o_busy.eq(conductor.o_busy)
        for number, follower in enumerate(self.followers):
            m.submodules[f"follower_{number}"] = follower
            m.d.comb += [follower.i_parts.eq(conductor.o_parts), conductor.i_reports[number].eq(follower.o_report)]
            for name, member in self._outside.items():
                inner, outer = getattr(follower, name), getattr(self.cores[number], name)
                if name == "i_busy":
                    outer = outer | follower.o_busy
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m
