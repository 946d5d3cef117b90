"""The spike delay line of an autapse neuron."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WORD", "DelayLine"]

WORD = 16
"""Taps that are seen at once."""


class DelayLine(wiring.Component):
    """Spikes of the last `length` nodes in a shift register, seen 16 at a time.

    ::

        i_spike ─> tap 1 ─> tap 2 ─> … ─> tap 16 │ tap 17 ─> … │ … ─> tap length
                   └────────── o_word ─────────┘
        i_turn:  the second word moves to the first place, the first one to the end

    After length / 16 turns the line is as it was: so it is looked through word by word, with no multiplexer of taps.
    Each of the three takes one cycle; only one of them in a cycle.

    Parameters
    ----------
    length : int
        Taps, a multiple of 16: the longest delay.

    Members
    -------
    i_clear : :py:`In(1)`
        No spike has been.
    i_shift, i_spike : :py:`In(1)`
        A node is over: its spike gets delay 1, all others one more. Only after whole rounds of turns.
    i_turn : :py:`In(1)`
        The next word.
    o_word : :py:`Out(16)`
        Bit b is tap b + 1, of the word that is in front.

    Raises
    ------
    ValueError
        If the length is not a positive multiple of 16.
    """

    i_clear: Signal
    i_shift: Signal
    i_spike: Signal
    i_turn: Signal
    o_word: Signal

    def __init__(self, *, length: int):
        if isinstance(length, bool) or not isinstance(length, int) or length < WORD or length % WORD:
            raise ValueError(f"length of a delay line must be a positive multiple of {WORD}, not {length!r}")
        self.length = length
        super().__init__({"i_clear": In(1), "i_shift": In(1), "i_spike": In(1), "i_turn": In(1), "o_word": Out(WORD)})

    def elaborate(self, platform):
        m = Module()
        line = Signal(self.length)
        m.d.comb += self.o_word.eq(line[:WORD])
        with m.If(self.i_clear):
            m.d.sync += line.eq(0)
        with m.Elif(self.i_turn):
            m.d.sync += line.eq(Cat(line[WORD:], line[:WORD]))
        with m.Elif(self.i_shift):
            m.d.sync += line.eq(Cat(self.i_spike, line[:-1]))
        return m
