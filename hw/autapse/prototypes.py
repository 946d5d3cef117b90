"""The prototype readout: the class whose prototype differs from the code of the spikes in the fewest bits."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .ones import ones

WORD = 16


class PrototypeReadout(wiring.Component):
    """Gathers a code bit by bit, then compares it with the prototype of every class: XOR, popcount, least.

    ::

        i_bit ─> 16 bits ─> code ─┐
                                  ├─ XOR ─ popcount ─> distance ─> memory; less than all before: the class
        memory: prototypes ───────┘

    The first bit is bit 0 of the first word; bits behind the last one are 0, in the code and in the prototypes.
    A comparison with a code of W words and C classes takes

        2 + C · (W + 3)

    cycles: from the cycle after i_start until o_busy is low. Among equal distances the lowest class counts.

    Parameters
    ----------
    words : int
        Words of 16 bits of the longest code.

    Members
    -------
    i_fresh : the code is empty
    i_bit, i_spike : strobe, the next bit; not while o_busy
    i_start, i_classes, i_prototypes, i_distances : a comparison, with prototypes one after the other, W words each;
        distances go to C words, the class to the word behind them. i_classes at least 1, and all unchanged meanwhile
    o_address, o_read, i_word : a word of memory, in the next cycle
    o_write, o_data : and one for it
    """

    def __init__(self, *, words: int):
        if isinstance(words, bool) or not isinstance(words, int) or words < 1:
            raise ValueError(f"words of the longest code must be a whole number of at least 1, not {words!r}")
        self.words = words
        super().__init__({
            "i_fresh": In(1), "i_bit": In(1), "i_spike": In(1), "i_start": In(1), "i_classes": In(16),
            "i_prototypes": In(16), "i_distances": In(16), "o_address": Out(16), "o_read": Out(1), "i_word": In(16),
            "o_write": Out(1), "o_data": Out(16), "o_busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        bits = max(ceil_log2(self.words), 1)
        m.submodules.code = code = Memory(shape=unsigned(WORD), depth=1 << bits, init=[])
        writer, reader = code.write_port(), code.read_port()
        gathered, count, words = Signal(WORD), Signal(range(WORD)), Signal(bits + 1)
        at, place, number, nearest = Signal(16), Signal(bits + 1), Signal(16), Signal(16)
        distance, least, arrives = Signal(16), Signal(16), Signal()
        whole = self.i_bit & (count == WORD - 1)
        m.d.comb += [
            writer.addr.eq(words), writer.data.eq(Cat(gathered[1:], self.i_spike)), writer.en.eq(whole),
            reader.addr.eq(place), self.o_busy.eq(1), self.o_data.eq(distance),
        ]
        m.d.sync += arrives.eq(self.o_read)
        with m.If(arrives):
            m.d.sync += distance.eq(distance + ones(m, self.i_word ^ reader.data, "apart"))
        with m.FSM():
            with m.State("REST"):
                m.d.comb += self.o_busy.eq(0)
                with m.If(self.i_bit):
                    m.d.sync += [gathered.eq(Cat(gathered[1:], self.i_spike)), count.eq(count + 1),
                                 words.eq(words + whole)]
                with m.If(self.i_start):
                    m.d.sync += [at.eq(self.i_prototypes), number.eq(0), least.eq(0xFFFF)]
                    m.next = "FILL"
            with m.State("FILL"):
                # The last word's bits have not reached its low end.
                with m.Switch(count):
                    for filled in range(1, WORD):
                        with m.Case(filled):
                            m.d.comb += [writer.data.eq(gathered[WORD - filled:]), writer.en.eq(1)]
                            m.d.sync += words.eq(words + 1)
                m.d.sync += count.eq(0)
                m.next = "CLASS"
            with m.State("CLASS"):
                m.d.sync += [distance.eq(0), place.eq(0)]
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += [self.o_read.eq(1), self.o_address.eq(at)]
                m.d.sync += [at.eq(at + 1), place.eq(place + 1)]
                with m.If(place + 1 == words):
                    m.next = "LAST"
            with m.State("LAST"):
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [self.o_write.eq(1), self.o_address.eq(self.i_distances + number)]
                m.d.sync += number.eq(number + 1)
                with m.If(distance < least):
                    m.d.sync += [least.eq(distance), nearest.eq(number)]
                m.next = "CLASS"
                with m.If(number + 1 == self.i_classes):
                    m.next = "NEAREST"
            with m.State("NEAREST"):
                m.d.comb += [self.o_write.eq(1), self.o_address.eq(self.i_distances + number), self.o_data.eq(nearest)]
                m.next = "REST"
        with m.If(self.i_fresh):
            m.d.sync += [count.eq(0), words.eq(0)]
        return m
