"""The smallest chip: the link, the command processor and a memory. It shows and tests all that is not a core."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..command import CommandProcessor
from ..link import Link
from ..uart import Uart, period_of

MEMORY_SPACE = 1
DEMO_CLOCK, DEMO_BAUD = 48e6, 3_000_000
COUNTER_SPACE = 2   # words: frames whole, frames damaged, frames dropped, runs


class DemoChip(wiring.Component):
    """A memory of 16-bit words behind the host link, in space 1, and counters in space 2; other spaces are errors.

    A run adds `mask` to word `sample` of the memory, `run_cycles` cycles after it was asked for.

    Parameters
    ----------
    words : depth of the memory, at least 1
    run_cycles : cycles of a run, 1 to 2^16 - 1

    Members
    -------
    i_line, o_line : bytes of the line
    o_busy : time must not stand still

    Raises
    ------
    ValueError
        If a size is out of range.
    """

    i_line: In(stream.Signature(8))
    o_line: Out(stream.Signature(8))
    o_busy: Out(1)

    def __init__(self, *, words=4096, run_cycles=100):
        if words < 1:
            raise ValueError(f"words must be at least 1, not {words!r}")
        if not 1 <= run_cycles < 1 << 16:
            raise ValueError(f"run_cycles must be from 1 to {(1 << 16) - 1}, not {run_cycles!r}")
        self.words = words
        self.run_cycles = run_cycles
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = Link()
        m.submodules.command = command = CommandProcessor()
        m.submodules.store = store = memory.Memory(shape=16, depth=self.words, init=[])
        write, read = store.write_port(), store.read_port()
        wiring.connect(m, wiring.flipped(self.i_line), link.i_line)
        wiring.connect(m, link.o_line, wiring.flipped(self.o_line))
        wiring.connect(m, link.o_packet, command.i_packet)
        wiring.connect(m, command.o_packet, link.i_packet)
        m.d.comb += [
            command.i_session.eq(link.o_session),
            self.o_busy.eq(link.o_busy | command.o_busy),
        ]

        bus, reply = command.o_bus, command.i_bus
        in_memory = Signal()
        in_counters = Signal()
        m.d.comb += [
            in_memory.eq((bus.space == MEMORY_SPACE) & (bus.address < self.words)),
            in_counters.eq((bus.space == COUNTER_SPACE) & (bus.address < 4)),
        ]

        left = Signal(16)
        mask = Signal(16)
        runs = Signal(16)
        sample = Signal(16)
        m.d.comb += [command.o_run.ready.eq(left == 0), command.i_busy.eq(left != 0), reply.ready.eq(left == 0)]
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Elif(command.o_run.valid):
            m.d.sync += [left.eq(self.run_cycles), mask.eq(command.o_run.p.mask), sample.eq(command.o_run.p.sample),
                         runs.eq(runs + 1)]
        m.d.comb += [
            read.addr.eq(Mux(command.o_run.valid, command.o_run.p.sample, bus.address)),
            write.addr.eq(bus.address),
            write.data.eq(bus.write_data),
            write.en.eq(bus.write & reply.ready & in_memory),
        ]
        # The word is read while the run is asked for, and the sum written in its first cycle.
        with m.If(left == self.run_cycles):
            m.d.comb += [write.addr.eq(sample), write.data.eq(read.data + mask), write.en.eq(1)]

        counter = Signal(16)
        answered = Signal()
        answer_memory = Signal()
        answer_error = Signal()
        with m.Switch(bus.address[:2]):
            for address, value in enumerate((link.o_frames_ok, link.o_frames_bad, command.o_dropped, runs)):
                with m.Case(address):
                    m.d.sync += counter.eq(value)
        m.d.sync += [
            answered.eq(bus.read & reply.ready),
            answer_memory.eq(in_memory),
            answer_error.eq(~in_memory & ~in_counters),
        ]
        m.d.comb += [
            reply.read_valid.eq(answered),
            reply.read_data.eq(Mux(answer_memory, read.data, counter)),
            reply.error.eq(Mux(bus.write, ~in_memory, answer_error)),
        ]
        return m


class DemoBoard(wiring.Component):
    """`DemoChip` with its line on pins, at `baud` of a clock of `clock_hz`. Options and errors as of `DemoChip`.

    Members
    -------
    i_rx, o_tx : the serial line
    o_lights : bit 0, nothing is under way
    """

    i_rx: In(1, init=1)
    o_tx: Out(1, init=1)
    o_lights: Out(4)

    def __init__(self, *, clock_hz=DEMO_CLOCK, baud=DEMO_BAUD, **options):
        self._period = period_of(clock_hz, baud)
        self._chip = DemoChip(**options)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart = uart = Uart(period=self._period)
        m.submodules.chip = chip = self._chip
        wiring.connect(m, uart.o_line, chip.i_line)
        wiring.connect(m, chip.o_line, uart.i_line)
        m.d.comb += [uart.i_rx.eq(self.i_rx), self.o_tx.eq(uart.o_tx)]
        m.d.sync += self.o_lights[0].eq(~chip.o_busy)
        return m
