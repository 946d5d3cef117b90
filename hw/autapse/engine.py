"""The node engine: takes the nodes of a segment in order, each with the weights of what spiked."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..neuron.autapse import AutapseNode, AutapseUnit
from ..neuron.delay_line import WORD, DelayLine
from ..sequenced.arithmetic import ARITHMETIC, ASKED
from .ones import ones
from .registers import Flag, Give

ONE = 0x3C00
_ADDRESSES = (Give.BIAS, Give.STATE, Give.LIST, Give.KEPT, Give.BORDER, Give.EDGES, Give.EDGE_STEP, Give.SPIKES,
              Give.MEMBRANES, Give.MASKS)


class NodeEngine(wiring.Component):
    """One segment of nodes per start: for each node its bias, the events of the list, and the delays that spiked.

    ::

        list of events ──> address ─┐                        ┌─> unit 0 ─┐
        delay line & kept ─> rank ──┴─> memory row of units ─┼─> unit 1 ─┼─> spikes, u, m: rows of the memory
              ^                                              └─> …      ─┘         │
              └────────────────────────────────────────────────────────────────────┘

    Inputs, and in a perceptron the nodes of the segment before, come as the list of events: one cycle each, silent
    ones none. Delays come from the delay line, 16 at a time: an AND with the words of the kept delays, then one cycle
    for each that is left; the weight's place is the rank of its delay among those that the segment keeps. With
    `Flag.BESIDE` a group of `units` neighbouring nodes is taken at once, a row of weights per event.

    A group takes

        7 + nodes of the group                                              its bias and state, writing
        + 1 + events                                                        with LIST
        + 1 + reach · (2 + border) + delays that spiked + line / 16         with DELAYS
        + 15 + soft + 5 · leak                                              the slowest unit (`AutapseNode`)

    cycles, or 8 in place of the last where it does not spike; a segment one more.

    Members
    -------
    i_give, i_at, i_data : a register is written (`Give`)
    o_busy : up from the cycle after START until the segment is done
    o_address, o_read, o_write, o_row : the memory; o_row are words for the lanes from `o_address` on, or for the one
        lane that `o_address` names where `o_one`; i_row the row read, in the next cycle, i_lane the lane of its address
    o_lent, i_lent : the arithmetic of unit 0, which is the sequencer's
    o_list_first, o_list_next, i_list_offset, i_list_end : the list
    o_saturated : strobe
    o_visits : synapses read since START, in rows, modulo 2^16
    o_code, o_code_spike, o_code_fresh : strobe, a spike joins the code; the code is empty
    """

    def __init__(self, *, units: int, line: int):
        self.units, self.line = units, line
        lanes = max(units - 1, 1).bit_length()
        super().__init__({
            "i_give": In(1), "i_at": In(5), "i_data": In(16), "o_busy": Out(1),
            "o_address": Out(16), "o_read": Out(1), "o_write": Out(1), "o_one": Out(1), "o_row": Out(16 * units),
            "i_row": In(16 * units), "i_lane": In(lanes),
            "o_lent": Out(ASKED), "i_lent": In(ARITHMETIC),
            "o_list_first": Out(1), "o_list_next": Out(1), "i_list_offset": In(16), "i_list_end": In(1),
            "o_saturated": Out(1), "o_visits": Out(16),
            "o_code": Out(1), "o_code_spike": Out(1), "o_code_fresh": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        units, words = self.units, self.line // WORD
        narrow = {Give.REACH: words.bit_length(), Give.NODES: 13}
        r = {name: Signal(narrow.get(name, 16), name=name.name.lower()) for name in Give if name < Give.PROTOTYPES}
        for name, register in r.items():
            with m.If(self.i_give & (self.i_at == name)):
                m.d.sync += register.eq(self.i_data)
        flags = r[Give.FLAGS]

        def flag(which):
            return flags[which.bit_length() - 1]

        m.submodules.line = line = DelayLine(length=self.line)
        nodes = [AutapseNode()] + [AutapseUnit() for _ in range(units - 1)]
        for index, node in enumerate(nodes):
            m.submodules[f"unit_{index}"] = node
        beside = flag(Flag.BESIDE) if units > 1 else Const(0, 1)
        m.d.comb += [self.o_lent.eq(nodes[0].o_arithmetic), nodes[0].i_arithmetic.eq(self.i_lent)]

        # Words on their way: asked for, then here.
        asking, here, begin, end = Signal(), Signal(), Signal(), Signal()
        list_stage, tap_stage, tap_address = Signal(), Signal(), Signal(16)
        m.d.sync += here.eq(asking)
        last = Signal()
        group = Mux(beside, units, 1)
        m.d.comb += last.eq(r[Give.NODES] <= group)
        spikes, overflow, ready = [], [], Signal(units)
        for index, node in enumerate(nodes):
            word = self.i_row.word_select(index, 16)
            if index == 0 and units > 1:
                word = Mux(beside, word, self.i_row.word_select(self.i_lane, 16))
            works = Const(1, 1) if index == 0 else beside & (r[Give.NODES] > index)
            m.d.comb += [
                node.i_word.eq(word), node.i_valid.eq(here & works), node.i_end.eq(end & works),
                node.i_start.eq(begin), node.i_begin.eq(flag(Flag.BEGIN)), node.i_last.eq(flag(Flag.LAST) & last),
                node.i_parameters.leak.eq(r[Give.LEAK]), node.i_parameters.threshold.eq(r[Give.THRESHOLD]),
                node.i_parameters.half_width.eq(r[Give.HALF_WIDTH]), node.i_parameters.soft.eq(flag(Flag.SOFT)),
                node.i_parameters.strict.eq(flag(Flag.STRICT)), node.i_parameters.spiking.eq(flag(Flag.SPIKING)),
                ready[index].eq(node.o_ready),
            ]
            spikes.append(node.o_spike & works)
            overflow.append(node.o_overflow)
        m.d.comb += self.o_saturated.eq(Cat(overflow).any())

        # The delays of one word that are kept and spiked; their weights lie in the order of what the segment keeps.
        kept, todo, turned, rank = Signal(WORD), Signal(WORD), Signal(range(words + 1)), Signal(16)
        less, ranks = Signal(WORD), Signal(range(WORD + 1))
        m.d.comb += [less.eq(todo - 1), ranks.eq(ones(m, kept & (less & ~todo | (todo == 0).replicate(WORD)), "kept"))]
        place, emitted = Signal(range(units + 1)), Signal(units)
        # One adder for all addresses: what is read or written, and how far behind its first word.
        base, ahead, position = Signal(16), Signal(16), Signal(16)

        m.d.comb += [self.o_busy.eq(1), base.eq(r[Give.BIAS]), ahead.eq(position), self.o_address.eq(base + ahead)]
        stateful = Signal()     # what is asked for is no synapse
        with m.If(asking & ~stateful):
            m.d.sync += self.o_visits.eq(self.o_visits + 1)

        with m.If(list_stage):
            m.d.comb += [asking.eq(1), base.eq(r[Give.LIST]), ahead.eq(self.i_list_offset)]
        with m.If(tap_stage):
            m.d.comb += [asking.eq(1), base.eq(tap_address), ahead.eq(0)]
        m.d.sync += [list_stage.eq(0), tap_stage.eq(0)]
        reading = Signal()
        m.d.comb += self.o_read.eq(asking | reading)

        with m.FSM():
            with m.State("REST"):
                m.d.comb += self.o_busy.eq(0)
                with m.If(self.i_give & (self.i_at == Give.START)):
                    m.d.sync += self.o_visits.eq(0)
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.sync += position.eq(0)
                m.d.comb += [begin.eq(1), line.i_clear.eq(flag(Flag.CLEAR)),
                             self.o_code_fresh.eq(flag(Flag.FRESH))]
                m.next = "BIAS"
            with m.State("BIAS"):
                # The list's pointer is back at its start two cycles later.
                m.d.comb += [asking.eq(flag(Flag.BIAS)), self.o_list_first.eq(1)]
                m.next = "STATE"
            with m.State("STATE"):
                m.d.comb += [asking.eq(flag(Flag.STATE)), stateful.eq(1), base.eq(r[Give.STATE])]
                m.d.sync += [rank.eq(r[Give.EDGES]), turned.eq(0)]
                m.next = "EVENTS"
                with m.If(~flag(Flag.LIST)):
                    m.next = "SETTLE"
                    with m.If(flag(Flag.DELAYS)):
                        m.next = "KEPT"
            with m.State("EVENTS"):
                m.d.comb += self.o_list_next.eq(~self.i_list_end)
                m.d.sync += list_stage.eq(~self.i_list_end)
                with m.If(self.i_list_end):
                    m.next = "SETTLE"
                    with m.If(flag(Flag.DELAYS)):
                        m.next = "KEPT"
            with m.State("KEPT"):
                m.d.comb += [reading.eq(1), base.eq(r[Give.KEPT]), ahead.eq(turned)]
                m.next = "BORDER"
            with m.State("BORDER"):
                m.d.comb += [reading.eq(flag(Flag.BORDER)), base.eq(r[Give.BORDER]), ahead.eq(0)]
                m.d.sync += [kept.eq(self._lane(beside)), todo.eq(self._lane(beside) & line.o_word),
                             # One node's words follow the other's.
                             r[Give.BORDER].eq(r[Give.BORDER] + flag(Flag.BORDER))]
                m.next = "TAPS"
                with m.If(flag(Flag.BORDER)):
                    m.next = "MASK"
            with m.State("MASK"):
                m.d.sync += todo.eq(todo & self._lane(beside))
                m.next = "TAPS"
            with m.State("TAPS"):
                with m.If(todo != 0):
                    m.d.sync += [tap_stage.eq(1), tap_address.eq(rank + ranks), todo.eq(todo & less)]
                with m.Else():
                    m.d.comb += line.i_turn.eq(1)
                    m.d.sync += [rank.eq(rank + ranks), turned.eq(turned + 1)]
                    m.next = "KEPT"
                    with m.If(turned + 1 == r[Give.REACH]):
                        m.next = "TURN"
            with m.State("TURN"):
                m.d.comb += line.i_turn.eq(turned != words)
                m.d.sync += turned.eq(turned + 1)
                with m.If(turned == words):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.comb += end.eq(1)
                m.next = "UNITS"
            with m.State("UNITS"):
                with m.If(ready.all()):
                    m.d.sync += [place.eq(group), emitted.eq(Cat(spikes))]
                    m.next = "SPIKES"
            fired = [Mux(spike, ONE, Const(0, 16)) for spike in spikes]
            masked = [Mux(node.o_near, ONE, Const(0, 16)) for node in nodes]
            for state, register, wanted, values, after in (
                    ("SPIKES", Give.SPIKES, Const(1, 1), fired, "MEMBRANES"),
                    ("MEMBRANES", Give.MEMBRANES, flag(Flag.MEMBRANES), [node.o_u for node in nodes], "MASKS"),
                    ("MASKS", Give.MASKS, flag(Flag.MASKS), masked, "EMIT")):
                with m.State(state):
                    row = Cat(Mux(beside | (index == 0), value, values[0]) for index, value in enumerate(values))
                    m.d.comb += [base.eq(r[register]), self.o_write.eq(wanted), self.o_row.eq(row)]
                    m.next = after
            with m.State("EMIT"):
                # One spike of the group after the other.
                m.d.comb += [
                    line.i_shift.eq(flag(Flag.SPIKING)), line.i_spike.eq(emitted[0]),
                    self.o_code.eq(flag(Flag.CODE)), self.o_code_spike.eq(emitted[0]),
                ]
                m.d.sync += [emitted.eq(emitted >> 1), place.eq(place - 1), r[Give.NODES].eq(r[Give.NODES] - 1)]
                with m.If((place == 1) | (r[Give.NODES] == 1)):
                    m.next = "STEP"
            with m.State("STEP"):
                m.d.sync += [position.eq(position + group), r[Give.LIST].eq(r[Give.LIST] + group)]
                m.d.sync += r[Give.EDGES].eq(r[Give.EDGES] + r[Give.EDGE_STEP])
                m.next = "BIAS"
                with m.If(r[Give.NODES] == 0):
                    m.next = "REST"
        m.d.comb += self.o_one.eq(~beside)
        return m

    def _lane(self, beside):
        return self.i_row[:16] if self.units == 1 else self.i_row.word_select(self.i_lane, 16)
