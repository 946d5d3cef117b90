"""A core: memories, engines, and the sequence of one run."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..contract.chip import ChipConfig
from ..contract.geometry import geometry
from ..contract.program import Run, Space
from .backward import BackwardEngine
from .forward import ForwardEngine
from .gradient import GradientEngine
from .history import History
from .lanes import ONE, Lanes
from .memory import BusMemory, SynapseMemory, row_words
from .readout import LossEngine
from .registers import Counters, Identity, Registers
from .schedule import Mode, Schedule
from .update import UpdateEngine

Command = data.StructLayout({"mask": 16, "sample": 16})

READERS = {Space.SPIKES: 2, Space.LAYERS: 2}


class Core(wiring.Component):
    """One core, driven through a bus of 16-bit words and run commands.

    ::

                 bus ── memories, registers, counters, identity
        runs ── sequence: clear, forward, loss, backward (with the sample's history), update
                    │
        Schedule ── ForwardEngine ── lanes      BackwardEngine ── lanes      GradientEngine ── lanes
                                                                                   └── UpdateEngine

    A run takes its parts one after the other; `o_busy` is up from the cycle after it is taken until
    its end, and the bus is only answered between runs. `sample` of a run is the first step of the
    sample in its batch (sample number times steps).

    Members
    -------
    space, address, write_data, write, read : a request of the bus, held until `ready`
    read_valid, read_data : two cycles after a read was taken
    error : no such space or address; with `ready` for a write, with `read_valid` for a read
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "space": In(8), "address": In(24), "write_data": In(16), "write": In(1), "read": In(1),
            "ready": Out(1), "read_data": Out(16), "read_valid": Out(1), "error": Out(1),
            "runs": In(stream.Signature(Command)), "o_busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.registers = registers = Registers()
        m.submodules.counters = counters = Counters()
        m.submodules.identity = identity = Identity(config)
        program = registers.o
        memories = {}
        for space, (width, depth) in geometry(config).items():
            if space == Space.SYNAPSES:
                memory = SynapseMemory(lanes=config.lanes, depth=depth)
            else:
                memory = BusMemory(width=width, depth=depth, readers=READERS.get(space, 1))
            memories[space] = memory
            m.submodules[f"{space.name.lower()}_memory"] = memory
        self._serve_bus(m, memories, {
            Space.REGISTERS: (registers, registers.depth), Space.COUNTERS: (counters, counters.depth),
            Space.IDENTITY: (identity, identity.depth),
        })

        forward_phase, loss_phase, backward_phase, update_phase = (Signal(name=name) for name in (
            "forward_phase", "loss_phase", "backward_phase", "update_phase"))
        launch = Signal()
        layers, spikes, synapses = memories[Space.LAYERS], memories[Space.SPIKES], memories[Space.SYNAPSES]
        m.submodules.schedule = schedule = Schedule(layers=config.layers, row_bits=layers.width)
        m.d.comb += [
            schedule.i_steps.eq(program.steps), schedule.i_layers.eq(program.layers),
            schedule.i_mode.eq(Mux(update_phase, Mode.GRADIENT, Mux(backward_phase, Mode.BACKWARD, Mode.FORWARD))),
            schedule.i_start.eq(launch & (forward_phase | backward_phase | update_phase)),
            layers.r0.address.eq(schedule.r_address), schedule.r_data.eq(layers.r0.data),
        ]

        shared = config.shared and config.training
        width = config.product_bits if shared else config.sum_bits
        m.submodules.forward_lanes = sum_lanes = Lanes(
            lanes=config.lanes, units=config.units, products=shared, width=width)
        m.submodules.forward = forward = ForwardEngine(config, width=width, fraction=sum_lanes.fraction)
        m.d.comb += [
            forward.i.payload.eq(schedule.o.payload), forward.i.valid.eq(schedule.o.valid & forward_phase),
            forward.i_steps.eq(program.steps), forward.i_layers.eq(program.layers),
            forward.i_sum_valid.eq(sum_lanes.o_valid & forward_phase), forward.i_sums.eq(sum_lanes.o_sums),
            forward.i_done.eq(sum_lanes.o_done & forward_phase),
            spikes.r0.address.eq(forward.spikes_in.address), forward.spikes_in.data.eq(spikes.r0.data),
            synapses.r_address.eq(forward.o_address),
            counters.forward_active.eq(forward_phase), counters.forward_visit.eq(forward.o_visit),
            counters.forward_saved.eq(forward.o_saved),
            registers.i_overflow.eq(forward.o_overflow),
        ]
        connect(m, forward.spikes_out, spikes.w)
        connect(m, forward.readouts, memories[Space.READOUTS].w)
        self._read(m, memories[Space.PARAMETERS].r0, forward.parameters)
        self._read(m, memories[Space.READOUTS].r0, forward.readout)
        self._steer(m, sum_lanes, forward, synapses.r_data, forward_phase)
        if shared:
            with m.If(forward_phase):
                m.d.comb += sum_lanes.i_factor.eq(ONE)
        with m.If(forward_phase):
            m.d.comb += schedule.o.ready.eq(forward.i.ready)

        forward_done = Signal()
        m.d.comb += forward_done.eq(forward.o_final)
        if config.training:
            phases = (loss_phase, backward_phase, update_phase)
            done = self._train(m, memories, registers, counters, schedule, forward, sum_lanes, phases, launch)
        else:
            done = {}

        mask = Signal(16)
        order = [(Run.FORWARD, "Forward", forward_phase, forward_done)]
        if config.training:
            order += [(Run.LOSS, "Loss", loss_phase, done["loss"]),
                      (Run.BACKWARD, "Backward", backward_phase, done["backward"]),
                      (Run.UPDATE, "Update", update_phase, done["update"])]
            m.d.comb += done["clear"].eq(launch & forward_phase & (mask & Run.CLEAR).any())
        m.d.comb += [self.o_busy.eq(1), counters.i_running.eq(self.o_busy)]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [self.runs.ready.eq(1), self.o_busy.eq(0)]
                m.d.sync += mask.eq(self.runs.payload.mask)
                if config.training:
                    m.d.sync += done["offset"].eq(self.runs.payload.sample)
                with m.If(self.runs.valid):
                    m.next = f"Start-{order[0][1]}"
            for k, (bit, name, phase, finished) in enumerate(order):
                following = f"Start-{order[k + 1][1]}" if k + 1 < len(order) else "Idle"
                with m.State(f"Start-{name}"):
                    # Clearing may outlast a short forward pass; what follows would write what it clears.
                    with m.If((mask & bit).any() & (done["clearing"] if done and bit != Run.FORWARD else 0)):
                        m.next = f"Start-{name}"
                    with m.Elif((mask & bit).any()):
                        m.d.comb += [launch.eq(1), phase.eq(1)]
                        m.next = name
                    with m.Else():
                        m.next = following
                with m.State(name):
                    m.d.comb += phase.eq(1)
                    with m.If(finished):
                        m.next = following
        return m

    @staticmethod
    def _read(m, reader, port):
        """Gives a reader to one of the ports that use it, by default; phases override the address."""
        m.d.comb += [reader.address.eq(port.address), port.data.eq(reader.data)]

    @staticmethod
    def _steer(m, lanes, engine, words, phase):
        with m.If(phase):
            m.d.comb += [
                lanes.i_valid.eq(engine.o_valid), lanes.i_first.eq(engine.o_first), lanes.i_last.eq(engine.o_last),
                lanes.i_words.eq(words),
            ]
            if hasattr(engine, "o_shift"):
                m.d.comb += lanes.i_shift.eq(engine.o_shift)

    def _train(self, m, memories, registers, counters, schedule, forward, sum_lanes, phases, launch):
        """Everything that a chip built for inference does not have."""
        config = self.config
        loss_phase, backward_phase, update_phase = phases
        program = registers.o
        offset, clear = Signal(20), Signal()
        spikes, synapses, layers = memories[Space.SPIKES], memories[Space.SYNAPSES], memories[Space.LAYERS]
        if config.shared:
            product_lanes = gradient_lanes = sum_lanes
        else:
            m.submodules.backward_lanes = product_lanes = Lanes(
                lanes=config.lanes, units=config.units, products=True, width=config.product_bits)
            m.submodules.gradient_lanes = gradient_lanes = Lanes(
                lanes=config.lanes, units=config.units, products=False, width=config.sum_bits)
        m.submodules.loss = loss = LossEngine(config)
        m.submodules.backward = backward = BackwardEngine(
            config, width=product_lanes.width, fraction=product_lanes.fraction)
        m.submodules.gradient = gradient = GradientEngine(config)
        m.submodules.update = update = UpdateEngine(
            config, width=gradient_lanes.width, fraction=gradient_lanes.fraction)
        m.submodules.history = history = History(config)
        m.submodules.history_schedule = replay = Schedule(layers=config.layers, row_bits=layers.width)

        keep = config.membrane_rows > 0
        connect(m, forward.masks, memories[Space.MASKS].w)
        if keep:
            connect(m, forward.membranes, memories[Space.MEMBRANES].w)
            connect(m, backward.membranes, memories[Space.MEMBRANES].r0)
        connect(m, loss.errors, memories[Space.ERROR_INPUTS].w)
        connect(m, loss.targets, memories[Space.TARGETS].r0)
        connect(m, backward.error_inputs, memories[Space.ERROR_INPUTS].r0)
        connect(m, backward.masks, memories[Space.MASKS].r0)
        connect(m, backward.errors, memories[Space.ERRORS].w)
        connect(m, history.history, memories[Space.HISTORY].w)
        connect(m, gradient.o_token, update.i)
        connect(m, replay.o, history.i)
        m.d.comb += [port.data.eq(memory.data) for port, memory in (
            (loss.readout, memories[Space.READOUTS].r0), (backward.parameters, memories[Space.PARAMETERS].r0),
            (backward.rows, memories[Space.ERRORS].r0), (gradient.errors, memories[Space.ERRORS].r0),
            (backward.active_read, memories[Space.ACTIVE].r0), (gradient.active, memories[Space.ACTIVE].r0),
            (history.read, memories[Space.HISTORY].r0), (gradient.history, memories[Space.HISTORY].r0),
            (history.spikes, spikes.r0), (backward.spikes, spikes.r1),
        )]
        m.d.comb += [
            spikes.r1.address.eq(backward.spikes.address),
            memories[Space.ERRORS].r0.address.eq(Mux(update_phase, gradient.errors.address, backward.rows.address)),
            memories[Space.ACTIVE].r0.address.eq(
                Mux(update_phase, gradient.active.address, backward.active_read.address)),
            memories[Space.HISTORY].r0.address.eq(
                Mux(update_phase, gradient.history.address, history.read.address)),
            loss.i_start.eq(launch & loss_phase), loss.i_classes.eq(program.classes),
            loss.i_inverse_steps.eq(program.inverse_steps), loss.i_gain.eq(program.error_gain),
        ]
        active = memories[Space.ACTIVE].w
        source = backward.active
        m.d.comb += [active.address.eq(source.address), active.data.eq(source.data), active.enable.eq(source.enable)]
        with m.If(history.o_clearing):
            source = history.active
            m.d.comb += [
                active.address.eq(source.address), active.data.eq(source.data), active.enable.eq(source.enable)]
        with m.If(loss_phase):
            m.d.comb += memories[Space.READOUTS].r0.address.eq(loss.readout.address)

        m.d.comb += [
            backward.i.payload.eq(schedule.o.payload), backward.i.valid.eq(schedule.o.valid & backward_phase),
            backward.i_steps.eq(program.steps), backward.i_layers.eq(program.layers),
            backward.i_batch_steps.eq(program.batch_steps), backward.i_offset.eq(offset),
            backward.i_history_log.eq(program.history_log), backward.i_errors_per_step.eq(program.errors_per_step),
            backward.i_sum_valid.eq(product_lanes.o_valid & backward_phase),
            backward.i_sums.eq(product_lanes.o_sums), backward.i_done.eq(product_lanes.o_done & backward_phase),
            gradient.i.payload.eq(schedule.o.payload), gradient.i.valid.eq(schedule.o.valid & update_phase),
            gradient.i_used_words.eq(program.used_words), gradient.i_used_steps.eq(program.used_steps),
            gradient.i_history_log.eq(program.history_log), gradient.i_batch_steps.eq(program.batch_steps),
            gradient.i_update_idle.eq(update.o_idle),
            gradient.i_done.eq(gradient_lanes.o_done & update_phase),
            update.i_item.eq(gradient.o_item), update.i_sums.eq(gradient_lanes.o_sums),
            update.i_sum_valid.eq(gradient_lanes.o_valid & update_phase),
            update.i_rate.eq(program.rate), update.i_momentum.eq(program.momentum),
            update.i_inverse_batch.eq(program.inverse_batch), update.i_gradient_log.eq(program.gradient_log),
            update.i_step_log.eq(program.step_log), update.i_use_momentum.eq(program.use_momentum),
            update.r_data.eq(synapses.r_data), synapses.w_enable.eq(update.w_enable),
            synapses.w_address.eq(update.w_address), synapses.w_data.eq(update.w_data),
            history.i_steps.eq(program.steps), history.i_offset.eq(offset),
            history.i_history_log.eq(program.history_log), history.i_clear.eq(clear),
            replay.i_steps.eq(program.steps), replay.i_layers.eq(program.layers), replay.i_mode.eq(Mode.FORWARD),
            replay.i_start.eq(launch & backward_phase),
            layers.r1.address.eq(replay.r_address), replay.r_data.eq(layers.r1.data),
            counters.backward_active.eq(backward_phase), counters.backward_visit.eq(backward.o_visit),
            counters.backward_saved.eq(backward.o_saved),
            counters.gradient_active.eq(update_phase), counters.gradient_visit.eq(gradient.o_visit),
            counters.gradient_saved.eq(gradient.o_saved),
            registers.i_overflow.eq(
                forward.o_overflow | loss.o_overflow | backward.o_overflow | update.o_overflow),
        ]
        self._steer(m, product_lanes, backward, synapses.r_data, backward_phase)
        self._steer(m, gradient_lanes, gradient, memories[Space.ERRORS].r0.data, update_phase)
        with m.If(backward_phase):
            m.d.comb += [
                product_lanes.i_factor.eq(backward.o_factor),
                synapses.r_address.eq(backward.o_address), synapses.r_column.eq(1),
                memories[Space.PARAMETERS].r0.address.eq(backward.parameters.address),
                spikes.r0.address.eq(history.spikes.address),
                schedule.o.ready.eq(backward.i.ready),
            ]
        with m.If(update_phase):
            m.d.comb += [
                gradient_lanes.i_shift.eq(update.o_shift),
                synapses.r_address.eq(update.r_address),
                schedule.o.ready.eq(gradient.i.ready),
            ]
            if config.shared:
                m.d.comb += gradient_lanes.i_factor.eq(ONE)

        backward_final = Signal()
        with m.If(launch):
            m.d.sync += backward_final.eq(0)
        with m.Elif(backward.o_final):
            m.d.sync += backward_final.eq(1)
        return {
            "loss": ~launch & loss.o_idle,
            "backward": backward_final & replay.o_idle & history.o_idle,
            "update": gradient.o_final,
            "clear": clear, "offset": offset, "clearing": history.o_clearing,
        }

    def _serve_bus(self, m, memories, small):
        """Decodes spaces, checks addresses, and answers reads two cycles later."""
        known, taken = Signal(), Signal()
        results = []
        m.d.comb += [self.ready.eq(~self.o_busy), taken.eq(self.ready & (self.read | self.write))]
        table = {space: (memory, memory.depth * (self.config.lanes if space == Space.SYNAPSES else
                                                 row_words(memory.width))) for space, memory in memories.items()}
        for space, (unit, words) in (table | small).items():
            chosen = Signal(name=f"{space.name.lower()}_chosen")
            m.d.comb += [
                chosen.eq((self.space == space) & (self.address < words)),
                unit.host.address.eq(self.address), unit.host.data.eq(self.write_data),
                unit.host.write.eq(taken & self.write & chosen), unit.host.read.eq(taken & self.read & chosen),
            ]
            with m.If(chosen):
                m.d.comb += known.eq(1)
            results.append((space, unit.host.result))
        space_after, read_after, known_after = Signal(8), Signal(), Signal()
        m.d.sync += [
            space_after.eq(self.space), read_after.eq(taken & self.read), known_after.eq(known),
            self.read_valid.eq(read_after),
        ]
        refused = Signal()
        m.d.sync += refused.eq(~known_after)
        with m.Switch(space_after):
            for space, result in results:
                with m.Case(space):
                    m.d.sync += self.read_data.eq(result)
        m.d.comb += self.error.eq(Mux(self.read_valid, refused, self.write & ~known))
        return m
