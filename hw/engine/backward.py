"""Backward engine: errors times weights, through the neurons, back in time."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect

from ..contract.chip import MAP_BITS, ChipConfig
from ..contract.program import Space
from ..neuron.lif_backward import LIFBackward
from .beats import Collector, Feeder
from .forward import shape_of
from .memory import ReadPort, WritePort
from .scan import EventList, Scanner, Stage
from .schedule import Item
from .walk import Walker


class BackwardEngine(wiring.Component):
    """One sample from the last layer and step to the first, in wavefront order (see `Schedule`).

    ::

        items ─> Scanner ─> Walker ─> synapses ─> lanes ─> Feeder ─> LIF backward ─> Collector
                 (non-zero d   (columns, only            (units per beat)           d of the batch,
                  of layer l+1) groups with a mask)                                 d[t+1], active groups

    Cycles: sum over items of E for each of the groups with a set mask, where E counts the non-zero
    errors of the next layer at that step, as long as the neuron units (lanes / units cycles per
    group) keep up on average; plus 3 per item and the fill of the pipeline.
    """

    def __init__(self, config: ChipConfig, *, width: int, fraction: int):
        self.config = config
        self.unit = LIFBackward(width=width, fraction=fraction)
        self._keep = config.membrane_rows > 0
        ports = {"membranes": Out(ReadPort(**shape_of(config, Space.MEMBRANES)))} if self._keep else {}
        super().__init__({
            "i": In(stream.Signature(Item)), "i_steps": In(12), "i_layers": In(8),
            "i_batch_steps": In(20), "i_offset": In(20), "i_history_log": In(3), "i_errors_per_step": In(1),
            "o_address": Out(24), "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1), "o_factor": Out(16),
            "i_sum_valid": In(1), "i_sums": In(config.units * width), "o_shift": Out(1), "i_done": In(1),
            "rows": Out(ReadPort(**shape_of(config, Space.ERRORS))),
            "errors": Out(WritePort(**shape_of(config, Space.ERRORS))),
            "spikes": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "masks": Out(ReadPort(**shape_of(config, Space.MASKS))),
            "parameters": Out(ReadPort(**shape_of(config, Space.PARAMETERS))),
            "error_inputs": Out(ReadPort(**shape_of(config, Space.ERROR_INPUTS))),
            "active_read": Out(ReadPort(**shape_of(config, Space.ACTIVE))),
            "active": Out(WritePort(**shape_of(config, Space.ACTIVE))),
            **ports,
            "o_final": Out(1), "o_overflow": Out(1), "o_visit": Out(1), "o_saved": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        config, units, lanes = self.config, self.config.units, self.config.lanes
        m.submodules.scanner = scanner = Scanner(
            lanes=lanes, events=config.events, depth=config.error_rows, errors=True)
        m.submodules.list = events = EventList(depth=scanner.events, width=scanner.event_bits)
        m.submodules.walker = walker = Walker(
            lanes=lanes, events=config.events, backward=True,
            spike_rows=config.spike_rows, mask_rows=config.mask_rows)
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
        connect(m, scanner.rows, wiring.flipped(self.rows))
        connect(m, walker.spikes, wiring.flipped(self.spikes))
        connect(m, walker.masks, wiring.flipped(self.masks))
        m.d.comb += [
            scanner.i_layers.eq(self.i_layers), scanner.i_steps.eq(self.i_batch_steps),
            scanner.i_offset.eq(self.i_offset),
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
            self.o_final.eq(collector.o_final),
        ]

        layer = feeder.o_item.layer
        error_address = Signal(24)
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
        if self._keep:
            membrane_address = Signal(24)
            m.d.comb += self.membranes.address.eq(membrane_address)
            with m.If(feeder.o_begin):
                m.d.sync += membrane_address.eq(feeder.o_next.layer.membranes + step)
            with m.Elif(feeder.o_issue):
                m.d.sync += membrane_address.eq(membrane_address + self.i_steps)

        issued, item, sums = Signal(), Signal(Item), Signal(len(self.i_sums), reset_less=True)
        has_sum, spikes, masks = Signal(), Signal(units), Signal(units)
        m.d.sync += [
            issued.eq(feeder.o_issue), item.eq(feeder.o_item), sums.eq(self.i_sums), has_sum.eq(feeder.o_token.sum),
            spikes.eq(feeder.o_token.spikes.word_select(feeder.o_beat, units)),
            masks.eq(feeder.o_token.masks.word_select(feeder.o_beat, units)),
        ]
        neurons = []
        for k in range(units):
            m.submodules[f"unit_{k}"] = unit = self.unit.create()
            neurons.append(unit)
            m.d.comb += [
                unit.i_valid.eq(issued), unit.i_start.eq(item.start),
                unit.i_sum.eq(sums.word_select(k, self.unit.width).as_signed()), unit.i_has_sum.eq(has_sum),
                unit.i_error.eq(self.error_inputs.data.word_select(k, 16)), unit.i_use_error.eq(item.last),
                unit.i_next.eq(state_r.data.word_select(k, 16)),
                unit.i_membrane.eq(self.membranes.data.word_select(k, 16) if self._keep else 0),
                unit.i_spike.eq(spikes[k]), unit.i_mask.eq(masks[k]),
                unit.i_decay.eq(self.parameters.data.word_select(2 * k, 16)),
                unit.i_threshold.eq(self.parameters.data.word_select(2 * k + 1, 16)),
                unit.i_height_log.eq(item.layer.height_log),
                unit.i_spiking.eq(item.layer.spiking), unit.i_soft.eq(item.layer.soft),
                unit.i_detach.eq(item.layer.detach),
            ]

        done, index = collector.o_item, collector.o_index
        beat, layer = neurons[0].o_valid, collector.o_item.layer
        real = [index * units + k < layer.outputs for k in range(units)]
        errors = Cat(Mux(real[k], neurons[k].o_error, 0) for k in range(units))
        batch_step = Signal(20)
        row_at, row = Signal(24), Signal(24)
        some, any_error = Signal(), Signal()
        m.d.comb += [
            collector.i_beat.eq(beat), feeder.i_collected.eq(beat),
            self.o_overflow.eq(beat & Cat(unit.o_overflow & real[k] for k, unit in enumerate(neurons)).any()),
            state_w.addr.eq(layer.state + index), state_w.en.eq(beat), state_w.data.eq(errors),
            batch_step.eq(self.i_offset + done.step),
            row.eq(Mux(index < collector.beats, layer.errors + batch_step, row_at)),
            self.errors.address.eq(row), self.errors.data.eq(errors.replicate(collector.beats)),
            any_error.eq((errors != 0) | (some & (collector.o_beat != 0))),
        ]
        with m.If(beat):
            m.d.comb += self.errors.enable.eq(((1 << units) - 1) << (collector.o_beat * units))
            m.d.sync += some.eq(any_error)
            with m.If(collector.o_group_end):
                m.d.sync += row_at.eq(row + self.i_batch_steps)

        # A group with a non-zero error sets its bit at this step of the batch, for the gradient to find.
        word_bits = (MAP_BITS - 1).bit_length()
        active_at, active_row = Signal(24), Signal(24)
        marking, mark_row, mark = Signal(), Signal(24), Signal(MAP_BITS)
        m.d.comb += [
            active_row.eq(Mux(index < collector.beats, layer.active + (batch_step >> word_bits), active_at)),
            self.active_read.address.eq(active_row),
            self.active.address.eq(mark_row), self.active.enable.eq(Mux(marking, -1, 0)),
            self.active.data.eq(self.active_read.data | mark),
        ]
        m.d.sync += [
            marking.eq(beat & collector.o_group_end & any_error), mark_row.eq(active_row),
            mark.eq(1 << batch_step[:word_bits]),
        ]
        with m.If(beat & collector.o_group_end):
            m.d.sync += active_at.eq(active_row + (1 << self.i_history_log))
        return m
