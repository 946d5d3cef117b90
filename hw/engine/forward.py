"""Forward engine: spikes times weights into membranes, spikes and surrogate masks."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect

from ..contract.chip import ChipConfig
from ..contract.program import Space
from ..contract.rows import Kind
from ..neuron.alignment import added, placed_word
from ..neuron.lif import LIFForward
from ..neuron.pipeline import Timed, Timeline, delay
from .beats import Collector, Feeder
from .borrow import lend, lent_ports
from .memory import ReadPort, WritePort, shape_of
from .outbox import row_layout
from .scan import EventList, Scanner, Stage
from .schedule import LAYER_BITS, STEP_BITS, Item
from .table import LayerWrite, Widths, attach
from .walk import Walker

SPIKE_LOG = 24  # 1.0 in units of 2^-24: what a spike adds to a readout that counts spikes

Flags = data.StructLayout({"start": 1, "end": 1, "spiking": 1, "soft": 1, "strict": 1})


class ForwardEngine(wiring.Component):
    """One sample through all layers and steps, in wavefront order (see `Schedule`).

    ::

        items ─> Scanner ─> Walker ─> synapses ─> lanes ─> Feeder ─> LIF units ─> Collector
                 (list of     (one visit                   (units per beat)      state, spikes, masks,
                  spikes)      per cycle)                                        membranes, readouts

    Cycles: sum over items of G * E, where E counts the spikes of a step and the bias and G groups of
    outputs, as long as E >= lanes / units; plus 2 per item and the fill of the pipeline.

    Where the chip trains, the neuron units lend arithmetic to the optimiser while `i_lent` (`borrow.py`).
    """

    def __init__(self, config: ChipConfig, *, width: int, fraction: int):
        self.config, self.widths = config, Widths(config)
        self.unit = LIFForward(width=width, fraction=fraction, lends=config.training)
        self._keep = config.training and config.membrane_rows > 0
        ports = {}
        if config.training:
            ports["masks"] = Out(WritePort(**shape_of(config, Space.MASKS)))
        if self._keep:
            ports["membranes"] = Out(WritePort(**shape_of(config, Space.MEMBRANES)))
        super().__init__({
            "i": In(stream.Signature(Item)), "layers": In(LayerWrite()),
            "i_steps": In(STEP_BITS), "i_layers": In(LAYER_BITS),
            "o_address": Out(self.widths.synapse), "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1),
            "i_sum_valid": In(1), "i_sums": In(config.units * width), "o_shift": Out(1), "i_done": In(1),
            "spikes_in": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "spikes_out": Out(WritePort(**shape_of(config, Space.SPIKES))),
            "parameters": Out(ReadPort(**shape_of(config, Space.PARAMETERS))),
            "readout": Out(ReadPort(**shape_of(config, Space.READOUTS))),
            "readouts": Out(WritePort(**shape_of(config, Space.READOUTS))),
            **ports,
            **({"o_row": Out(data.StructLayout({"valid": 1, "p": row_layout(config, Kind.SPIKES)}))}
               if config.nodes > 1 else {}),
            **lent_ports(self.unit, units=config.units),
            "o_final": Out(1), "o_overflow": Out(1), "o_visit": Out(1), "o_saved": Out(self.widths.neuron + 1),
        })

    def elaborate(self, platform):
        m = Module()
        config, units = self.config, self.config.units
        m.submodules.scanner = scanner = Scanner(config, errors=False)
        m.submodules.list = events = EventList(depth=scanner.events, width=scanner.event.size)
        m.submodules.walker = walker = Walker(config, backward=False)
        m.submodules.feeder = feeder = Feeder(
            config, "state", "parameters", "per_neuron", "half_width_log", "spiking", "soft", "strict")
        kept = (("masks",) if config.training else ()) + (("membranes", "keep_membrane") if self._keep else ())
        kept += ("spike_targets", "spike_address") if config.nodes > 1 else ()
        m.submodules.collector = collector = Collector(config, "state", "outputs", "spikes_out", "spiking", *kept)
        m.submodules.state = state = Memory(shape=16 * units, depth=max(config.neurons, 2), init=[])
        state_r, state_w = state.read_port(), state.write_port()
        for name, machine in (("scanner", scanner), ("feeder", feeder), ("collector", collector)):
            attach(m, self, machine, name)

        connect(m, wiring.flipped(self.i), scanner.i)
        connect(m, wiring.flipped(self.layers), walker.layers)
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

        # A beat reads its state and constants in the cycle it is issued; a block RAM is slow, so they rest for one
        # cycle in registers before they enter the units.
        layer = feeder.o_fields
        m.d.comb += [
            state_r.addr.eq(layer.state + feeder.o_index),
            self.parameters.address.eq(layer.parameters + Mux(layer.per_neuron, feeder.o_index, 0)),
        ]
        flags = Signal(Flags)
        m.d.comb += [
            flags.start.eq(feeder.o_item.start), flags.end.eq(feeder.o_item.end), flags.spiking.eq(layer.spiking),
            flags.soft.eq(layer.soft), flags.strict.eq(layer.strict),
        ]
        issued = delay(m, feeder.o_issue, 2, name="issued", reset_less=False)
        entering = Signal(Flags)
        m.d.comb += entering.eq(delay(m, flags.as_value(), 2, name="flags"))
        half_width_log = delay(m, layer.half_width_log, 2, name="half_width_log")
        sums = delay(m, delay(m, Mux(feeder.o_token.sum, self.i_sums, 0), 1, name="sums"), 1, name="sums")
        leaks, constants = delay(m, state_r.data, 1, name="leaks"), self.parameters.data
        lifs = []
        for k in range(units):
            m.submodules[f"unit_{k}"] = lif = self.unit.create()
            lifs.append(lif)
            lend(m, self, lif, k)
            m.d.comb += [
                lif.i_valid.eq(issued), lif.i_start.eq(entering.start), lif.i_last.eq(entering.end),
                lif.i_sum.eq(sums.word_select(k, self.unit.width).as_signed()),
                lif.i_leak.eq(leaks.word_select(k, 16)),
                lif.i_decay.eq(constants.word_select(2 * k, 16)),
                lif.i_threshold.eq(constants.word_select(2 * k + 1, 16)),
                lif.i_half_width_log.eq(half_width_log),
                lif.i_spiking.eq(entering.spiking), lif.i_soft.eq(entering.soft), lif.i_strict.eq(entering.strict),
            ]
        self._collect(m, collector, lifs, state_w)
        m.d.comb += [
            feeder.i_collected.eq(lifs[0].o_valid),
            collector.i_last.eq(delay(m, feeder.o_last, 2 + self.unit.latency, name="last")),
        ]
        return m

    def _collect(self, m, collector, lifs, state_w):
        """Writes what finished beats leave behind; every write but the state's is registered once."""
        config, units, lanes = self.config, self.config.units, self.config.lanes
        done, beat = collector.o_item, lifs[0].o_valid
        index, layer = collector.o_index, collector.layer.fields
        real = Cat(index * units + k < layer.outputs for k in range(units))
        spike_bits = Cat(lif.o_spike for lif in lifs) & real
        mask_bits = Cat(lif.o_mask for lif in lifs) & real
        membranes = Cat(lif.o_membrane for lif in lifs)
        first_group = index < collector.beats
        m.d.sync += self.o_overflow.eq(beat & (Cat(lif.o_overflow for lif in lifs) & real).any())
        m.d.comb += [
            collector.i_beat.eq(beat), state_w.addr.eq(layer.state + index), state_w.en.eq(beat),
            state_w.data.eq(Cat(lif.o_leak for lif in lifs)),
        ]

        def per_group(bits, name, base, port):
            """Gathers the beats of a group to one row at (group, step)."""
            gathered = Signal(lanes, name=f"{name}_gathered")
            word = Cat(gathered, bits)[units:]
            at = Signal.like(port.address, name=f"{name}_at")
            address = Signal.like(port.address, name=f"{name}_address")
            m.d.comb += address.eq(Mux(first_group, base + done.step, at))
            m.d.sync += [
                port.address.eq(address), port.data.eq(word), port.enable.eq(Mux(beat & collector.o_group_end, -1, 0))]
            with m.If(beat):
                m.d.sync += gathered.eq(word)
                with m.If(collector.o_group_end):
                    m.d.sync += at.eq(address + self.i_steps)

        per_group(spike_bits, "spikes", layer.spikes_out, self.spikes_out)
        if config.training:
            per_group(mask_bits, "masks", layer.masks, self.masks)
        if config.nodes > 1:
            # To the cores that hold the next layer: the row as it is written here, at their address of it.
            sent = WritePort(**shape_of(config, Space.SPIKES)).create(path=("sent",))
            per_group(spike_bits, "sent", layer.spike_address, sent)
            m.d.sync += [self.o_row.p.layer.eq(done.layer + 1), self.o_row.p.step.eq(done.step),
                         self.o_row.p.targets.eq(layer.spike_targets)]
            m.d.comb += [self.o_row.valid.eq(sent.enable.any()), self.o_row.p.address.eq(sent.address),
                         self.o_row.p.row.eq(sent.data)]
        if self._keep:
            at, address = Signal.like(self.membranes.address), Signal.like(self.membranes.address)
            m.d.comb += address.eq(Mux(collector.o_fresh, layer.membranes + done.step, at))
            m.d.sync += [
                self.membranes.address.eq(address), self.membranes.data.eq(membranes),
                self.membranes.enable.eq(Mux(beat & layer.keep_membrane, -1, 0)),
            ]
            with m.If(beat):
                m.d.sync += at.eq(address + self.i_steps)

        # Readouts: an exact sum over steps, read in the beat's cycle, added two cycles later, written in the next.
        # The same beat of the next step comes later than that: its state is not there before.
        m.d.comb += self.readout.address.eq(index)
        line = Timeline(m)
        before = self.readout.data
        adding = delay(m, Cat(beat & done.last, done.start, layer.spiking, spike_bits), 2, name="adding",
                       reset_less=False)
        at = delay(m, index, 2, name="readout_at")
        totals = []
        for k in range(units):
            membrane = Timed(membranes.word_select(k, 16), 0)
            negative = Timed(membrane.value[15], 0)
            term = line.at(placed_word(line, m, membrane, negative=negative, name=f"readout_{k}"), 2)
            minus = line.at(negative, 2) & ~adding[2]
            held = Mux(adding[1], 0, before.word_select(k, 64)[:config.sum_bits])
            totals.append(added(held, Mux(adding[2], adding[3 + k] << SPIKE_LOG, term), negative=minus,
                                bits=config.sum_bits))
        m.d.sync += [
            self.readouts.address.eq(at), self.readouts.enable.eq(Mux(adding[0], -1, 0)),
            self.readouts.data.eq(Cat(Cat(total, total[-1].replicate(64 - config.sum_bits)) for total in totals)),
        ]
