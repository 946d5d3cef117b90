"""Lanes: exact accumulators side by side, and the two places where their sums wait for a neuron unit."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..numeric.accumulator import ExactProductSum, ExactSum

ONE = 0x3C00  # binary16 1.0: what a spike multiplies with where lanes are shared


class Lanes(wiring.Component):
    """`lanes` exact accumulators that add one row of synapses per cycle.

    ::

        i_words ─> accumulators ─(i_last)─> waiting ─> leaving ─> `units` at a time ─> o_sums

    A sum starts with the first row after the last one of the sum before (`i_first` says so to whoever
    watches) and ends with `i_last`. Then its lanes wait behind the accumulators, move to `leaving` as the
    sum before leaves that, and go `units` lanes after the other to `o_sums`, which `i_shift` (nothing
    without `o_valid`) consumes. The first part is at `o_sums` `latency` + 1 cycles after the last row if no
    sum is ahead; the parts of a sum, and of a sum that waits behind it, follow in every cycle.

    Two sums at most may be waiting, leaving or on their way there, so the sender needs a credit for each
    last row: it starts with `credits` and gets one back with every `o_done`, when the last part of a sum
    has left `leaving`.

    Throughput: one row per cycle. Where `products` is set, each word is multiplied exactly by
    `i_factor` first.
    """

    credits = 2

    def __init__(self, *, lanes: int, units: int, products: bool, width: int):
        self.lanes, self.units, self.products, self.width = lanes, units, products, width
        self.beats = lanes // units
        self.unit = (ExactProductSum if products else ExactSum)(width=width)
        self.latency = self.unit.latency + (2 if self.beats > 1 else 0)
        self.fraction = self.unit.fraction
        ports = {"i_factor": In(16)} if products else {}
        super().__init__({
            "i_valid": In(1), "i_first": In(1), "i_last": In(1), "i_words": In(16 * lanes), **ports,
            "o_valid": Out(1), "o_sums": Out(units * width), "i_shift": In(1), "o_done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.accumulators = accumulators = self.unit.create(lanes=self.lanes)
        m.d.comb += [
            accumulators.i_valid.eq(self.i_valid), accumulators.i_last.eq(self.i_last),
            accumulators.i_words.eq(self.i_words),
        ]
        if self.products:
            m.d.comb += accumulators.i_factor.eq(self.i_factor)

        # Both places are plain registers with an enable, which need no logic, and each part moves on by itself, so
        # that no signal has to reach all lanes within the cycle in which `i_shift` comes.
        beats, bits = self.beats, self.units * self.width
        leaving, full, leaves = [], Signal(beats), Signal(beats)
        waits, waited = Signal(beats), Signal(beats)
        m.d.comb += waits.eq(Mux(accumulators.o_valid, -1, waited))
        for k in range(beats):
            place = Signal(bits, name=f"leaving_{k}", reset_less=True)
            leaving.append(place)
            # A lone part must follow the one before at once; of several, the others give it a cycle.
            move = waits[k] & (~full[k] | (leaves[k] if beats == 1 else 0))
            m.d.sync += waited[k].eq(waits[k] & ~move)
            with m.If(move):
                m.d.sync += [place.eq(accumulators.o[bits * k : bits * (k + 1)]), full[k].eq(1)]
            with m.Elif(leaves[k]):
                m.d.sync += full[k].eq(0)
        m.d.comb += self.o_done.eq(leaves[-1])
        if beats == 1:
            m.d.comb += [
                self.o_valid.eq(full), self.o_sums.eq(leaving[0]), leaves.eq(full & self.i_shift),
            ]
        else:
            self._pick(m, leaving, full, leaves)
        return m

    def _pick(self, m, leaving, full, leaves):
        """One part after the other to `o_sums`: a bank that holds one part and zeros, then the OR of it."""
        turn = Signal(self.beats, init=1)
        pick, picked_valid, load = Signal(), Signal(), Signal()
        ahead = Signal(2)
        m.d.comb += [
            # All parts of a sum are there when the first is. Three parts may have been picked and not consumed yet,
            # which hides from this bank when `i_shift` comes.
            pick.eq((full[0] | ~turn[0]) & (ahead != 3)),
            leaves.eq(Mux(pick, turn, 0)),
            load.eq(~self.o_valid | self.i_shift),
        ]
        m.d.sync += ahead.eq(ahead + pick - (self.o_valid & self.i_shift))
        gated = []
        for k, place in enumerate(leaving):
            # A synchronous reset of a register costs no logic either, unlike a multiplexer.
            picked = Signal(len(place), name=f"picked_{k}", reset_less=True)
            with m.If(pick & ~turn[k]):
                m.d.sync += picked.eq(0)
            with m.Elif(pick & turn[k]):
                m.d.sync += picked.eq(place)
            gated.append(picked)
        either = gated[0]
        for picked in gated[1:]:
            either = either | picked
        out, spare = (Signal(len(self.o_sums), name=name, reset_less=True) for name in ("out", "spare"))
        spare_valid = Signal()
        m.d.comb += self.o_sums.eq(out)
        with m.If(load):
            m.d.sync += [
                out.eq(Mux(spare_valid, spare, either)), self.o_valid.eq(spare_valid | picked_valid),
                spare_valid.eq(spare_valid & picked_valid),
            ]
        with m.Else():
            m.d.sync += spare_valid.eq(spare_valid | picked_valid)
        with m.If(load | ~spare_valid):
            m.d.sync += [spare.eq(either), picked_valid.eq(0)]
        with m.If(pick):
            m.d.sync += [turn.eq(turn.rotate_left(1)), picked_valid.eq(1)]
