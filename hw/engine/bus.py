"""The host's way into a core: spaces of 16-bit words, also while it runs."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from ..contract.geometry import SLOTTED, slot_rows
from ..contract.program import LAYER_ROW, Space
from ..neuron.pipeline import delay
from .memory import HOST_LATENCY, row_words, shape_of
from .table import LayerWrite

ENGINE_TABLES = 3
_READ_EVERY = 3     # cycles

# What the host may reach of a slot at rest while the other runs: inputs to write, results with a reader of their own.
_WRITES = (Space.SPIKES, Space.TARGETS, Space.ERROR_INPUTS)
_READS = (Space.READOUTS,)


class BusServer(wiring.Component):
    """Decodes a request, sees whether it may be carried out, carries it out: one every three cycles.

    A request waits while any run is under way. Two kinds wait only while their own slot runs: writes of a
    sample's inputs (spikes, targets, errors) and reads of its readouts, so that the host loads the next
    sample and fetches the last one's result while the chip computes; such a write also waits while an engine
    writes the same memory. Words of descriptors go to every table of layers a cycle later.

    A request withdrawn before `ready` is forgotten; the next may come a cycle later. A write must not come before
    the answers of all reads: `error` is one for both.

    Members
    -------
    ready : the request is taken; a read's answer comes `latency` cycles later
    i_busy : a run is under way; i_slots : by slot
    layers_0, layers_1, … : the same descriptor words, for one engine each
    """

    latency = 2 + HOST_LATENCY

    def __init__(self, config: ChipConfig, memories: dict, small: dict):
        self.config, self._memories, self._small = config, memories, small
        super().__init__({
            "space": In(8), "address": In(24), "write_data": In(16), "write": In(1), "read": In(1),
            "ready": Out(1), "read_data": Out(16), "read_valid": Out(1), "error": Out(1),
            "i_busy": In(1), "i_slots": In(config.slots), "layers": Out(LayerWrite()),
            **{f"layers_{number}": Out(LayerWrite()) for number in range(ENGINE_TABLES)},
        })

    def elaborate(self, platform):
        m = Module()
        decoded, act, free, conflict = Signal(), Signal(), Signal(), Signal()
        address, data, writing = Signal(24), Signal(16), Signal()
        known = Signal()
        # Nothing but the host starts a run, so that what was free stays free.
        m.d.comb += [free.eq(~self.i_busy), self.ready.eq(act & ~conflict), self.error.eq(writing & ~known)]
        # A request of an old session that waits for a run must not be taken for one of the new session.
        asked = self.read | self.write
        m.d.sync += [decoded.eq(asked & ~decoded & ~act), act.eq(asked & ((decoded & free) | (act & conflict)))]
        with m.If(decoded & ~free):
            m.d.sync += decoded.eq(asked)
        with m.If(~decoded & ~act):
            m.d.sync += [
                address.eq(self.address), data.eq(self.write_data), writing.eq(self.write), known.eq(0),
            ]
        results = []
        table = {space: (memory, memory.depth * (self.config.lanes if space == Space.SYNAPSES else
                                                 row_words(memory.width)))
                 for space, memory in self._memories.items()}
        table |= {space: (unit, unit.depth) for space, unit in self._small.items()}
        for space, (unit, words) in table.items():
            name = space.name.lower()
            here, chosen = Signal(name=f"{name}_here"), Signal(name=f"{name}_chosen")
            result = Signal(16, name=f"{name}_result")
            m.d.comb += here.eq((self.space == space) & (self.address < words))
            with m.If(~decoded & ~act):
                m.d.sync += chosen.eq(here)
                with m.If(here):
                    m.d.sync += known.eq(1)
            write = act & writing & chosen
            if space in SLOTTED and space in (*_WRITES, *_READS):
                own = chosen & ~self._slot_busy(space, unit, address)
                if space in _WRITES:
                    taken = unit.w.enable.any()
                    write = write & ~taken
                    with m.If(act & writing & chosen & taken):
                        m.d.comb += conflict.eq(1)
                with m.If(own & (writing if space in _WRITES else ~writing)):
                    m.d.comb += free.eq(1)
            m.d.comb += [
                unit.host.address.eq(address), unit.host.data.eq(data),
                unit.host.write.eq(write), unit.host.read.eq(act & ~writing & chosen),
            ]
            # Zero after a read of another space, so that the answer is an OR. What is read stays until the next read,
            # so it must not be there so early that this one comes before the answer.
            latency = max(unit.host_latency, HOST_LATENCY - _READ_EVERY + 1)
            found = delay(m, unit.host.result, latency - unit.host_latency, name=f"{name}_found")
            reading, mine = delay(m, Cat(act & ~writing, chosen), latency, name=f"{name}_reading", reset_less=False)
            with m.If(reading & ~mine):
                m.d.sync += result.eq(0)
            with m.Elif(reading):
                m.d.sync += result.eq(found)
            results.append(result)
        self._broadcast(m, self._memories[Space.LAYERS].host)

        # A read that is withdrawn in this very cycle is carried out and not answered.
        answering = Signal(self.latency - 1)
        refused = Signal()
        m.d.sync += [
            answering.eq(Cat(self.ready & ~writing & self.read, answering)), self.read_valid.eq(answering[-1]),
            refused.eq(~delay(m, known, self.latency - 1, name="known")),
        ]
        m.d.sync += self.read_data.eq(reduce(or_, results))
        with m.If(self.read_valid):
            m.d.comb += self.error.eq(refused)
        return m

    def _slot_busy(self, space: Space, memory, address):
        if self.config.slots == 1:
            return self.i_slots.any()
        rows = slot_rows(shape_of(self.config, space)["depth"])
        top = (rows * row_words(memory.width)).bit_length() - 1
        return Mux(address[top], self.i_slots[1], self.i_slots[0])

    def _broadcast(self, m, host):
        word_bits = LAYER_ROW.bit_length() - 1
        writes = [self.layers, *(getattr(self, f"layers_{number}") for number in range(ENGINE_TABLES))]
        m.d.sync += [
            self.layers.enable.eq(host.write), self.layers.word.eq(host.address[:word_bits]),
            self.layers.layer.eq(host.address[word_bits:]), self.layers.data.eq(host.data),
        ]
        for other in writes[1:]:
            m.d.comb += [getattr(other, name).eq(getattr(self.layers, name))
                         for name in ("enable", "layer", "word", "data")]
