"""A core: memories, engines, and what connects them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ..contract.chip import ChipConfig
from ..contract.geometry import geometry, host_geometry
from ..contract.program import Space
from .backward import BackwardEngine
from .borrow import borrow
from .bus import BusServer
from .forward import ForwardEngine
from .gradients import BatchParts, RunningParts
from .lanes import ONE, Lanes
from .links import COUNTS_BITS, LinkView
from .memory import BusMemory, SynapseMemory
from .meshed import MeshParts
from .outbox import RowFlit
from .parts import Follower, Parts, Report
from .readout import LossEngine
from .registers import Counters, Identity, Registers
from .remote import RemoteMemory
from .schedule import Mode, Schedule
from .sequence import Command, Sequencer
from .table import Widths
from .timeline import Timeline


class Core(wiring.Component):
    """One core, driven through a bus of 16-bit words and run commands.

    ::

                 bus ── memories, registers, counters, identity
        runs ── Sequencer ─┬─ front: Schedule ── ForwardEngine ── lanes, then LossEngine
                           └─ rear:  Schedule ── BackwardEngine ── lanes, and beside it
                                     History, at the end of a batch GradientEngine ── forward's lanes ── UpdateEngine
                                     or RunningGradient ── WideMemory, at the end Harvest ── UpdateEngine

    Up to two runs are under way, of different slots (see `Sequencer`); where the engines share one set of
    lanes, one. `sample` of a run is the first step of the sample in its batch (sample number times steps).
    What the bus answers during runs, see `BusServer`.

    Members
    -------
    space, address, write_data, write, read : a request of the bus, held until `ready`
    read_valid, read_data : `BusServer.latency` cycles after a read was taken
    error : no such space or address; with `ready` for a write, with `read_valid` for a read
    o_busy : a run is under way, up from the cycle after it was taken until its counters have settled
    o_overflow : the register of that name: a rounding has saturated since the host cleared it

    A core of a mesh takes no runs. The mesh's sequencer tells it the parts of runs, and it exchanges rows:

    i_parts, o_report : see `Follower`
    i_rows, o_rows : flits of packets, see `Inbox` and `Outbox`
    i_counts : counters of the router's links, see `LinkView`
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        if config.nodes > 1:
            driven: dict = {"i_parts": In(Parts), "o_report": Out(Report),
                            "i_rows": In(stream.Signature(RowFlit)), "o_rows": Out(stream.Signature(RowFlit)),
                            **({"i_counts": In(COUNTS_BITS)} if config.link_counters else {})}
        else:
            driven = {"runs": In(stream.Signature(Command))}
        super().__init__({
            "space": In(8), "address": In(24), "write_data": In(16), "write": In(1), "read": In(1),
            "ready": Out(1), "read_data": Out(16), "read_valid": Out(1), "error": Out(1), **driven, "o_busy": Out(1),
            "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        training, shared = config.training, config.shared and config.training
        self._mesh = MeshParts(config) if config.nodes > 1 else None
        m.submodules.registers = registers = Registers()
        widths = Widths(config)
        skipped = unsigned(widths.neuron + 1)
        m.submodules.counters = counters = Counters(saved={
            "forward": skipped, "backward": skipped, "gradient": signed(max(widths.neuron, widths.batch_step) + 2)})
        m.submodules.identity = identity = Identity(config)
        m.submodules.timeline = timeline = Timeline()
        m.submodules.sequencer = sequencer = (
            Follower(slots=config.slots) if self._mesh else Sequencer(slots=config.slots, overlap=not shared))
        readers = {Space.SPIKES: 3 if training else 1, Space.PARAMETERS: 2 if training else 1, Space.READOUTS: 2,
                   Space.ERRORS: 2 if config.wide_rows else 1}
        # History and what sends rows wait for nothing; where the gradient runs, a scanner is in history's place.
        prompt: dict = {Space.ROUTES: (0,)} | ({} if config.wide_rows else {Space.SPIKES: (2,)})
        memories = {}
        for space, (width, depth) in geometry(config).items():
            if space == Space.SYNAPSES:
                memory = SynapseMemory(lanes=config.lanes, depth=depth, columns=training,
                                       flits=training and config.nodes > 1)
            elif space == Space.REMOTE:
                memory = RemoteMemory(config)
            else:
                memory = BusMemory(width=width, depth=depth, readers=readers.get(space, 1),
                                   host_reader=1 if space == Space.READOUTS else 0,
                                   far=space == Space.ERRORS, prompt=prompt.get(space, ()))
            memories[space] = memory
            m.submodules[f"{space.name.lower()}_memory"] = memory
        small = {Space.REGISTERS: registers, Space.COUNTERS: counters, Space.IDENTITY: identity,
                 Space.TIMELINE: timeline}
        if self._mesh and config.link_counters:
            m.submodules.links = small[Space.LINKS] = links = LinkView()
            m.d.comb += links.i_counts.eq(self.i_counts)
        m.submodules.bus = bus = BusServer(
            config, {space: memories[space] for space in host_geometry(config)}, small)
        for name in ("space", "address", "write_data", "write", "read"):
            m.d.comb += getattr(bus, name).eq(getattr(self, name))
        for name in ("ready", "read_data", "read_valid", "error"):
            m.d.comb += getattr(self, name).eq(getattr(bus, name))
        # As registers, since much follows them: whether the counters are being cleared, or changed.
        clearing, counting = Signal(), Signal()
        m.d.sync += [clearing.eq(counters.host.write | counters.o_clearing),
                     counting.eq(sequencer.o_busy | counters.o_settling)]
        ready = ~clearing
        if self._mesh:
            m.d.comb += [
                sequencer.i_parts.eq(self.i_parts), self.o_report.eq(sequencer.o_report),
                sequencer.i_counting.eq(counters.o_clearing), sequencer.i_busy.eq(self.o_busy),
            ]
        else:
            m.d.comb += [
                sequencer.i.payload.eq(self.runs.payload), sequencer.i.valid.eq(self.runs.valid & ready),
                self.runs.ready.eq(sequencer.i.ready & ready),
            ]
        m.d.comb += [
            bus.i_busy.eq(self.o_busy | clearing), bus.i_slots.eq(sequencer.o_slots),
            self.o_busy.eq(sequencer.o_busy | counting), counters.i_running.eq(sequencer.o_busy),
        ]

        # The gradient at a batch's end takes the lanes of forward, which then rests; a cycle late, no one notices.
        self._turn = None
        if training and not config.wide_rows:
            self._turn = Signal(name="gradient_turn")
            m.d.sync += self._turn.eq(sequencer.o_update)
        width = config.product_bits if shared else config.sum_bits
        m.submodules.forward_lanes = sum_lanes = Lanes(
            lanes=config.lanes, units=config.units, products=shared, width=width)
        m.submodules.forward = forward = ForwardEngine(config, width=sum_lanes.bits, fraction=sum_lanes.fraction)
        self._front(m, memories, registers.o, counters, sequencer, forward, sum_lanes, bus)
        m.d.comb += [registers.i_overflow.eq(forward.o_overflow), self.o_overflow.eq(registers.o.overflow)]
        later = Const(0, 1), Const(0, 1)
        if training:
            later = self._train(m, memories, registers, counters, sequencer, forward, sum_lanes, bus)
        m.d.comb += [
            timeline.i_running.eq(sequencer.o_busy),
            timeline.i_levels.eq(Cat(sequencer.o_forward, sequencer.o_loss, *later, sequencer.o_update)),
        ]
        return m

    def _slotted(self, m, port, memory_port, slot, *, write: bool = False):
        """Connects an engine's port of one sample to the memory of all."""
        address = Cat(port.address, slot) if self.config.slots > 1 else port.address
        m.d.comb += memory_port.address.eq(address)
        if write:
            m.d.comb += [memory_port.data.eq(port.data), memory_port.enable.eq(port.enable)]
        else:
            m.d.comb += port.data.eq(memory_port.data)

    def _front(self, m, memories, program, counters, sequencer, forward, lanes, bus):
        """Everything that a chip built for inference has."""
        active, slot = sequencer.o_forward, sequencer.o_front_slot
        mine = active if self.config.shared else 1
        if self._turn is not None and not self.config.shared:
            mine = ~self._turn
        synapses = memories[Space.SYNAPSES]
        m.submodules.schedule = schedule = Schedule(self.config)
        connect(m, bus.layers_0, forward.layers)
        self._slotted(m, forward.spikes_in, memories[Space.SPIKES].r0, slot)
        if self._mesh:
            self._mesh.front(m, self, memories=memories, program=program, sequencer=sequencer, schedule=schedule,
                             forward=forward, bus=bus)
        else:
            connect(m, schedule.o, forward.i)
            self._slotted(m, forward.spikes_out, memories[Space.SPIKES].w, slot, write=True)
        self._slotted(m, forward.readout, memories[Space.READOUTS].r0, slot)
        self._slotted(m, forward.readouts, memories[Space.READOUTS].w, slot, write=True)
        connect(m, forward.parameters, memories[Space.PARAMETERS].r0)
        m.d.comb += [
            schedule.i_steps.eq(program.steps), schedule.i_layers.eq(program.layers),
            schedule.i_mode.eq(Mode.FORWARD), schedule.i_start.eq(sequencer.o_forward_start),
            forward.i_steps.eq(program.steps), forward.i_layers.eq(program.layers),
            forward.i_sum_valid.eq(lanes.o_valid & mine), forward.i_sums.eq(lanes.o_sums),
            forward.i_done.eq(lanes.o_done & mine), synapses.r_address.eq(forward.o_address),
            counters.forward_active.eq(active), counters.forward_visit.eq(forward.o_visit),
            counters.forward_saved.eq(forward.o_saved), sequencer.i_forward_done.eq(forward.o_final),
        ]
        self.steer(m, lanes, forward, synapses.r_data, active if self.config.shared else 1, shift=forward.o_shift)
        if lanes.products:
            with m.If(active):
                m.d.comb += lanes.i_factor.eq(ONE)

    def steer(self, m, lanes, engine, words, active, *, shift):
        """Gives an engine its lanes while `active`; of engines that share them, the last that is told to have them."""
        with m.If(active):
            m.d.comb += [
                lanes.i_valid.eq(engine.o_valid), lanes.i_first.eq(engine.o_first), lanes.i_last.eq(engine.o_last),
                lanes.i_words.eq(words), lanes.i_shift.eq(shift),
            ]

    def _train(self, m, memories, registers, counters, sequencer, forward, sum_lanes, bus):
        """Everything that a chip built for inference does not have; whether backward and gradient are at work."""
        config, program = self.config, registers.o
        synapses = memories[Space.SYNAPSES]
        going, updating, slot = sequencer.o_backward, sequencer.o_update, sequencer.o_rear_slot
        mine = going if config.shared else 1
        offset, reads = Signal(20), Signal()
        m.d.sync += [offset.eq(sequencer.o_offset), reads.eq(updating)]
        if config.shared:
            product_lanes = sum_lanes
        else:
            m.submodules.backward_lanes = product_lanes = Lanes(
                lanes=config.lanes, units=config.units, products=True, width=config.product_bits)
        m.submodules.loss = loss = LossEngine(config, borrows=True)
        m.submodules.backward = backward = BackwardEngine(
            config, width=product_lanes.bits, fraction=product_lanes.fraction)
        m.submodules.rear_schedule = schedule = Schedule(config)
        connect(m, bus.layers_1, backward.layers)

        front = sequencer.o_front_slot
        self._slotted(m, forward.masks, memories[Space.MASKS].w, front, write=True)
        self._slotted(m, backward.masks, memories[Space.MASKS].r0, slot)
        if config.membrane_rows:
            self._slotted(m, forward.membranes, memories[Space.MEMBRANES].w, front, write=True)
            self._slotted(m, backward.membranes, memories[Space.MEMBRANES].r0, slot)
        self._slotted(m, loss.targets, memories[Space.TARGETS].r0, front)
        self._slotted(m, loss.errors, memories[Space.ERROR_INPUTS].w, front, write=True)
        self._slotted(m, backward.error_inputs, memories[Space.ERROR_INPUTS].r0, slot)
        self._slotted(m, backward.spikes, memories[Space.SPIKES].r1, slot)
        with m.If(sequencer.o_loss):
            self._slotted(m, loss.readout, memories[Space.READOUTS].r0, front)
        connect(m, backward.parameters, memories[Space.PARAMETERS].r1)
        connect(m, backward.errors, memories[Space.ERRORS].w)

        final, gradient_done = Signal(), Signal()
        if config.wide_rows:
            build = RunningParts(config)
        else:
            build = BatchParts(config, lanes=sum_lanes, turn=self._turn)
        gradient, update = build.connect(
            m, self, memories=memories, program=program, sequencer=sequencer, backward=backward, bus=bus,
            offset=offset, done=gradient_done)
        borrow(m, update, (forward, backward), active=reads)
        items = backward.i
        if self._mesh:
            m.d.comb += schedule.i_present.eq(program.present)
            items = self._mesh.rear(m, memories=memories, program=program, sequencer=sequencer, backward=backward,
                                    gradient=gradient, update=update, bus=bus)

        # A loss never meets an update (`Sequencer`), so it has its rounding and its last product from the optimiser.
        m.d.sync += update.i_lent.eq(sequencer.o_loss)
        m.d.comb += [
            update.i_lent_exact.eq(loss.o_exact), update.i_lent_factor.eq(program.error_gain),
            loss.i_scaled.eq(update.o_lent), loss.i_scaled_overflow.eq(update.o_lent_overflow),
            loss.i_start.eq(sequencer.o_loss_start), loss.i_classes.eq(program.classes),
            loss.i_inverse_steps.eq(program.inverse_steps), loss.i_gain.eq(program.error_gain),
            schedule.i_steps.eq(program.steps), schedule.i_layers.eq(program.layers),
            schedule.i_mode.eq(Mux(updating, Mode.GRADIENT, Mode.BACKWARD)),
            schedule.i_start.eq(sequencer.o_backward_start | sequencer.o_update_start),
            schedule.o.ready.eq(Mux(updating, build.items.ready, items.ready)),
            build.items.payload.eq(schedule.o.payload), build.items.valid.eq(schedule.o.valid & updating),
            items.payload.eq(schedule.o.payload), items.valid.eq(schedule.o.valid & going),
            backward.i_steps.eq(program.steps), backward.i_layers.eq(program.layers),
            backward.i_batch_steps.eq(program.batch_steps), backward.i_offset.eq(offset),
            backward.i_history_log.eq(program.history_log), backward.i_errors_per_step.eq(program.errors_per_step),
            backward.i_sum_valid.eq(product_lanes.o_valid & mine),
            backward.i_sums.eq(product_lanes.o_sums), backward.i_done.eq(product_lanes.o_done & mine),
            update.i_rate.eq(program.rate), update.i_momentum.eq(program.momentum),
            update.i_inverse_batch.eq(program.inverse_batch), update.i_gradient_log.eq(program.gradient_log),
            update.i_step_log.eq(program.step_log), update.i_use_momentum.eq(program.use_momentum),
            update.r_data.eq(synapses.c_data), synapses.w_enable.eq(update.w_enable),
            synapses.w_address.eq(update.w_address), synapses.w_data.eq(update.w_data),
            synapses.c_rows.eq(reads),
            synapses.c_address.eq(Mux(reads, update.r_address, backward.o_address)),
            counters.backward_active.eq(going), counters.backward_visit.eq(backward.o_visit),
            counters.backward_saved.eq(backward.o_saved),
            counters.gradient_visit.eq(gradient.o_visit), counters.gradient_saved.eq(gradient.o_saved.as_signed()),
            registers.i_overflow.eq(
                forward.o_overflow | loss.o_overflow | backward.o_overflow | update.o_overflow),
            sequencer.i_loss_done.eq(loss.o_idle), sequencer.i_backward_done.eq(final & gradient_done),
        ]
        if self._mesh:
            self._mesh.take_mirrors(m, synapses, update)
        m.d.comb += counters.gradient_active.eq(going if config.wide_rows else updating)
        self.steer(m, product_lanes, backward, synapses.c_data, mine, shift=backward.o_shift)
        with m.If(mine):
            m.d.comb += product_lanes.i_factor.eq(backward.o_factor)
        with m.If(sequencer.o_backward_start):
            m.d.sync += final.eq(0)
        with m.Elif(backward.o_final):
            m.d.sync += final.eq(1)
        return going & ~final, (going & ~gradient_done) if config.wide_rows else updating
