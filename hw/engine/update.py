"""Update: exact gradient sums through the optimiser into the synapse memory."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from ..neuron.pipeline import delay, port_of
from .gradient import update_layout
from .memory import SynapseMemory
from .optimiser import MomentumDescent
from .schedule import Item
from .table import LayerPort, Widths, layer_view


class UpdateEngine(wiring.Component):
    """Reads weight, remainder and momentum rows, updates `units` synapses per cycle, writes them back.

    ::

        i (group) ─> read W, R, M ─> wait for the sum ─> lanes/units beats ─> optimiser ─> write W, R, M

    A group's rows are read while the one before it is fed and the lanes sum the next one, so a group takes
    max(`reading`, lanes / units + `pause`) cycles. Without momentum no momentum row is written and what is read of
    one is not used, so none need exist. Rows are written as `SynapseMemory` takes them, bank by bank; `o_new` says of a
    row that it is one of weights. With `lends` the first unit lends what it can while `o_idle` (`MomentumDescentUnit`).
    With `borrows` unit k has most of its arithmetic through ports with its number, which must work for it until
    `o_idle` (`borrow.py`).
    """

    fields = ("weights", "remainders", "momenta")
    waiting = 4     # groups that may wait, and one
    reading = 6 + SynapseMemory.latency
    pause = 2
    entry = 1
    """Cycles from a beat's sum to its entering the unit."""

    def __init__(self, config: ChipConfig, *, width: int, fraction: int, lends: bool = False, borrows: bool = False):
        self.config = config
        self.unit = MomentumDescent(width=width, fraction=fraction, borrows=borrows)
        self._first = MomentumDescent(width=width, fraction=fraction, lends=lends, borrows=borrows)
        self._layout = update_layout(config)
        row, address = 16 * config.lanes, Widths(config).synapse
        super().__init__({
            **self._first.lent_ports,
            **{f"{name}_{k}": In(port_of(unit)) for name, (_, unit) in self.unit.borrowed.items()
               for k in range(config.units)},
            "i": In(stream.Signature(self._layout)), "i_item": In(Item),
            "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "i_sum_valid": In(1), "i_sums": In(config.units * width), "o_shift": Out(1),
            "r_address": Out(address), "r_data": In(row),
            "o_new": Out(1), "w_enable": Out(1), "w_address": Out(address), "w_data": Out(row),
            "i_rate": In(16), "i_momentum": In(16), "i_inverse_batch": In(16),
            "i_gradient_log": In(7), "i_step_log": In(7), "i_use_momentum": In(1),
            "o_idle": Out(1), "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, units, row = self.config, self.config.units, 16 * self.config.lanes
        beats, layer = config.beats, self.layer.fields
        m.submodules.tokens = tokens = SyncFIFO(width=self._layout.size, depth=2 * self.waiting)
        m.submodules.places = places = SyncFIFO(width=len(self.r_address), depth=16)
        m.d.comb += [
            tokens.w_data.eq(self.i.p), tokens.w_en.eq(self.i.valid & self.i.ready),
            self.layer.index.eq(self.i_item.layer),
        ]

        # From a register, since much hangs on it in whatever makes groups: one more may have come meanwhile.
        m.d.sync += self.i.ready.eq(tokens.level < self.waiting)

        # Rows of the next group come in while those of this one are fed.
        token, coming = Signal(self._layout), [Signal(row, name=f"{name}_coming") for name in "WRM"]
        address = Signal.like(self.r_address)
        reading, take, there = Signal(3), Signal(), Signal()
        m.d.sync += self.r_address.eq(address)
        arriving = delay(m, reading, 1 + SynapseMemory.latency, name="arriving", reset_less=False)
        for k, words in enumerate(coming):
            with m.If(arriving[k]):
                m.d.sync += words.eq(self.r_data)
        with m.If(arriving[2]):
            m.d.sync += there.eq(1)
        fetching = Signal()
        m.d.comb += fetching.eq(1)
        with m.FSM(name="fetch"):
            with m.State("Idle"):
                m.d.comb += fetching.eq(tokens.r_rdy)
                m.d.sync += token.eq(tokens.r_data)
                with m.If(tokens.r_rdy & places.w_rdy):
                    m.d.comb += tokens.r_en.eq(1)
                    m.next = "Weights"
            for k, (state, following) in enumerate((("Weights", "Remainders"), ("Remainders", "Momenta"),
                                                    ("Momenta", "Arrive"))):
                with m.State(state):
                    m.d.comb += [address.eq(layer[self.fields[k]] + token.offset), reading.eq(1 << k)]
                    m.next = following
            with m.State("Arrive"):
                with m.If(there & take):
                    m.d.comb += [places.w_en.eq(1), places.w_data.eq(token.offset)]
                    m.d.sync += there.eq(0)
                    m.next = "Idle"

        rows = [Signal(row, name=f"{name}_row") for name in "WRM"]
        beat, feed, summed = Signal(range(max(beats, 2))), Signal(), Signal()
        with m.FSM(name="feed"):
            with m.State("Idle"):
                m.d.comb += take.eq(1)
                m.d.sync += [*(held.eq(words) for held, words in zip(rows, coming, strict=True)),
                             summed.eq(token.sum), beat.eq(0)]
                with m.If(there):
                    m.next = "Feed"
            with m.State("Feed"):
                m.d.comb += [feed.eq(self.i_sum_valid | ~summed), self.o_shift.eq(feed & summed)]
                with m.If(feed):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == beats - 1):
                        m.next = "Rest"
            with m.State("Rest"):
                # The third row of results leaves three cycles after the last of them was gathered.
                m.next = "Idle"

        sums = Signal(len(self.i_sums))
        m.d.comb += sums.eq(self.i_sums)
        with m.If(~summed):
            m.d.comb += sums.eq(0)
        optimisers = []
        # A beat's words are chosen out of wide rows, and rest on their way into the unit.
        sums = delay(m, sums, self.entry, name="sums")
        weights, remainders, momenta = (delay(m, held.word_select(beat, 16 * units), self.entry, name=f"{name}_beat")
                                        for held, name in zip(rows, "WRM", strict=True))
        for k in range(units):
            m.submodules[f"unit_{k}"] = unit = (self.unit if k else self._first).create()
            optimisers.append(unit)
            m.d.comb += [
                unit.i_valid.eq(delay(m, feed, self.entry, name="fed", reset_less=False)),
                unit.i_sum.eq(sums.word_select(k, self.unit.width).as_signed()),
                unit.i_weight.eq(weights.word_select(k, 16)), unit.i_remainder.eq(remainders.word_select(k, 16)),
                unit.i_momentum.eq(momenta.word_select(k, 16)),
                unit.i_momentum_factor.eq(self.i_momentum), unit.i_inverse_batch.eq(self.i_inverse_batch),
                unit.i_rate.eq(self.i_rate), unit.i_gradient_log.eq(self.i_gradient_log),
                unit.i_step_log.eq(self.i_step_log), unit.i_use_momentum.eq(self.i_use_momentum),
            ]
            for name in self.unit.borrowed:
                wiring.connect(m, getattr(unit, name), wiring.flipped(getattr(self, f"{name}_{k}")))
        for name in self._first.lent_ports:
            inner, outer = getattr(optimisers[0], name), getattr(self, name)
            m.d.comb += outer.eq(inner) if name.startswith("o_") else inner.eq(outer)
        self._write(m, optimisers, places, fetching=fetching | there | feed)
        return m

    def _write(self, m, optimisers, places, *, fetching):
        """Gathers results in their banks, then writes three rows, done before the next group's first result."""
        config, row = self.config, 16 * self.config.lanes
        beats, bits, unit_bits = config.beats, (config.lanes - 1).bit_length(), (config.units - 1).bit_length()
        layer, done = self.layer.fields, optimisers[0].o_valid
        done_beat = Signal(range(max(beats, 2)))
        low = Signal(bits)                # of a group that leaves; its first result comes much later, or three cycles
        m.d.sync += low.eq(places.r_data[:bits])
        rows = []
        for name in ("weight", "remainder", "momentum"):
            words = Cat(getattr(unit, f"o_{name}") for unit in optimisers)
            gathered = Signal(row, name=f"{name}_gathered")
            for bank in range(config.lanes):
                lane = (Const(bank, bits) - low)[:bits] if bits else Const(0, 1)
                mine = (lane[unit_bits:] == done_beat) if beats > 1 else 1
                with m.If(done & mine):
                    m.d.sync += gathered.word_select(bank, 16).eq(
                        words.word_select(lane[:unit_bits], 16) if unit_bits else words)
            rows.append(gathered)
        left, place = Signal(2), Signal(len(self.w_address))
        m.d.sync += self.o_overflow.eq(done & Cat(unit.o_overflow for unit in optimisers).any())
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(done):
            m.d.sync += done_beat.eq(done_beat + 1)
            with m.If(done_beat == beats - 1):
                m.d.comb += places.r_en.eq(1)
                m.d.sync += [done_beat.eq(0), place.eq(places.r_data), left.eq(3)]
        # Momenta out of their turn rest as zeros, and so do the others, so that the row to be written is the OR of two.
        base = Signal.like(place, name="base")
        with m.Switch(left):
            for turn, name in zip((3, 2, 1), self.fields, strict=True):
                with m.Case(turn):
                    m.d.comb += base.eq(layer[name])
        first, last = Signal(row, reset_less=True), Signal(row, reset_less=True)
        m.d.sync += [first.eq(Mux(left[1], Mux(left[0], rows[0], rows[1]), 0)), last.eq(Mux(left == 1, rows[2], 0))]
        writing = Signal()
        m.d.sync += [
            writing.eq(left != 0), self.o_new.eq(left == 3), self.w_address.eq(base + place),
            self.w_enable.eq(left[1] | (left[0] & self.i_use_momentum)),
        ]
        m.d.comb += [
            self.w_data.eq(first | last),
            self.o_idle.eq(~fetching & ~places.r_rdy & (left == 0) & ~writing),
        ]
