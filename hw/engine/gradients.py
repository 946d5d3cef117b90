"""The two ways to a weight gradient, as a core builds one of them: at the batch's end, or running beside the rest."""

from amaranth.hdl import Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import connect

from ..contract.chip import ChipConfig
from ..contract.program import Space
from .gradient import GradientEngine
from .harvest import Harvest
from .history import History
from .lanes import ONE, Lanes
from .running import RunningGradient
from .schedule import Item, Mode, Schedule
from .table import attach
from .update import UpdateEngine
from .wide import WideMemory


class BatchParts:
    """Spikes are kept by neuron (History), and met with the batch's errors at its end: no gradient memory.

    The rows of errors go through forward's lanes, which rest while weights are updated.

    Parameters
    ----------
    lanes : to be taken over while `turn`, which is high from a cycle after an update has begun to one after its end

    Attributes
    ----------
    items : stream of layers to update, to be driven by the core
    """

    def __init__(self, config: ChipConfig, *, lanes: Lanes, turn: Signal):
        self.config, self._lanes, self._turn = config, lanes, turn
        self.items = stream.Signature(Item).create(path=("gradient_items",))

    def connect(self, m, core, *, memories, program, sequencer, backward, bus, offset, done):
        """Adds engine, update and history to a core; gives the engine and the update."""
        config, lanes, turn = self.config, self._lanes, self._turn
        m.submodules.gradient = gradient = GradientEngine(config)
        m.submodules.update = update = UpdateEngine(
            config, width=lanes.bits, fraction=lanes.fraction, lends=True, borrows=True)
        m.submodules.history = history = History(config)
        m.submodules.history_schedule = replay = Schedule(config)
        connect(m, bus.layers_2, gradient.layers)
        for name, machine in (("gradient", gradient), ("update", update), ("history", history)):
            attach(m, bus, machine, name)
        core._slotted(m, history.spikes, memories[Space.SPIKES].r2, sequencer.o_rear_slot)
        connect(m, history.history, memories[Space.HISTORY].w)
        connect(m, replay.o, history.i)
        if config.nodes > 1:     # backward reads what comes over the mesh, and the update waits for it, too
            connect(m, gradient.errors, memories[Space.ERRORS].r0)
            m.d.comb += replay.i_present.eq(program.present)
        else:
            connect(m, gradient.o_token, update.i)
            m.d.comb += sequencer.i_update_done.eq(gradient.o_final)
        pairs = ((backward.rows, gradient.errors, Space.ERRORS),) if config.nodes == 1 else ()
        # A cycle late: no memory is read as soon as that, and the way to the memories is long.
        for first, second, space in (*pairs,
                                     (backward.active_read, gradient.active, Space.ACTIVE),
                                     (history.read, gradient.history, Space.HISTORY)):
            memory = memories[space].r0
            m.d.comb += [memory.address.eq(Mux(turn, second.address, first.address)),
                         first.data.eq(memory.data), second.data.eq(memory.data)]
        self._write_active(m, memories[Space.ACTIVE].w, backward, history)
        m.d.comb += [
            gradient.i.payload.eq(self.items.payload), gradient.i.valid.eq(self.items.valid),
            self.items.ready.eq(gradient.i.ready),
            gradient.i_used_words.eq(program.used_words), gradient.i_used_steps.eq(program.used_steps),
            gradient.i_history_log.eq(program.history_log), gradient.i_batch_steps.eq(program.batch_steps),
            gradient.i_update_idle.eq(update.o_idle), gradient.i_done.eq(lanes.o_done & turn),
            update.i_item.eq(gradient.o_item), update.i_sums.eq(lanes.o_sums),
            update.i_sum_valid.eq(lanes.o_valid & turn),
            history.i_steps.eq(program.steps), history.i_offset.eq(offset),
            history.i_history_log.eq(program.history_log), history.i_clear.eq(sequencer.o_clear),
            sequencer.i_clearing.eq(history.o_clearing),
            replay.i_steps.eq(program.steps), replay.i_layers.eq(program.layers), replay.i_mode.eq(Mode.FORWARD),
            replay.i_start.eq(sequencer.o_backward_start), done.eq(replay.o_idle & history.o_idle),
        ]
        core.steer(m, lanes, gradient, gradient.o_words, turn, shift=update.o_shift)
        if lanes.products:
            with m.If(turn):
                m.d.comb += lanes.i_factor.eq(ONE)
        return gradient, update

    @staticmethod
    def _write_active(m, port, backward, history):
        source = backward.active
        m.d.comb += [port.address.eq(source.address), port.data.eq(source.data), port.enable.eq(source.enable)]
        with m.If(history.o_clearing):
            source = history.active
            m.d.comb += [port.address.eq(source.address), port.data.eq(source.data), port.enable.eq(source.enable)]


class RunningParts:
    """An exact sum per synapse, to which errors are added as backward finishes them; the update harvests the sums.

    Attributes
    ----------
    items : stream of layers to update, to be driven by the core
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.items = stream.Signature(Item).create(path=("gradient_items",))

    def connect(self, m, core, *, memories, program, sequencer, backward, bus, offset, done):
        """Adds engine, wide memory, harvest and update to a core; gives the engine and the update."""
        config, rows = self.config, self.config.wide_rows
        m.submodules.gradient = gradient = RunningGradient(config, rows=rows)
        m.submodules.wide = wide = WideMemory(lanes=config.lanes, depth=rows, width=config.sum_bits)
        m.submodules.harvest = harvest = Harvest(config, rows=rows)
        m.submodules.update = update = UpdateEngine(
            config, width=config.sum_bits, fraction=24, lends=True, borrows=True)
        m.submodules.gradient_schedule = schedule = Schedule(config)
        connect(m, bus.layers_2, gradient.layers)
        for name, machine in (("harvest", harvest), ("update", update)):
            attach(m, bus, machine, name)
        core._slotted(m, gradient.spikes, memories[Space.SPIKES].r2, sequencer.o_rear_slot)
        connect(m, schedule.o, gradient.i)
        connect(m, gradient.o, wide.i)
        connect(m, harvest.o_token, update.i)
        errors, finished = memories[Space.ERRORS], Signal()
        m.d.comb += [
            errors.r0.address.eq(backward.rows.address), backward.rows.data.eq(errors.r0.data),
            errors.r1.address.eq(gradient.errors.address), gradient.errors.data.eq(errors.r1.data),
            schedule.i_steps.eq(program.steps), schedule.i_layers.eq(program.layers),
            schedule.i_mode.eq(Mode.BACKWARD), schedule.i_start.eq(sequencer.o_backward_start),
            gradient.i_retire.eq(backward.o_retire), gradient.i_steps.eq(program.steps),
            gradient.i_batch_steps.eq(program.batch_steps), gradient.i_offset.eq(offset),
            harvest.i.payload.eq(self.items.payload), harvest.i.valid.eq(self.items.valid),
            self.items.ready.eq(harvest.i.ready), harvest.i_row.eq(wide.o_row),
            harvest.i_update_idle.eq(update.o_idle), harvest.i_shift.eq(update.o_shift),
            wide.i_take.eq(harvest.o_take), wide.i_take_address.eq(harvest.o_take_address),
            wide.i_clean.eq(harvest.o_final), wide.i_clear.eq(sequencer.o_clear),
            sequencer.i_clearing.eq(wide.o_clearing), sequencer.i_update_done.eq(harvest.o_final),
            update.i_item.eq(harvest.o_item), update.i_sums.eq(harvest.o_sums),
            update.i_sum_valid.eq(harvest.o_sum_valid), done.eq(finished),
        ]
        with m.If(sequencer.o_backward_start):
            m.d.sync += finished.eq(0)
        with m.Elif(gradient.o_final):
            m.d.sync += finished.eq(1)
        return gradient, update
