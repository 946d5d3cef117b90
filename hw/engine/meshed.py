"""What a core of a mesh has beside a core alone: gates before its engines, an outbox and an inbox for rows."""

from amaranth.hdl import Cat, Mux, Signal
from amaranth.lib.wiring import connect, flipped

from ..contract.chip import ChipConfig
from ..contract.program import Space
from ..contract.rows import Kind
from .arrivals import Arrivals, ItemGate
from .inbox import Inbox
from .mirror import MirrorSender
from .outbox import Outbox
from .table import Widths, attach


class MeshParts:
    """Added to a core by `front` and, where it trains, `rear`.

    ::

        schedule ─> ItemGate ─> engine ─ rows ─> Outbox ─> mesh
                       └─ Arrivals <─ Inbox <─ mesh
                                       └──> SPIKES, REMOTE, mirrored SYNAPSES
    """

    def __init__(self, config: ChipConfig):
        self.config = config

    def front(self, m, core, *, memories, program, sequencer, schedule, forward, bus):
        """Gates forward, sends its spikes, takes in those of others; its own writes of spikes go first."""
        m.submodules.outbox = self.outbox = outbox = Outbox(self.config)
        m.submodules.inbox = self.inbox = inbox = Inbox(self.config)
        connect(m, outbox.o, flipped(core.o_rows))
        connect(m, flipped(core.i_rows), inbox.i)
        m.d.comb += [schedule.i_present.eq(program.present), outbox.spikes.eq(forward.o_row)]
        self._gate(m, bus, "forward", schedule.o, forward.i, kind=Kind.SPIKES)
        port, own = memories[Space.SPIKES].w, forward.spikes_out
        writing = own.enable.any()
        address = Mux(writing, own.address, inbox.o_address[:len(own.address)])
        m.d.comb += [
            port.address.eq(Cat(address, sequencer.o_front_slot) if self.config.slots > 1 else address),
            port.data.eq(Mux(writing, own.data, inbox.o_flit[:len(own.data)])),
            port.enable.eq(Mux(writing | inbox.o_valid[Kind.SPIKES], -1, 0)),
            inbox.i_ready[Kind.SPIKES].eq(~writing),
        ]

    def _gate(self, m, bus, name, items, engine, *, kind: Kind):
        gate = ItemGate(self.config, backward=kind == Kind.ERRORS)
        arrivals = Arrivals(self.config)
        m.submodules[f"{name}_gate"], m.submodules[f"{name}_arrivals"] = gate, arrivals
        attach(m, bus, gate, f"{name}_gate")
        if items is not None:
            connect(m, items, gate.i)
        connect(m, gate.o, engine)
        m.d.comb += [
            arrivals.i_arrive.eq(self.inbox.o_valid[kind] & self.inbox.i_ready[kind] & self.inbox.o_last),
            arrivals.i_place.eq(self.inbox.o_place), arrivals.i_look.eq(gate.o_place),
            arrivals.i_take.eq(gate.o_take), gate.i_count.eq(arrivals.o_count),
            gate.i_sure.eq(arrivals.o_sure), gate.i_taken.eq(arrivals.o_taken),
            gate.i_sent.eq(self.outbox.o_sent[kind]),
        ]
        return gate

    def rear(self, m, *, memories, program, sequencer, backward, gradient, update, bus):
        """Gates backward, whose items come in through the stream that is given back; sends errors and new weights."""
        inbox, outbox, remote = self.inbox, self.outbox, memories[Space.REMOTE]
        gate = self._gate(m, bus, "backward", None, backward.i, kind=Kind.ERRORS)
        m.submodules.mirror = mirror = MirrorSender(self.config)
        attach(m, bus, mirror, "mirror")
        connect(m, mirror.routes, memories[Space.ROUTES].r0)
        connect(m, backward.rows, remote.flags)
        connect(m, backward.words, remote.words)
        m.d.comb += [
            outbox.errors.eq(backward.o_row), outbox.weights.eq(mirror.o),
            mirror.i_layer.eq(gradient.o_item.layer), mirror.i_row.eq(update.o_new), mirror.i_words.eq(update.w_data),
            remote.w_valid.eq(inbox.o_valid[Kind.ERRORS]), remote.w_address.eq(inbox.o_address),
            remote.w_part.eq(inbox.o_part), remote.w_flit.eq(inbox.o_flit), remote.w_last.eq(inbox.o_last),
            inbox.i_ready[Kind.ERRORS].eq(1), inbox.i_ready[Kind.WEIGHTS].eq(~update.w_enable),
            update.i.payload.eq(gradient.o_token.payload),
            update.i.valid.eq(gradient.o_token.valid & outbox.o_room),
            gradient.o_token.ready.eq(update.i.ready & outbox.o_room),
        ]
        # An update has ended here when this core's own has, and every row of its mirrors has come.
        finished, came = Signal(), Signal(min(len(program.mirror_rows), Widths(self.config).synapse + 1))
        with m.If(inbox.o_valid[Kind.WEIGHTS] & inbox.i_ready[Kind.WEIGHTS] & inbox.o_last):
            m.d.sync += came.eq(came + 1)
        updating = Signal()
        m.d.sync += updating.eq(sequencer.o_update)
        with m.If(gradient.o_final):
            m.d.sync += finished.eq(1)
        with m.If(updating & ~sequencer.o_update):
            m.d.sync += [finished.eq(0), came.eq(0)]
        m.d.comb += sequencer.i_update_done.eq(finished & (came == program.mirror_rows[:len(came)]))
        return gate.i

    def take_mirrors(self, m, synapses, update):
        """Writes rows of mirrors between those of the core's own update, whose port has been connected."""
        inbox = self.inbox
        m.d.comb += [synapses.f_words.eq(inbox.o_flit), synapses.f_enable.eq(inbox.words())]
        with m.If(inbox.o_valid[Kind.WEIGHTS] & ~update.w_enable):
            m.d.comb += [synapses.f_valid.eq(1), synapses.w_address.eq(inbox.o_address)]
