"""The sequenced core: the core of a chip with one lane, everything in turn, for the smallest FPGAs."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from ..contract.program import Space
from ..engine.registers import identity_words
from .places import BIT_SPACES, BLOCKS, IDENTITY_BLOCK, ONE, places
from .program.run import run_program
from .sequencer import Sequencer

Command = data.StructLayout({"mask": 16, "sample": 16})

LEAST_WIDTH = 92
"""Bits of the exact sum at least: a product moved as far as it goes, or a readout times 1.0."""


class SequencedCore(wiring.Component):
    """One core with one lane, driven through a bus of 16-bit words and run commands.

    ::

        bus ──┬─ one memory of 16-bit words: every space ──┐
              └─ scratch: registers, counters, identity ── Sequencer
        runs ───────────────────────────────────────────────┘

    To the driver it is the same core as the pipelined one: the same spaces, words, program, counters and bits of every
    result. One run takes its parts one after the other; `o_busy` is up from the cycle after it is taken until its end,
    and the bus is only answered between runs. `sample` of a run is the first step of the sample in its batch.

    Members
    -------
    space, address, write_data, write, read : a request of the bus, held until `ready`
    read_valid, read_data : two cycles after a read was taken
    o_overflow : strobe, a rounding has saturated
    error : no such space or address; with `ready` for a write, with `read_valid` for a read

    Raises
    ------
    ValueError
        If the configuration has more than one lane or slot, or wide rows, or its memories more than 65,536 words of
        16 bits.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.places = places(config)
        super().__init__({
            "space": In(8), "address": In(24), "write_data": In(16), "write": In(1), "read": In(1),
            "ready": Out(1), "read_data": Out(16), "read_valid": Out(1), "error": Out(1),
            "runs": In(stream.Signature(Command)), "o_busy": Out(1), "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        where = self.places
        program = run_program(self.config, where)
        identity = identity_words(self.config)
        m.submodules.sequencer = sequencer = Sequencer(
            words=program.words(), init=program.init(identity), sample=program.place("sample"),
            events=self.config.events, width=max(self.config.product_bits, LEAST_WIDTH))
        m.submodules.large_memory = memory = Memory(shape=unsigned(16), depth=where.total, init=[])
        # Never both at once, so that one port is enough.
        writer, reader = memory.write_port(), memory.read_port()

        # The host's address: a block of the scratch memory or a base in the one memory, and the words it may reach.
        blocks = BLOCKS | {Space.IDENTITY: (IDENTITY_BLOCK, len(identity))}
        base, block, words, bit, small = Signal(16), Signal(8), Signal(17), Signal(), Signal()
        with m.Switch(self.space):
            for space, (first, count) in blocks.items():
                with m.Case(space):
                    m.d.comb += [small.eq(1), block.eq(first), words.eq(count)]
            for space, first in where.base.items():
                with m.Case(space):
                    m.d.comb += [base.eq(first), words.eq(where.size[space]), bit.eq(space in BIT_SPACES)]
        idle, known, taken = Signal(), self.address < words, Signal()
        m.d.comb += [
            idle.eq(~sequencer.o_busy), self.o_busy.eq(sequencer.o_busy), self.o_overflow.eq(sequencer.o_overflow),
            self.ready.eq(idle), self.runs.ready.eq(idle),
            taken.eq(idle & known),
            sequencer.i_run.eq(idle & self.runs.valid),
            sequencer.i_mask.eq(self.runs.payload.mask), sequencer.i_sample.eq(self.runs.payload.sample),
            sequencer.i_host_address.eq(block | self.address[:6]), sequencer.i_host_data.eq(self.write_data),
            sequencer.i_host_read.eq(taken & self.read & small),
            sequencer.i_host_write.eq(taken & self.write & (self.space == Space.REGISTERS)),
            sequencer.i_clear_counters.eq(taken & self.write & (self.space == Space.COUNTERS)),
        ]
        address, writes, reads, written = Signal(16), Signal(), Signal(), Signal(16)
        m.d.comb += [
            address.eq(sequencer.o_address), writes.eq(sequencer.o_write), reads.eq(sequencer.o_read),
            written.eq(sequencer.o_data),
        ]
        with m.If(idle):
            m.d.comb += [
                address.eq((base + self.address)[:16]), writes.eq(taken & self.write & ~small),
                reads.eq(taken & self.read & ~small),
                written.eq(Mux(bit, Mux(self.write_data[0], ONE, 0), self.write_data)),
            ]
        m.d.comb += [
            writer.addr.eq(address), writer.data.eq(written), writer.en.eq(writes),
            reader.addr.eq(address), reader.en.eq(reads & ~writes), sequencer.i_data.eq(reader.data),
        ]

        asked, exists, was_small, was_bit, was_counter = (Signal(name=name) for name in (
            "asked", "exists", "was_small", "was_bit", "was_counter"))
        m.d.sync += [
            asked.eq(idle & self.read), exists.eq(known), was_small.eq(small), was_bit.eq(bit),
            was_counter.eq(self.space == Space.COUNTERS), self.read_valid.eq(asked),
        ]
        refused = Signal()
        m.d.sync += [refused.eq(~exists), self.read_data.eq(reader.data)]
        with m.If(was_small):
            m.d.sync += self.read_data.eq(sequencer.o_host_data)
        with m.If(was_bit):
            m.d.sync += self.read_data.eq(reader.data[ONE.bit_length() - 1])
        with m.If(was_counter & sequencer.o_counters_clear):
            m.d.sync += self.read_data.eq(0)
        m.d.comb += self.error.eq(Mux(self.read_valid, refused, self.write & ~known))
        return m
