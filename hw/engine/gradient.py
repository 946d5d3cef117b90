"""Gradient engine: the batch's kept spikes and errors, met at its end, without a gradient memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..contract.chip import MAP_BITS, ChipConfig
from ..contract.program import Space
from .forward import shape_of
from .lanes import Lanes
from .memory import ReadPort
from .scan import Credits
from .schedule import Item

UpdateToken = data.StructLayout({"sum": 1, "offset": 24})

Word = data.StructLayout({"bits": MAP_BITS, "index": 15, "last": 1})


class MeetingScanner(wiring.Component):
    """Words of (spike history of input i) AND (active steps of group J), for all (i, J) of a layer.

    One word per cycle into a queue; words without a hit are dropped on the way, but for the last
    of a group. The bias is an input that spiked at every step.
    """

    depth = 8

    def __init__(self, config: ChipConfig):
        super().__init__({
            "i_start": In(1), "i_item": In(Item), "i_used_words": In(12), "i_history_log": In(3),
            "history": Out(ReadPort(**shape_of(config, Space.HISTORY))),
            "active": Out(ReadPort(**shape_of(config, Space.ACTIVE))),
            "o": Out(stream.Signature(Word)), "o_idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layer = self.i_item.layer
        m.submodules.words = words = SyncFIFO(width=Word.size, depth=self.depth)
        running, issue = Signal(), Signal()
        source, group, word = Signal(17), Signal(16), Signal(12)
        history_base, active_base = Signal(24), Signal(24)
        final_word = word == self.i_used_words - 1
        final_group = group == layer.groups - 1
        final_source = source == layer.inputs + layer.bias - 1
        m.d.comb += [
            issue.eq(running & (words.level <= self.depth - 3)),
            self.history.address.eq(history_base + word), self.active.address.eq(active_base + word),
        ]
        with m.If(self.i_start):
            m.d.sync += [running.eq(1), source.eq(0), group.eq(0), word.eq(0),
                         history_base.eq(layer.history), active_base.eq(layer.active)]
        with m.Elif(issue):
            m.d.sync += word.eq(word + 1)
            with m.If(final_word):
                m.d.sync += [word.eq(0), group.eq(group + 1), active_base.eq(active_base + (1 << self.i_history_log))]
                with m.If(final_group):
                    m.d.sync += [
                        group.eq(0), active_base.eq(layer.active), source.eq(source + 1),
                        history_base.eq(history_base + (1 << self.i_history_log)),
                    ]
                    with m.If(final_source):
                        m.d.sync += running.eq(0)

        arrives, arrives_bias = Signal(), Signal()
        arrived = Signal(Word)
        m.d.sync += [
            arrives.eq(issue), arrives_bias.eq(source == layer.inputs),
            arrived.index.eq(word), arrived.last.eq(final_word),
        ]
        hits = self.active.data & (self.history.data | arrives_bias.replicate(MAP_BITS))
        m.d.comb += [
            words.w_en.eq(arrives & ((hits != 0) | arrived.last)),
            words.w_data.eq(Cat(hits, arrived.index, arrived.last)),
            self.o.valid.eq(words.r_rdy), self.o.p.eq(words.r_data), words.r_en.eq(self.o.ready),
            self.o_idle.eq(~running & ~arrives & ~words.r_rdy),
        ]
        return m


class GradientEngine(wiring.Component):
    """For each (input, group of outputs) the exact sum of errors where the input spiked.

    ::

        history AND active ─> hits, one per cycle ─> rows of errors ─> lanes ─> optimiser

    A hit is held back until the next one or the end of its group is known, so that the last one of
    a group is marked without a bubble. Groups without a hit cost a cycle and reach the optimiser all
    the same: momentum decays, and a remainder of half a unit in the last place may still move its weight.

    Cycles: one per hit, as long as a group has at least max(words of history, the optimiser's
    cycles per group) hits on average; plus about 60 per layer.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(Item)), "i_used_words": In(12), "i_used_steps": In(20), "i_history_log": In(3),
            "i_batch_steps": In(20),
            "history": Out(ReadPort(**shape_of(config, Space.HISTORY))),
            "active": Out(ReadPort(**shape_of(config, Space.ACTIVE))),
            "errors": Out(ReadPort(**shape_of(config, Space.ERRORS))),
            "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1), "i_done": In(1),
            "o_token": Out(stream.Signature(UpdateToken)), "o_item": Out(Item), "i_update_idle": In(1),
            "o_final": Out(1), "o_visit": Out(1), "o_saved": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.meet = meet = MeetingScanner(self.config)
        m.submodules.queue = queue = Credits(most=Lanes.credits)
        wiring.connect(m, meet.history, wiring.flipped(self.history))
        wiring.connect(m, meet.active, wiring.flipped(self.active))
        item = Signal(Item)
        layer = item.layer
        m.d.comb += [
            meet.i_item.eq(item), meet.i_used_words.eq(self.i_used_words),
            meet.i_history_log.eq(self.i_history_log), self.o_item.eq(item),
        ]

        word, word_valid = Signal(Word), Signal()
        source, group, offset, row_base = Signal(17), Signal(16), Signal(24), Signal(24)
        lane = Signal(range(MAP_BITS))
        for k in reversed(range(MAP_BITS)):
            with m.If(word.bits[k]):
                m.d.comb += lane.eq(k)
        rest = word.bits & (word.bits - 1)[:MAP_BITS]

        held, held_first, held_last = Signal(), Signal(), Signal()
        held_row, held_offset, fresh = Signal(24), Signal(24), Signal(init=1)
        take, close, empty, finished = Signal(), Signal(), Signal(), Signal()
        send_last = held & held_last & (queue.out != Lanes.credits) & self.o_token.ready
        free = ~(held & held_last) | send_last
        m.d.comb += [
            take.eq(word_valid & (word.bits != 0) & free),
            # The last word of a group had no hit: the one held back is the group's last.
            close.eq(word_valid & (word.bits == 0) & held & ~held_last),
            # A group without any hit.
            empty.eq(word_valid & (word.bits == 0) & ~held & self.o_token.ready),
            finished.eq(((take & (rest == 0)) | close | empty) & word.last),
            self.o_visit.eq((held & ~held_last & take) | send_last),
            queue.give.eq(send_last), queue.back.eq(self.i_done),
            self.o_token.valid.eq((held & held_last & (queue.out != Lanes.credits))
                                  | (word_valid & (word.bits == 0) & ~held)),
            self.o_token.p.sum.eq(held), self.o_token.p.offset.eq(Mux(held, held_offset, offset)),
            self.errors.address.eq(held_row),
            meet.o.ready.eq(~word_valid | (take & (rest == 0)) | close | empty),
            self.o_saved.eq(Mux(finished, self.i_used_steps, 0) - self.o_visit),
        ]
        with m.If(send_last):
            m.d.sync += held.eq(0)
        with m.If(take):
            m.d.sync += [
                held.eq(1), held_first.eq(fresh), held_last.eq((rest == 0) & word.last),
                held_row.eq(row_base + Cat(lane, word.index)), held_offset.eq(offset),
                word.bits.eq(rest), fresh.eq((rest == 0) & word.last),
            ]
        with m.If(close):
            m.d.sync += [held_last.eq(1), fresh.eq(1)]
        with m.If(meet.o.ready):
            m.d.sync += [word.eq(meet.o.p), word_valid.eq(meet.o.valid)]
        with m.If(finished):
            m.d.sync += [group.eq(group + 1), offset.eq(offset + layer.row_step),
                         row_base.eq(row_base + self.i_batch_steps)]
            with m.If(group == layer.groups - 1):
                m.d.sync += [group.eq(0), source.eq(source + 1), offset.eq((source + 1)[:17]),
                             row_base.eq(layer.errors)]

        marks = Signal(3)
        m.d.sync += marks.eq(Cat(self.o_visit, held_first, held_last))
        m.d.comb += Cat(self.o_valid, self.o_first, self.o_last).eq(marks)

        busy = ~meet.o_idle | word_valid | held | ~self.i_update_idle | marks[0]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += item.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "Start"
            with m.State("Start"):
                m.d.comb += meet.i_start.eq(1)
                m.d.sync += [source.eq(0), group.eq(0), offset.eq(0), row_base.eq(layer.errors), fresh.eq(1)]
                m.next = "Settle"
            with m.State("Settle"):
                m.next = "Run"
            with m.State("Run"):
                with m.If(~busy):
                    m.d.comb += self.o_final.eq(item.final)
                    m.next = "Idle"
        return m
