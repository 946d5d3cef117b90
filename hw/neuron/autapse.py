"""The autapse neuron: one leaky integrate-and-fire unit that is visited as all nodes of a network in turn."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..sequenced.arithmetic import ARITHMETIC, ASKED, ExactMultiplySum, SumRounding

__all__ = ["PARAMETERS", "AutapseNode", "AutapseUnit"]

PARAMETERS = data.StructLayout({"leak": 16, "threshold": 16, "half_width": 16, "soft": 1, "strict": 1, "spiking": 1})
"""Of the neuron: binary16 words λ, θ and h; θ > instead of ≥ where strict. Without `spiking` u is all there is."""

ONE = 0x3C00
WIDTH = 92      # of the exact sum; that of products of a backward pass where the arithmetic is shared


class AutapseNode(wiring.Component):
    """Takes the words of a node's sum and gives its membrane, spike and mask; keeps one membrane word.

    ::

        i_word ──> exact sum ─ rnd ─> u ─> exact u − θ ─┬─ sign ──> spike
                       ^                                ├─ floor ─> near (m)
                       │                                └─ rnd ───> v (soft)
                       └── rnd(λ·v) <──────────────────────────────┘

    A node with E words takes E cycles (one each, gaps anywhere), and from i_end to o_done, both included,

        15 + 1 (a spike with soft reset) + 5 (λ ≠ 0, v ≠ 0, not i_last)        8 without `spiking`

    The equations are docs/autapse.md's: u = rnd(mul(λ, v) + Σ words), s = u ≥ θ, m = |u − θ| < h, v = 0 after a spike,
    or rnd(u − θ).

    Members
    -------
    i_start, i_begin : :py:`In(1)`
        The arithmetic is the node's again and its sum is empty; with i_begin v becomes 0 too: a sweep starts. Only
        while o_ready, without i_valid or i_end. The membrane word outlasts what others do with the arithmetic.
    i_valid, i_word : :py:`In(1)`, :py:`In(16)`
        A finite binary16 word of the sum. Only while o_ready.
    i_end : :py:`In(1)`
        The sum is whole, with this cycle's word if there is one. Only while o_ready.
    i_last : :py:`In(1)`
        Nobody uses v behind this node: it leaves no leak and no overflow. Held until o_done.
    i_parameters : :py:`In(PARAMETERS)`
        Unchanged while a node is under way.
    o_ready : :py:`Out(1)`
        The next node may come.
    o_done : :py:`Out(1)`
        Strobe: o_u, o_spike and o_near are this node's, and stay until the next i_end.
    o_overflow : :py:`Out(1)`
        Strobe: a rounding whose result is used was beyond ±65504.
    o_arithmetic, i_arithmetic : :py:`Out(ASKED)`, :py:`In(ARITHMETIC)`
        `ExactMultiplySum` and `SumRounding`, the unit's own or another's that rests meanwhile.
    """

    def __init__(self):
        super().__init__({
            "i_start": In(1), "i_begin": In(1), "i_valid": In(1), "i_word": In(16), "i_end": In(1), "i_last": In(1),
            "i_parameters": In(PARAMETERS),
            "o_ready": Out(1), "o_done": Out(1), "o_u": Out(16), "o_spike": Out(1), "o_near": Out(1),
            "o_overflow": Out(1), "o_arithmetic": Out(ASKED), "i_arithmetic": In(ARITHMETIC),
        })

    def elaborate(self, platform):
        m = Module()
        asked, answer, p = self.o_arithmetic, self.i_arithmetic, self.i_parameters
        u, v, turn = self.o_u, Signal(16), Signal(2)     # v: mul(λ, v) between nodes
        zero, leaks = Signal(), Signal()
        m.d.comb += [zero.eq(answer.word[:15] == 0), leaks.eq((p.leak[:15] != 0) & ~self.i_last)]

        def add(word, factor=ONE, *, minus=0):
            m.d.comb += [asked.valid.eq(1), asked.a.eq(word), asked.b.eq(factor), asked.minus.eq(minus)]

        def rounded():
            # The sum has come to rest; its rounding is there in the third cycle.
            with m.If(~answer.busy):
                m.d.sync += turn.eq(turn + 1)
            return turn == 2

        with m.FSM():
            with m.State("SUM"):
                m.d.comb += self.o_ready.eq(1)
                m.d.sync += turn.eq(0)
                with m.If(self.i_start):
                    m.d.comb += asked.forget.eq(1)
                    with m.If(self.i_begin):
                        m.d.sync += v.eq(0)
                with m.If(self.i_valid):
                    add(self.i_word)
                with m.If(self.i_end):
                    m.d.sync += [self.o_spike.eq(0), self.o_near.eq(0)]
                    m.next = "ADD"
            with m.State("ADD"):
                add(Mux(p.spiking, v, 0))
                m.next = "ROUND"
            with m.State("ROUND"):
                with m.If(rounded()):
                    m.d.comb += [asked.forget.eq(1), self.o_overflow.eq(answer.overflow)]
                    m.d.sync += [u.eq(answer.word), turn.eq(0)]
                    m.next = "MEMBRANE"
            with m.State("MEMBRANE"):
                add(u)
                m.next = "THRESHOLD"
                with m.If(~p.spiking):
                    m.d.comb += [asked.valid.eq(0), self.o_done.eq(1)]
                    m.next = "SUM"
            with m.State("THRESHOLD"):
                add(p.threshold, minus=1)
                m.next = "DIFFERENCE"
            with m.State("DIFFERENCE"):
                m.d.comb += asked.floor.eq(1)
                with m.If(rounded()):
                    spike = ~answer.negative & ~(p.strict & zero)
                    m.d.sync += [
                        self.o_spike.eq(spike), self.o_near.eq(answer.word < p.half_width), turn.eq(0),
                        v.eq(Mux(spike, 0, u)),
                    ]
                    m.next = "LEAK"
                    with m.If(spike & p.soft):
                        m.next = "SOFT"
                    with m.Else():
                        m.d.comb += asked.forget.eq(1)
            with m.State("SOFT"):
                m.d.comb += [asked.forget.eq(1), self.o_overflow.eq(answer.overflow & leaks)]
                m.d.sync += v.eq(answer.word)
                m.next = "LEAK"
            with m.State("LEAK"):
                add(v, p.leak)
                m.next = "LEAKED"
                with m.If((v[:15] == 0) | ~leaks):
                    m.d.comb += [asked.valid.eq(0), self.o_done.eq(1)]
                    m.d.sync += v.eq(0)
                    m.next = "SUM"
            with m.State("LEAKED"):
                with m.If(rounded()):
                    m.d.comb += [asked.forget.eq(1), self.o_done.eq(1)]
                    m.d.sync += v.eq(answer.word)
                    m.next = "SUM"
        return m


class AutapseUnit(wiring.Component):
    """An `AutapseNode` with arithmetic of its own: an exact sum of `width` bits (one DSP) and one rounding.

    Ports, cycles and conditions are those of `AutapseNode`, without its arithmetic's.
    """

    def __init__(self, *, width: int = WIDTH):
        self.width = width
        super().__init__({
            "i_start": In(1), "i_begin": In(1), "i_valid": In(1), "i_word": In(16), "i_end": In(1), "i_last": In(1),
            "i_parameters": In(PARAMETERS),
            "o_ready": Out(1), "o_done": Out(1), "o_u": Out(16), "o_spike": Out(1), "o_near": Out(1),
            "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.node = node = AutapseNode()
        m.submodules.sum = exact = ExactMultiplySum(width=self.width)
        m.submodules.rounding = rounding = SumRounding(width=self.width)
        asked, answer = node.o_arithmetic, node.i_arithmetic
        for name in ("i_start", "i_begin", "i_valid", "i_word", "i_end", "i_last", "i_parameters"):
            m.d.comb += getattr(node, name).eq(getattr(self, name))
        for name in ("o_ready", "o_done", "o_u", "o_spike", "o_near", "o_overflow"):
            m.d.comb += getattr(self, name).eq(getattr(node, name))
        m.d.comb += [
            exact.i_valid.eq(asked.valid), exact.i_a.eq(asked.a), exact.i_b.eq(asked.b), exact.i_minus.eq(asked.minus),
            exact.i_forget.eq(asked.forget), rounding.i.eq(exact.o), rounding.i_floor.eq(asked.floor),
            answer.busy.eq(exact.o_busy), answer.negative.eq(exact.o[-1]), answer.word.eq(rounding.o_word),
            answer.overflow.eq(rounding.o_overflow),
        ]
        return m
