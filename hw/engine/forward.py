"""Forward engine: spikes times weights into membranes, spikes and surrogate masks."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect

from ..contract.chip import ChipConfig
from ..contract.geometry import geometry
from ..contract.program import Space
from ..neuron.lif import LIFForward
from ..numeric.binary16 import fixed
from .beats import Collector, Feeder
from .memory import ReadPort, WritePort
from .scan import EventList, Scanner, Stage
from .schedule import Item
from .walk import Walker

SPIKE = 1 << 24  # 1.0 in units of 2^-24: what a spike adds to a readout that counts spikes


def shape_of(config: ChipConfig, space: Space) -> dict[str, int]:
    """Width and depth of a memory, as its ports take them."""
    width, depth = geometry(config)[space]
    return {"width": width, "depth": depth}


class ForwardEngine(wiring.Component):
    """One sample through all layers and steps, in wavefront order (see `Schedule`).

    ::

        items ─> Scanner ─> Walker ─> synapses ─> lanes ─> Feeder ─> LIF units ─> Collector
                 (list of     (one visit                   (units per beat)      state, spikes, masks,
                  spikes)      per cycle)                                        membranes, readouts

    Cycles: sum over items of G * E, where E counts the spikes of a step and the bias and G groups of
    outputs, as long as E >= lanes / units; plus 2 per item and the fill of the pipeline.
    """

    def __init__(self, config: ChipConfig, *, width: int, fraction: int):
        self.config = config
        self.unit = LIFForward(width=width, fraction=fraction)
        self._keep = config.training and config.membrane_rows > 0
        ports = {}
        if config.training:
            ports["masks"] = Out(WritePort(**shape_of(config, Space.MASKS)))
        if self._keep:
            ports["membranes"] = Out(WritePort(**shape_of(config, Space.MEMBRANES)))
        super().__init__({
            "i": In(stream.Signature(Item)), "i_steps": In(12), "i_layers": In(8),
            "o_address": Out(24), "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1),
            "i_sum_valid": In(1), "i_sums": In(config.units * width), "o_shift": Out(1), "i_done": In(1),
            "spikes_in": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "spikes_out": Out(WritePort(**shape_of(config, Space.SPIKES))),
            "parameters": Out(ReadPort(**shape_of(config, Space.PARAMETERS))),
            "readout": Out(ReadPort(**shape_of(config, Space.READOUTS))),
            "readouts": Out(WritePort(**shape_of(config, Space.READOUTS))),
            **ports,
            "o_final": Out(1), "o_overflow": Out(1), "o_visit": Out(1), "o_saved": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        config, units, lanes = self.config, self.config.units, self.config.lanes
        m.submodules.scanner = scanner = Scanner(
            lanes=lanes, events=config.events, depth=config.spike_rows, errors=False)
        m.submodules.list = events = EventList(depth=scanner.events, width=scanner.event_bits)
        m.submodules.walker = walker = Walker(lanes=lanes, events=config.events, backward=False)
        m.submodules.feeder = feeder = Feeder(lanes=lanes, units=units)
        m.submodules.collector = collector = Collector(lanes=lanes, units=units)
        m.submodules.state = state = Memory(shape=16 * units, depth=max(config.neurons, 2), init=[])
        state_r, state_w = state.read_port(), state.write_port()

        connect(m, wiring.flipped(self.i), scanner.i)
        m.submodules.stage = stage = Stage(scanner.o.payload.shape())
        connect(m, scanner.o, stage.i)
        connect(m, stage.o, walker.i)
        connect(m, walker.o_item, feeder.i_item)
        connect(m, walker.o_token, feeder.i_token)
        connect(m, feeder.o_pass, collector.i_pass)
        connect(m, scanner.rows, wiring.flipped(self.spikes_in))
        m.d.comb += [
            scanner.i_layers.eq(self.i_layers), scanner.i_steps.eq(self.i_steps),
            scanner.i_retire.eq(collector.o_retire), scanner.i_release.eq(walker.o_release),
            events.w_enable.eq(scanner.w_enable), events.w_buffer.eq(scanner.w_buffer),
            events.w_index.eq(scanner.w_index), events.w_event.eq(scanner.w_event),
            events.r_buffer.eq(walker.r_buffer), events.r_index.eq(walker.r_index),
            walker.r_event.eq(events.r_event), walker.i_done.eq(self.i_done),
            self.o_address.eq(walker.o_address), self.o_valid.eq(walker.o_valid),
            self.o_first.eq(walker.o_first), self.o_last.eq(walker.o_last),
            self.o_visit.eq(walker.o_visit), self.o_saved.eq(walker.o_saved),
            feeder.i_layers.eq(self.i_layers), feeder.i_retire.eq(collector.o_retire),
            feeder.i_sum_valid.eq(self.i_sum_valid), self.o_shift.eq(feeder.o_shift),
            self.o_final.eq(collector.o_final),
        ]

        # A beat reads its state and constants in the cycle it is issued, and enters the units in the next.
        layer = feeder.o_item.layer
        m.d.comb += [
            state_r.addr.eq(layer.state + feeder.o_index),
            self.parameters.address.eq(layer.parameters + Mux(layer.per_neuron, feeder.o_index, 0)),
        ]
        issued, item, sums = Signal(), Signal(Item), Signal(len(self.i_sums), reset_less=True)
        m.d.sync += [
            issued.eq(feeder.o_issue), item.eq(feeder.o_item), sums.eq(Mux(feeder.o_token.sum, self.i_sums, 0)),
        ]
        lifs = []
        for k in range(units):
            m.submodules[f"unit_{k}"] = lif = self.unit.create()
            lifs.append(lif)
            m.d.comb += [
                lif.i_valid.eq(issued), lif.i_start.eq(item.start),
                lif.i_last.eq(item.step == self.i_steps - 1),
                lif.i_sum.eq(sums.word_select(k, self.unit.width).as_signed()),
                lif.i_leak.eq(state_r.data.word_select(k, 16)),
                lif.i_decay.eq(self.parameters.data.word_select(2 * k, 16)),
                lif.i_threshold.eq(self.parameters.data.word_select(2 * k + 1, 16)),
                lif.i_half_width_log.eq(item.layer.half_width_log),
                lif.i_spiking.eq(item.layer.spiking), lif.i_soft.eq(item.layer.soft),
                lif.i_strict.eq(item.layer.strict),
            ]

        done = collector.o_item
        beat = lifs[0].o_valid
        index, layer = collector.o_index, done.layer
        real = Cat(index * units + k < layer.outputs for k in range(units))
        spike_bits = Cat(lif.o_spike for lif in lifs) & real
        mask_bits = Cat(lif.o_mask for lif in lifs) & real
        membranes = Cat(lif.o_membrane for lif in lifs)
        m.d.comb += [
            collector.i_beat.eq(beat), feeder.i_collected.eq(beat),
            self.o_overflow.eq(beat & (Cat(lif.o_overflow for lif in lifs) & real).any()),
            state_w.addr.eq(layer.state + index), state_w.en.eq(beat),
            state_w.data.eq(Cat(lif.o_leak for lif in lifs)),
        ]

        def per_group(bits, name, base, port):
            """Gathers the beats of a group to one row at (group, step)."""
            gathered = Signal(lanes, name=f"{name}_gathered")
            word = Cat(gathered, bits)[units:]
            at, address = Signal(24, name=f"{name}_at"), Signal(24, name=f"{name}_address")
            m.d.comb += [
                address.eq(Mux(index < collector.beats, base + done.step, at)),
                port.address.eq(address), port.data.eq(word), port.enable.eq(Mux(beat & collector.o_group_end, -1, 0)),
            ]
            with m.If(beat):
                m.d.sync += gathered.eq(word)
                with m.If(collector.o_group_end):
                    m.d.sync += at.eq(address + self.i_steps)

        per_group(spike_bits, "spikes", layer.spikes_out, self.spikes_out)
        if config.training:
            per_group(mask_bits, "masks", layer.masks, self.masks)
        if self._keep:
            at, address = Signal(24), Signal(24)
            m.d.comb += [
                address.eq(Mux(collector.o_fresh, layer.membranes + done.step, at)),
                self.membranes.address.eq(address), self.membranes.data.eq(membranes),
                self.membranes.enable.eq(Mux(beat & layer.keep_membrane, -1, 0)),
            ]
            with m.If(beat):
                m.d.sync += at.eq(address + self.i_steps)

        # Readouts: an exact sum over steps, read in the beat's cycle and written in the next.
        adding, adding_item, at = Signal(), Signal(Item), Signal(16)
        adding_spikes, adding_membranes = Signal(units), Signal(16 * units)
        m.d.comb += self.readout.address.eq(index)
        m.d.sync += [
            adding.eq(beat & done.last), adding_item.eq(done), at.eq(index),
            adding_spikes.eq(spike_bits), adding_membranes.eq(membranes),
        ]
        sums = []
        for k in range(units):
            term = Mux(adding_item.layer.spiking, Mux(adding_spikes[k], SPIKE, 0),
                       fixed(m, adding_membranes.word_select(k, 16)))
            before = self.readout.data.word_select(k, 64)[:config.sum_bits].as_signed()
            total = Signal(config.sum_bits, name=f"total_{k}")
            m.d.comb += total.eq(Mux(adding_item.start, 0, before) + term)
            sums.append(total.as_signed())
        m.d.comb += [
            self.readouts.address.eq(at), self.readouts.enable.eq(Mux(adding, -1, 0)),
            self.readouts.data.eq(Cat(Cat(total, total[-1].replicate(64 - config.sum_bits)) for total in sums)),
        ]
        return m
