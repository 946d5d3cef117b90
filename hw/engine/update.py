"""Update: exact gradient sums through the optimiser into the synapse memory."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from .gradient import UpdateToken
from .memory import SynapseMemory
from .optimiser import MomentumDescent
from .schedule import Item


class UpdateEngine(wiring.Component):
    """Reads weight, remainder and momentum rows, updates `units` synapses per cycle, writes them back.

    ::

        i (group) ─> read W, R, M ─> wait for the sum ─> lanes/units beats ─> optimiser ─> write W, R, M

    A group takes 3 + SynapseMemory.latency + lanes / units cycles, while the lanes sum the next one.
    Without momentum no momentum row is written and what is read of one is not used, so none need exist.
    """

    def __init__(self, config: ChipConfig, *, width: int, fraction: int):
        self.config = config
        self.unit = MomentumDescent(width=width, fraction=fraction)
        row = 16 * config.lanes
        super().__init__({
            "i": In(stream.Signature(UpdateToken)), "i_item": In(Item),
            "i_sum_valid": In(1), "i_sums": In(config.units * width), "o_shift": Out(1),
            "r_address": Out(24), "r_data": In(row),
            "w_enable": Out(1), "w_address": Out(24), "w_data": Out(row),
            "i_rate": In(16), "i_momentum": In(16), "i_inverse_batch": In(16),
            "i_gradient_log": In(7), "i_step_log": In(7), "i_use_momentum": In(1),
            "o_idle": Out(1), "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, units = self.config, self.config.units
        beats, row = config.beats, 16 * config.lanes
        layer = self.i_item.layer
        m.submodules.tokens = tokens = SyncFIFO(width=UpdateToken.size, depth=4)
        m.submodules.places = places = SyncFIFO(width=24, depth=8)
        m.d.comb += [tokens.w_data.eq(self.i.p), tokens.w_en.eq(self.i.valid), self.i.ready.eq(tokens.w_rdy)]
        token, offered = Signal(UpdateToken), Signal(UpdateToken)
        m.d.comb += offered.eq(tokens.r_data)
        weights, remainders, momenta = Signal(row), Signal(row), Signal(row)
        beat, feed, waiting = Signal(range(max(beats, 2))), Signal(), Signal(range(SynapseMemory.latency + 1))
        sums = Signal(len(self.i_sums))
        m.d.comb += sums.eq(self.i_sums)
        with m.If(~token.sum):
            m.d.comb += sums.eq(0)

        # What arrives `latency` cycles after a read belongs to the row named in that cycle.
        reading = Signal(3)
        arriving = reading
        for stage in range(SynapseMemory.latency):
            delayed = Signal(3, name=f"arriving_{stage}")
            m.d.sync += delayed.eq(arriving)
            arriving = delayed
        for k, rows in enumerate((weights, remainders, momenta)):
            with m.If(arriving[k]):
                m.d.sync += rows.eq(self.r_data)

        idle = Signal()
        with m.FSM():
            with m.State("Weights"):
                m.d.comb += [
                    self.r_address.eq(layer.weights + offered.offset),
                    idle.eq(~tokens.r_rdy),
                ]
                m.d.sync += token.eq(tokens.r_data)
                with m.If(tokens.r_rdy & places.w_rdy):
                    m.d.comb += [reading.eq(0b001), tokens.r_en.eq(1)]
                    m.next = "Remainders"
            with m.State("Remainders"):
                m.d.comb += [self.r_address.eq(layer.remainders + token.offset), reading.eq(0b010)]
                m.next = "Momenta"
            with m.State("Momenta"):
                m.d.comb += [self.r_address.eq(layer.momenta + token.offset), reading.eq(0b100)]
                m.d.sync += waiting.eq(SynapseMemory.latency - 1)
                m.next = "Arrive"
            with m.State("Arrive"):
                m.d.sync += [waiting.eq(waiting - 1), beat.eq(0)]
                with m.If(waiting == 0):
                    m.d.comb += [places.w_en.eq(1), places.w_data.eq(token.offset)]
                    m.next = "Feed"
            with m.State("Feed"):
                m.d.comb += [feed.eq(self.i_sum_valid | ~token.sum), self.o_shift.eq(feed & token.sum)]
                with m.If(feed):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == beats - 1):
                        m.next = "Weights"

        optimisers = []
        part = 16 * units
        for k in range(units):
            m.submodules[f"unit_{k}"] = unit = self.unit.create()
            optimisers.append(unit)
            m.d.comb += [
                unit.i_valid.eq(feed), unit.i_sum.eq(sums.word_select(k, self.unit.width).as_signed()),
                unit.i_weight.eq(weights.word_select(beat, part).word_select(k, 16)),
                unit.i_remainder.eq(remainders.word_select(beat, part).word_select(k, 16)),
                unit.i_momentum.eq(momenta.word_select(beat, part).word_select(k, 16)),
                unit.i_momentum_factor.eq(self.i_momentum), unit.i_inverse_batch.eq(self.i_inverse_batch),
                unit.i_rate.eq(self.i_rate), unit.i_gradient_log.eq(self.i_gradient_log),
                unit.i_step_log.eq(self.i_step_log), unit.i_use_momentum.eq(self.i_use_momentum),
            ]

        done = optimisers[0].o_valid
        done_beat = Signal(range(max(beats, 2)))
        rows = []
        for name in ("weight", "remainder", "momentum"):
            gathered = Signal(row, name=f"{name}_gathered")
            with m.If(done):
                m.d.sync += gathered.eq(Cat(gathered, *(getattr(unit, f"o_{name}") for unit in optimisers))[part:])
            rows.append(gathered)
        left, place = Signal(2), Signal(24)
        m.d.comb += self.o_overflow.eq(done & Cat(unit.o_overflow for unit in optimisers).any())
        with m.If(done):
            m.d.sync += done_beat.eq(done_beat + 1)
            with m.If(done_beat == beats - 1):
                m.d.comb += places.r_en.eq(1)
                m.d.sync += [done_beat.eq(0), place.eq(places.r_data)]
        written = Signal(row * 2)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(done & (done_beat == beats - 1)):
            m.d.sync += left.eq(3)
        m.d.comb += self.w_address.eq(layer.weights + place)
        with m.Switch(left):
            with m.Case(3):
                m.d.comb += [self.w_enable.eq(1), self.w_data.eq(rows[0])]
                m.d.sync += written.eq(Cat(rows[1], rows[2]))
            with m.Case(2):
                m.d.comb += [self.w_enable.eq(1), self.w_address.eq(layer.remainders + place),
                             self.w_data.eq(written[:row])]
            with m.Case(1):
                m.d.comb += [self.w_enable.eq(self.i_use_momentum), self.w_address.eq(layer.momenta + place),
                             self.w_data.eq(written[row:])]
        m.d.comb += self.o_idle.eq(idle & ~places.r_rdy & (left == 0))
        return m
