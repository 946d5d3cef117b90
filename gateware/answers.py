"""A queue for answers that memories will give later, in order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .link.stream import WORD


class AnswerQueue(wiring.Component):
    """Words of answers on their way to the link, with places kept for those that memories still owe.

    Parameters
    ----------
    words : int
        Places, a power of two of at least 2.

    Members
    -------
    i_claim : strobe, keeps a place; only with o_room
    i_put, i_word : strobe, fills the oldest place kept, which may be kept in this very cycle
    i_drop : what is there is dropped, a word a cycle, and nothing offered
    o : words
    o_room : a place is free
    o_owed : places are kept and not filled
    o_empty : no place is kept or filled
    """

    i_claim: In(1)
    i_put: In(1)
    i_word: In(WORD)
    i_drop: In(1)
    o: Out(stream.Signature(WORD))
    o_room: Out(1)
    o_owed: Out(1)
    o_empty: Out(1)

    def __init__(self, *, words: int):
        if isinstance(words, bool) or not isinstance(words, int) or words < 2 or words & (words - 1):
            raise ValueError(f"answer words must be a power of two of at least 2, not {words!r}")
        self.words = words
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=WORD, depth=self.words, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        # Pointers run over twice the places, so that full and empty differ.
        claimed = Signal(range(2 * self.words))
        filled = Signal.like(claimed)
        taken = Signal.like(claimed)
        m.d.comb += [
            write.addr.eq(filled),
            write.data.eq(self.i_word),
            write.en.eq(self.i_put),
            read.addr.eq(taken),
            self.o.payload.eq(read.data),
            self.o.valid.eq((filled != taken) & ~self.i_drop),
            self.o_room.eq(claimed != taken ^ self.words),
            self.o_owed.eq(claimed != filled),
            self.o_empty.eq(claimed == taken),
        ]
        m.d.sync += [claimed.eq(claimed + self.i_claim), filled.eq(filled + self.i_put)]
        with m.If((filled != taken) & (self.o.ready | self.i_drop)):
            m.d.sync += taken.eq(taken + 1)
        return m
