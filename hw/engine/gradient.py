"""Gradient engine: the batch's kept spikes and errors, met at its end, without a gradient memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..contract.chip import MAP_BITS, ChipConfig
from ..contract.program import Space
from ..neuron.pipeline import delay
from .lanes import Lanes
from .memory import FAR_LATENCY, ROW_LATENCY, ReadPort, shape_of
from .scan import Credits, without_lowest
from .schedule import Item
from .table import LayerPort, LayerWrite, Widths, attach, layer_view

PART = 8  # a word's hits are taken part by part

Word = data.StructLayout({"bits": MAP_BITS, "parts": MAP_BITS // PART, "index": 12, "last": 1})


def update_layout(config: ChipConfig) -> data.StructLayout:
    """A group of synapses on its way to the optimiser: whether a sum comes with it, and its row in the layer."""
    return data.StructLayout({"sum": 1, "offset": Widths(config).synapse})


class MeetingScanner(wiring.Component):
    """Words of (spike history of input i) AND (active steps of group J), for all (i, J) of a layer.

    One word per cycle into a queue; words without a hit are dropped on the way. A word is held back until the
    next one is there or its group has ended, so that the last word of a group is marked; a group without any hit
    is one empty word. The bias is an input that spiked at every step.
    """

    depth = 16
    fields = ("history", "active", "groups", "inputs", "bias")

    def __init__(self, config: ChipConfig):
        self._widths = Widths(config)
        super().__init__({
            "i_start": In(1), "layer": Out(LayerPort(layer_view(config, *self.fields))), "i_item": In(Item),
            "i_used_words": In(12), "i_history_log": In(3),
            "history": Out(ReadPort(**shape_of(config, Space.HISTORY))),
            "active": Out(ReadPort(**shape_of(config, Space.ACTIVE))),
            "o": Out(stream.Signature(Word)), "o_idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        widths, layer = self._widths, self.layer.fields
        m.submodules.words = words = SyncFIFO(width=Word.size, depth=self.depth)
        running, issue, bias = Signal(), Signal(), Signal()
        sources, groups, word = Signal(widths.neuron), Signal(widths.group), Signal(12)  # still to come; word counts up
        history_base, active_base = Signal(widths.history), Signal(widths.active)
        final_word, longest = Signal(), Signal(12)
        m.d.sync += longest.eq(self.i_used_words - 1)
        m.d.comb += [
            self.layer.index.eq(self.i_item.layer), final_word.eq(word == longest),
            issue.eq(running & (words.level < self.depth // 2)),   # there is room for those under way
        ]
        step = Signal(MAP_BITS.bit_length() + 8)
        m.d.comb += step.eq(1 << self.i_history_log)
        with m.If(self.i_start):
            m.d.sync += [
                running.eq(1), sources.eq(layer.inputs + layer.bias - 1), groups.eq(layer.groups - 1), word.eq(0),
                bias.eq(layer.inputs == 0), history_base.eq(layer.history), active_base.eq(layer.active)]
        with m.Elif(issue):
            m.d.sync += word.eq(word + 1)
            with m.If(final_word):
                m.d.sync += [word.eq(0), groups.eq(groups - 1), active_base.eq(active_base + step)]
                with m.If(groups == 0):
                    m.d.sync += [
                        groups.eq(layer.groups - 1), active_base.eq(layer.active), sources.eq(sources - 1),
                        bias.eq(layer.bias & (sources == 1)), history_base.eq(history_base + step),
                    ]
                    with m.If(sources == 0):
                        m.d.sync += running.eq(0)

        # Address, memories, register, register beside whether there is any hit, queue.
        marks = delay(m, Cat(issue, final_word, bias, word), 1 + ROW_LATENCY, name="marks", reset_less=False)
        asked_history, asked_active = Signal.like(self.history.address), Signal.like(self.active.address)
        m.d.sync += [asked_history.eq(history_base + word), asked_active.eq(active_base + word)]
        m.d.comb += [self.history.address.eq(asked_history), self.active.address.eq(asked_active)]
        fresh, some = Signal(MAP_BITS), Signal()
        m.d.sync += [fresh.eq(self.active.data & (self.history.data | marks[2].replicate(MAP_BITS))),
                     some.eq(fresh.any())]
        met, met_marks = delay(m, fresh, 1, name="met"), delay(m, marks, 2, name="met_marks", reset_less=False)
        arrives, arrives_final = met_marks[0], met_marks[1]
        held_bits, held_index, held_last = Signal(MAP_BITS), Signal(12), Signal()
        held, held_valid, push = Signal(Word), Signal(), Signal()
        m.d.comb += [held.bits.eq(held_bits), held.index.eq(held_index), held.last.eq(held_last)]
        under_way = Signal(4 + ROW_LATENCY)
        m.d.sync += under_way.eq(Cat(issue, under_way))
        coming = running | under_way.any()
        keep = arrives & (some | (arrives_final & (~held_valid | held.last)))
        m.d.comb += [
            push.eq(held_valid & (keep | ~coming)), words.w_en.eq(push), words.w_data.eq(held),
            held.parts.eq(Cat(held.bits.word_select(k, PART).any() for k in range(MAP_BITS // PART))),
            self.o.valid.eq(words.r_rdy), self.o.p.eq(words.r_data), words.r_en.eq(self.o.ready),
            self.o_idle.eq(~coming & ~held_valid & ~words.r_rdy),
        ]
        with m.If(keep):
            m.d.sync += [held_bits.eq(met), held_index.eq(met_marks[3:]), held_last.eq(arrives_final), held_valid.eq(1)]
        with m.Elif(push):
            m.d.sync += held_valid.eq(0)
        with m.Elif(arrives & arrives_final):
            m.d.sync += held_last.eq(1)
        return m


class GradientEngine(wiring.Component):
    """For each (input, group of outputs) the exact sum of errors where the input spiked.

    ::

        history AND active ─> hits, one per cycle ─> rows of errors ─> lanes ─> optimiser

    Groups without a hit cost a cycle and reach the optimiser all the same: momentum decays, and a remainder of
    half a unit in the last place may still move its weight.

    Cycles: one per hit, and for a group at least lanes / units (`Credits`); as long as a group has at least
    max(words of history, the optimiser's cycles per group) hits on average; plus no more than `overhead` per
    layer and what the optimiser takes after the last.
    """

    fields = ("inputs", "groups", "row_step", "errors")
    overhead = 23
    saved_lag = 2  # cycles from a visit, or a group's last hit, to `o_saved`
    lag = 1 + FAR_LATENCY  # cycles from a visit to its errors: address, memory

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(Item)), "layers": In(LayerWrite()),
            "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "i_used_words": In(12), "i_used_steps": In(20), "i_history_log": In(3),
            "i_batch_steps": In(20),
            "history": Out(ReadPort(**shape_of(config, Space.HISTORY))),
            "active": Out(ReadPort(**shape_of(config, Space.ACTIVE))),
            "errors": Out(ReadPort(**shape_of(config, Space.ERRORS))),
            "o_words": Out(16 * config.lanes),
            "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1), "i_done": In(1),
            "o_token": Out(stream.Signature(update_layout(config))), "o_item": Out(Item), "i_update_idle": In(1),
            "o_final": Out(1), "o_visit": Out(1), "o_saved": Out(21),
        })

    def elaborate(self, platform):
        m = Module()
        widths = Widths(self.config)
        m.submodules.meet = meet = MeetingScanner(self.config)
        attach(m, self, meet, "meet")
        m.submodules.queue = queue = Credits(most=Lanes.credits, apart=self.config.beats)
        wiring.connect(m, meet.history, wiring.flipped(self.history))
        wiring.connect(m, meet.active, wiring.flipped(self.active))
        item, layer = Signal(Item), self.layer.fields
        m.d.comb += [
            meet.i_item.eq(item), meet.i_used_words.eq(self.i_used_words), self.layer.index.eq(item.layer),
            meet.i_history_log.eq(self.i_history_log), self.o_item.eq(item),
        ]

        # The word in hand gives one hit per cycle to the hit in hand; the last hit of a group needs a place behind
        # the lanes and in the optimiser's queue.
        word, word_valid = Signal(Word), Signal()
        source, groups = Signal(widths.neuron), Signal(widths.group)
        offset, row_base, fresh = Signal(widths.synapse), Signal(widths.error), Signal(init=1)
        hit = data.StructLayout({"base": widths.error, "lane": range(MAP_BITS), "index": len(word.index),
                                 "offset": widths.synapse, "any": 1, "first": 1, "last": 1})
        found, held, held_valid = Signal(hit), Signal(hit), Signal()
        # Of a word one part is in hand; the others that have a hit wait, so that little is to be known of 8 bits.
        part, part_index, others = Signal(PART), Signal(range(MAP_BITS // PART)), Signal(MAP_BITS // PART)
        lane = Signal(range(PART))
        for k in reversed(range(PART)):
            with m.If(part[k]):
                m.d.comb += lane.eq(k)
        m.d.comb += found.lane.eq(Cat(lane, part_index))
        rest = without_lowest(part)
        single = ~rest.any() & ~others.any()
        offered = Signal(Word)
        m.d.comb += offered.eq(meet.o.p)
        # The next part of this word and the first of the next one, both found before it is known which it will be.
        fresh_part, fresh_index = self._first(m, offered.bits, offered.parts, name="fresh")
        next_part, next_index = self._first(m, word.bits, others, name="next")
        wait, take, finished, visit = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            found.base.eq(row_base), found.index.eq(word.index), found.offset.eq(offset), found.first.eq(fresh),
            found.any.eq(part.any()), found.last.eq(single & word.last),
            self.o_token.valid.eq(held_valid & held.last & (~queue.full | ~held.any)),
            self.o_token.p.sum.eq(held.any), self.o_token.p.offset.eq(held.offset),
            wait.eq(held_valid & held.last & ~(self.o_token.valid & self.o_token.ready)),
            take.eq(word_valid & ~wait), finished.eq(take & found.last),
            visit.eq(held_valid & held.any & ~wait), self.o_visit.eq(visit),
            queue.give.eq(visit & held.last), queue.back.eq(self.i_done),
            meet.o.ready.eq(~word_valid | (take & single)),
        ]
        with m.If(~wait):
            m.d.sync += [held.eq(found), held_valid.eq(word_valid)]
        with m.If(take):
            m.d.sync += [part.eq(rest), fresh.eq(found.last)]
        with m.If(meet.o.ready):
            m.d.sync += [word.eq(offered), word_valid.eq(meet.o.valid)]
        with m.If(meet.o.ready):
            m.d.sync += [part.eq(fresh_part), part_index.eq(fresh_index), others.eq(without_lowest(offered.parts))]
        with m.Elif(take & ~rest.any()):
            m.d.sync += [part.eq(next_part), part_index.eq(next_index), others.eq(without_lowest(others))]
        with m.If(finished):
            m.d.sync += [groups.eq(groups - 1), offset.eq(offset + layer.row_step),
                         row_base.eq(row_base + self.i_batch_steps)]
            with m.If(groups == 0):
                m.d.sync += [groups.eq(layer.groups - 1), source.eq(source + 1),
                             offset.eq((source + 1)[:widths.neuron]), row_base.eq(layer.errors)]
        ended, visited = delay(m, finished, 1, name="ended"), delay(m, visit, 1, name="visited")
        m.d.sync += self.o_saved.eq(Mux(ended, self.i_used_steps, 0) - visited)

        marks = delay(m, Cat(visit, visit & held.first, visit & held.last), self.lag, name="marks", reset_less=False)
        row = Signal.like(self.errors.address)
        m.d.sync += row.eq(held.base + Cat(held.lane, held.index))
        m.d.comb += [self.errors.address.eq(row), self.o_words.eq(self.errors.data),
                     Cat(self.o_valid, self.o_first, self.o_last).eq(marks)]

        coming = Signal(self.lag)
        m.d.sync += coming.eq(Cat(visit, coming))
        busy = ~meet.o_idle | word_valid | held_valid | ~self.i_update_idle | coming.any()
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += item.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "Look"
                    with m.If(~self.i.payload.active):
                        m.d.comb += self.o_final.eq(self.i.payload.final)
                        m.next = "Idle"
            with m.State("Look"):
                m.next = "Start"
            with m.State("Start"):
                m.d.comb += meet.i_start.eq(1)
                m.d.sync += [source.eq(0), groups.eq(layer.groups - 1), offset.eq(0), row_base.eq(layer.errors),
                             fresh.eq(1)]
                m.next = "Settle"
            with m.State("Settle"):
                m.next = "Run"
            with m.State("Run"):
                with m.If(~busy):
                    m.d.comb += self.o_final.eq(item.final)
                    m.next = "Idle"
        return m

    @staticmethod
    def _first(m, bits, parts, *, name: str):
        """The lowest part with a hit, and its number."""
        index = Signal(range(MAP_BITS // PART), name=f"{name}_index")
        for k in reversed(range(MAP_BITS // PART)):
            with m.If(parts[k]):
                m.d.comb += index.eq(k)
        return bits.word_select(index, PART), index
