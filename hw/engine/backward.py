"""Backward engine: errors times weights, through the neurons, back in time."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect

from ..contract.chip import MAP_BITS, ChipConfig
from ..contract.program import Space
from ..contract.rows import Kind
from ..neuron.lif_backward import LIFBackward
from ..neuron.pipeline import delay
from .beats import Collector, Feeder
from .borrow import lend, lent_ports
from .memory import ROW_LATENCY, ReadPort, WritePort, shape_of
from .outbox import row_layout
from .remote import flags_shape, words_shape
from .scan import EventList, Scanner, Stage
from .schedule import LAYER_BITS, STEP_BITS, Item
from .table import LayerWrite, Widths, attach
from .walk import Walker

Flags = data.StructLayout({"start": 1, "last": 1, "sum": 1, "spiking": 1, "soft": 1, "detach": 1})


class BackwardEngine(wiring.Component):
    """One sample from the last layer and step to the first, in wavefront order (see `Schedule`).

    ::

        items ─> Scanner ─> Walker ─> synapses ─> lanes ─> Feeder ─> LIF backward ─> Collector
                 (non-zero d   (columns, only            (units per beat)           d of the batch,
                  of layer l+1) groups with a mask)                                 d[t+1], active groups

    Cycles: sum over items of E for each of the groups with a set mask, where E counts the non-zero
    errors of the next layer at that step, and at least lanes / units, what the neuron units take for a
    group; plus 3 per item and the fill of the pipeline.

    The neuron units lend arithmetic to the optimiser while `i_lent` (`borrow.py`).
    """

    def __init__(self, config: ChipConfig, *, width: int, fraction: int):
        self.config, self.widths = config, Widths(config)
        self.unit = LIFBackward(width=width, fraction=fraction, lends=True)
        self._keep = config.membrane_rows > 0
        ports: dict = {"membranes": Out(ReadPort(**shape_of(config, Space.MEMBRANES)))} if self._keep else {}
        if not config.wide_rows:
            ports |= {"active_read": Out(ReadPort(**shape_of(config, Space.ACTIVE))),
                      "active": Out(WritePort(**shape_of(config, Space.ACTIVE)))}
        if config.nodes > 1:
            ports["words"] = Out(ReadPort(**words_shape(config)))
            ports["o_row"] = Out(data.StructLayout({"valid": 1, "p": row_layout(config, Kind.ERRORS)}))
        super().__init__({
            "i": In(stream.Signature(Item)), "layers": In(LayerWrite()),
            "i_steps": In(STEP_BITS), "i_layers": In(LAYER_BITS),
            "i_batch_steps": In(20), "i_offset": In(20), "i_history_log": In(3), "i_errors_per_step": In(1),
            "o_address": Out(self.widths.synapse), "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1),
            "o_factor": Out(16),
            "i_sum_valid": In(1), "i_sums": In(config.units * width), "o_shift": Out(1), "i_done": In(1),
            "rows": Out(ReadPort(**(shape_of(config, Space.ERRORS) if config.nodes == 1 else flags_shape(config)))),
            "errors": Out(WritePort(**shape_of(config, Space.ERRORS))),
            "spikes": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "masks": Out(ReadPort(**shape_of(config, Space.MASKS))),
            "parameters": Out(ReadPort(**shape_of(config, Space.PARAMETERS))),
            "error_inputs": Out(ReadPort(**shape_of(config, Space.ERROR_INPUTS))),
            **ports,
            **lent_ports(self.unit, units=config.units),
            "o_retire": Out(1), "o_final": Out(1), "o_overflow": Out(1), "o_visit": Out(1),
            "o_saved": Out(self.widths.neuron + 1),
        })

    def elaborate(self, platform):
        m = Module()
        config, units = self.config, self.config.units
        m.submodules.scanner = scanner = Scanner(config, errors=True)
        m.submodules.list = events = EventList(depth=scanner.events, width=scanner.event.size)
        m.submodules.walker = walker = Walker(config, backward=True)
        kept = ("membranes",) if self._keep else ()
        m.submodules.feeder = feeder = Feeder(
            config, "state", "parameters", "per_neuron", "height_log", "spiking", "soft", "detach", *kept)
        marked = () if config.wide_rows else ("active",)
        marked += ("error_targets", "error_address") if config.nodes > 1 else ()
        m.submodules.collector = collector = Collector(config, "state", "outputs", "errors", *marked)
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
        connect(m, scanner.rows, wiring.flipped(self.rows))
        if config.nodes > 1:
            connect(m, scanner.words, wiring.flipped(self.words))
        connect(m, walker.spikes, wiring.flipped(self.spikes))
        connect(m, walker.masks, wiring.flipped(self.masks))
        m.d.comb += [
            scanner.i_layers.eq(self.i_layers),
            # What comes over a mesh is kept for one sample.
            scanner.i_steps.eq(self.i_batch_steps if config.nodes == 1 else self.i_steps),
            scanner.i_offset.eq(self.i_offset if config.nodes == 1 else 0),
            scanner.i_retire.eq(collector.o_retire), scanner.i_release.eq(walker.o_release),
            events.w_enable.eq(scanner.w_enable), events.w_buffer.eq(scanner.w_buffer),
            events.w_index.eq(scanner.w_index), events.w_event.eq(scanner.w_event),
            events.r_buffer.eq(walker.r_buffer), events.r_index.eq(walker.r_index),
            walker.r_event.eq(events.r_event), walker.i_done.eq(self.i_done), walker.i_steps.eq(self.i_steps),
            self.o_address.eq(walker.o_address), self.o_valid.eq(walker.o_valid),
            self.o_first.eq(walker.o_first), self.o_last.eq(walker.o_last), self.o_factor.eq(walker.o_factor),
            self.o_visit.eq(walker.o_visit), self.o_saved.eq(walker.o_saved),
            feeder.i_layers.eq(self.i_layers), feeder.i_retire.eq(collector.o_retire),
            feeder.i_sum_valid.eq(self.i_sum_valid), self.o_shift.eq(feeder.o_shift),
            self.o_final.eq(collector.o_final), self.o_retire.eq(collector.o_retire),
        ]
        neurons = self._neurons(m, feeder, state_r)
        m.d.comb += [
            feeder.i_collected.eq(neurons[0].o_valid),
            collector.i_last.eq(delay(m, feeder.o_last, 2 + self.unit.latency, name="last")),
        ]
        self._collect(m, collector, neurons, state_w)
        return m

    def _neurons(self, m, feeder, state_r):
        """A beat reads what was kept of it as it is issued, and enters the units two cycles later (see forward)."""
        units, layer = self.config.units, feeder.o_fields
        error_address = Signal.like(self.error_inputs.address)
        m.d.comb += [
            state_r.addr.eq(layer.state + feeder.o_index),
            self.parameters.address.eq(layer.parameters + Mux(layer.per_neuron, feeder.o_index, 0)),
            self.error_inputs.address.eq(error_address),
        ]
        step = feeder.o_next.step
        with m.If(feeder.o_begin):
            m.d.sync += error_address.eq(Mux(self.i_errors_per_step, step, 0))
        with m.Elif(feeder.o_issue):
            m.d.sync += error_address.eq(error_address + Mux(self.i_errors_per_step, self.i_steps, 1))
        kept = None
        if self._keep:
            membrane_address = Signal.like(self.membranes.address)
            m.d.comb += self.membranes.address.eq(membrane_address)
            with m.If(feeder.o_begin):
                m.d.sync += membrane_address.eq(feeder.o_next_fields.membranes + step)
            with m.Elif(feeder.o_issue):
                m.d.sync += membrane_address.eq(membrane_address + self.i_steps)
            kept = self.membranes.data

        flags, entering = Signal(Flags), Signal(Flags)
        m.d.comb += [
            flags.start.eq(feeder.o_item.start), flags.last.eq(feeder.o_item.last), flags.sum.eq(feeder.o_token.sum),
            flags.spiking.eq(layer.spiking), flags.soft.eq(layer.soft), flags.detach.eq(layer.detach),
            entering.eq(delay(m, flags.as_value(), 2, name="flags")),
        ]
        issued = delay(m, feeder.o_issue, 2, name="issued", reset_less=False)
        height_log = delay(m, layer.height_log, 2, name="height_log")
        sums = delay(m, self.i_sums, 2, name="sums")
        spikes = delay(m, feeder.o_token.spikes.word_select(feeder.o_beat, units), 2, name="spikes")
        masks = delay(m, feeder.o_token.masks.word_select(feeder.o_beat, units), 2, name="masks")
        following = delay(m, state_r.data, 1, name="following")
        constants, given = self.parameters.data, self.error_inputs.data
        neurons = []
        for k in range(units):
            m.submodules[f"unit_{k}"] = unit = self.unit.create()
            neurons.append(unit)
            lend(m, self, unit, k)
            m.d.comb += [
                unit.i_valid.eq(issued), unit.i_start.eq(entering.start),
                unit.i_sum.eq(sums.word_select(k, self.unit.width).as_signed()), unit.i_has_sum.eq(entering.sum),
                unit.i_error.eq(given.word_select(k, 16)), unit.i_use_error.eq(entering.last),
                unit.i_next.eq(following.word_select(k, 16)),
                unit.i_membrane.eq(kept.word_select(k, 16) if self._keep else 0),
                unit.i_spike.eq(spikes[k]), unit.i_mask.eq(masks[k]),
                unit.i_decay.eq(constants.word_select(2 * k, 16)),
                unit.i_threshold.eq(constants.word_select(2 * k + 1, 16)),
                unit.i_height_log.eq(height_log),
                unit.i_spiking.eq(entering.spiking), unit.i_soft.eq(entering.soft),
                unit.i_detach.eq(entering.detach),
            ]
        return neurons

    def _collect(self, m, collector, neurons, state_w):
        """Errors of the batch, d[t+1], and the marks of groups with an error; registered but for the state."""
        units = self.config.units
        done, index, layer = collector.o_item, collector.o_index, collector.layer.fields
        beat, first_group = neurons[0].o_valid, collector.o_index < collector.beats
        real = [index * units + k < layer.outputs for k in range(units)]
        errors = Cat(Mux(real[k], neurons[k].o_error, 0) for k in range(units))
        # Ready as early as the descriptor: the item has been next for a cycle before its first beat.
        batch_step = Signal(20)
        row_at, row = Signal.like(self.errors.address), Signal.like(self.errors.address)
        some, any_error = Signal(), Signal()
        m.d.comb += [
            collector.i_beat.eq(beat), state_w.addr.eq(layer.state + index), state_w.en.eq(beat),
            state_w.data.eq(errors), row.eq(Mux(first_group, layer.errors + batch_step, row_at)),
            any_error.eq(Cat(real[k] & neurons[k].o_error.any() for k in range(units)).any()
                         | (some & (collector.o_beat != 0))),
        ]
        m.d.sync += [
            batch_step.eq(self.i_offset + done.step),
            self.o_overflow.eq(beat & Cat(unit.o_overflow & real[k] for k, unit in enumerate(neurons)).any()),
            self.errors.address.eq(row), self.errors.data.eq(errors.replicate(collector.beats)),
            self.errors.enable.eq(Mux(beat, ((1 << units) - 1) << (collector.o_beat * units), 0)),
        ]
        with m.If(beat):
            m.d.sync += some.eq(any_error)
            with m.If(collector.o_group_end):
                m.d.sync += row_at.eq(row + self.i_batch_steps)

        if self.config.nodes > 1:
            self._send(m, collector, beat, errors, first_group)
        if not self.config.wide_rows:
            self._mark(m, collector, beat & collector.o_group_end, any_error, batch_step)

    def _send(self, m, collector, beat, errors, first_group):
        """A row of errors, once its beats are together, to the cores that hold the layer before."""
        layer, done, units = collector.layer.fields, collector.o_item, self.config.units
        gathered, row = Signal(16 * self.config.lanes, name="sent_gathered"), self.o_row.p
        at, address = Signal.like(row.address, name="sent_at"), Signal.like(row.address, name="sent_address")
        whole = Cat(gathered, errors)[16 * units:]
        m.d.comb += address.eq(Mux(first_group, layer.error_address + done.step, at))
        m.d.sync += [
            self.o_row.valid.eq(beat & collector.o_group_end), row.address.eq(address),
            row.layer.eq(done.layer - 1), row.step.eq(done.step), row.targets.eq(layer.error_targets),
        ]
        m.d.comb += row.row.eq(gathered)
        with m.If(beat):
            m.d.sync += gathered.eq(whole)
            with m.If(collector.o_group_end):
                m.d.sync += at.eq(address + self.i_steps)

    def _mark(self, m, collector, ends, any_error, batch_step):
        """A group with a non-zero error sets its bit at this step of the batch, for the gradient to find.

        Read in the cycle after the group's end, written three cycles later.
        """
        layer, first_group = collector.layer.fields, collector.o_index < collector.beats
        word_bits = (MAP_BITS - 1).bit_length()
        active_at, active_row = Signal.like(self.active.address), Signal.like(self.active.address)
        reading = Signal.like(self.active.address)
        m.d.comb += active_row.eq(Mux(first_group, layer.active + (batch_step >> word_bits), active_at))
        with m.If(ends):
            m.d.sync += active_at.eq(active_row + (1 << self.i_history_log))
        m.d.sync += reading.eq(active_row)
        m.d.comb += self.active_read.address.eq(reading)
        marking = delay(m, ends & any_error, 1 + ROW_LATENCY, name="marking", reset_less=False)
        mark = Signal(MAP_BITS)
        m.d.sync += mark.eq(1 << delay(m, batch_step[:word_bits], ROW_LATENCY, name="mark_step"))
        m.d.sync += [
            self.active.address.eq(delay(m, reading, ROW_LATENCY, name="mark_row")),
            self.active.enable.eq(Mux(marking, -1, 0)), self.active.data.eq(self.active_read.data | mark),
        ]
