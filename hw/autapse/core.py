"""The autapse core: one neuron, or a few side by side, for a whole network, with training, for the smallest FPGAs."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..contract.autapse_chip import MEMORY, AutapseChip
from ..contract.program import Space
from ..sequenced.core import LEAST_WIDTH, Command
from ..sequenced.places import BLOCKS, IDENTITY_BLOCK
from ..sequenced.sequencer import Sequencer
from .engine import NodeEngine
from .program.run import run_program
from .prototypes import PrototypeReadout
from .registers import Give


class AutapseCore(wiring.Component):
    """One autapse core, driven through a bus of 16-bit words and run commands.

    ::

        bus ──┬─ one memory of 16-bit words, a row of `units` at once ─┬── NodeEngine: delay line, units
              └─ scratch: registers, counters, identity ── Sequencer ──┴── PrototypeReadout
        runs ───────────────────────────────────────────────┘

    Forward, the `Sequencer` gives each segment to the `NodeEngine` and waits; loss, backward and update are its
    microprogram. Both use one exact sum and one rounding, in turn; units beside the first have their own. One run takes
    its parts one after the other; `o_busy` is up from the cycle after it is taken until its end, and the bus is only
    answered between runs. `sample` of a run is the first sweep of the sample in its batch.

    Members are those of `SequencedCore`; spaces are IDENTITY, REGISTERS, COUNTERS and the memory.
    """

    def __init__(self, chip: AutapseChip):
        self.chip = chip
        super().__init__({
            "space": In(8), "address": In(24), "write_data": In(16), "write": In(1), "read": In(1),
            "ready": Out(1), "read_data": Out(16), "read_valid": Out(1), "error": Out(1),
            "runs": In(stream.Signature(Command)), "o_busy": Out(1), "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        chip, units = self.chip, self.chip.units
        program = run_program(chip)
        identity = [word >> shift & 0xFFFF for word in chip.identity() for shift in (0, 16)]
        m.submodules.sequencer = sequencer = Sequencer(
            words=program.words(), init=program.init(identity), sample=program.place("sample"), events=chip.events,
            width=LEAST_WIDTH)
        m.submodules.engine = engine = NodeEngine(units=units, line=chip.line)
        readout = PrototypeReadout(words=chip.code_words) if chip.code_words else None
        if readout:
            m.submodules.readout = readout
            for register, number in ((readout.i_prototypes, Give.PROTOTYPES), (readout.i_classes, Give.CLASSES)):
                held = Signal(16)
                m.d.comb += register.eq(held)
                with m.If(sequencer.o_give & (sequencer.o_give_at == number)):
                    m.d.sync += held.eq(sequencer.o_give_data)
            m.d.comb += [
                readout.i_fresh.eq(engine.o_code_fresh), readout.i_bit.eq(engine.o_code),
                readout.i_spike.eq(engine.o_code_spike), readout.i_distances.eq(chip.distances_at),
                readout.i_start.eq(sequencer.o_give & (sequencer.o_give_at == Give.COMPARE)),
            ]
        comparing = readout.o_busy if readout else Const(0, 1)
        m.d.comb += [
            engine.i_give.eq(sequencer.o_give), engine.i_at.eq(sequencer.o_give_at),
            engine.i_data.eq(sequencer.o_give_data), engine.i_lent.eq(sequencer.o_lent),
            engine.i_list_offset.eq(sequencer.o_list_offset), engine.i_list_end.eq(sequencer.o_list_end),
            sequencer.i_lent.eq(engine.o_lent), sequencer.i_list_first.eq(engine.o_list_first),
            sequencer.i_list_next.eq(engine.o_list_next), sequencer.i_saturated.eq(engine.o_saturated),
            sequencer.i_given.eq(engine.o_visits), sequencer.i_hold.eq(engine.o_busy | comparing),
        ]

        # Who is at work has the memory: the host between runs.
        idle, known, taken, small, block, size = Signal(), Signal(), Signal(), Signal(), Signal(8), Signal(17)
        with m.Switch(self.space):
            for space, (first, count) in (BLOCKS | {Space.IDENTITY: (IDENTITY_BLOCK, len(identity))}).items():
                with m.Case(space):
                    m.d.comb += [small.eq(1), block.eq(first), size.eq(count)]
            with m.Case(MEMORY):
                m.d.comb += size.eq(chip.words)
        m.d.comb += [
            known.eq(self.address < size), taken.eq(idle & known),
            idle.eq(~sequencer.o_busy), self.o_busy.eq(sequencer.o_busy), self.o_overflow.eq(sequencer.o_overflow),
            self.ready.eq(idle), self.runs.ready.eq(idle),
            sequencer.i_run.eq(idle & self.runs.valid),
            sequencer.i_mask.eq(self.runs.payload.mask), sequencer.i_sample.eq(self.runs.payload.sample),
            sequencer.i_host_address.eq(block | self.address[:6]), sequencer.i_host_data.eq(self.write_data),
            sequencer.i_host_read.eq(taken & self.read & small),
            sequencer.i_host_write.eq(taken & self.write & (self.space == Space.REGISTERS)),
            sequencer.i_clear_counters.eq(taken & self.write & (self.space == Space.COUNTERS)),
        ]
        address, writes, reads, one = Signal(16), Signal(), Signal(), Signal()
        row = Signal(16 * units)
        m.d.comb += one.eq(1)
        with m.If(idle):
            m.d.comb += [address.eq(self.address), writes.eq(taken & self.write & ~small),
                         reads.eq(taken & self.read & ~small), row.eq(self.write_data.replicate(units))]
        with m.Elif(engine.o_busy):
            m.d.comb += [address.eq(engine.o_address), writes.eq(engine.o_write), reads.eq(engine.o_read),
                         row.eq(engine.o_row), one.eq(engine.o_one)]
        with m.Elif(comparing):
            if readout:
                m.d.comb += [address.eq(readout.o_address), writes.eq(readout.o_write), reads.eq(readout.o_read),
                             row.eq(readout.o_data.replicate(units))]
        with m.Else():
            m.d.comb += [address.eq(sequencer.o_address), writes.eq(sequencer.o_write), reads.eq(sequencer.o_read),
                         row.eq(sequencer.o_data.replicate(units))]

        bits = (units - 1).bit_length()
        lane, words = Signal(max(bits, 1)), []
        with m.If(reads):
            m.d.sync += lane.eq(address[:bits] if bits else 0)
        for index in range(units):
            name = "large_memory" if units == 1 else f"large_memory_{index}"
            m.submodules[name] = memory = Memory(shape=unsigned(16), depth=chip.words // units, init=[])
            # Never both at once, so that one port is enough.
            writer, reader = memory.write_port(), memory.read_port()
            m.d.comb += [
                writer.addr.eq(address[bits:]), writer.data.eq(row.word_select(index, 16)),
                writer.en.eq(writes & (~one | (address[:bits] == index) if bits else 1)),
                reader.addr.eq(address[bits:]), reader.en.eq(reads & ~writes),
            ]
            words.append(reader.data)
        word = Signal(16)
        m.d.comb += [
            engine.i_row.eq(Cat(words)), engine.i_lane.eq(lane), word.eq(engine.i_row.word_select(lane, 16)),
            sequencer.i_data.eq(word),
        ]
        if readout:
            m.d.comb += readout.i_word.eq(word)

        asked, exists, was_small, was_counter = (Signal(name=name) for name in (
            "asked", "exists", "was_small", "was_counter"))
        refused = Signal()
        m.d.sync += [
            asked.eq(idle & self.read), exists.eq(known), was_small.eq(small),
            was_counter.eq(self.space == Space.COUNTERS), self.read_valid.eq(asked),
            refused.eq(~exists), self.read_data.eq(Mux(was_small, sequencer.o_host_data, word)),
        ]
        with m.If(was_counter & sequencer.o_counters_clear):
            m.d.sync += self.read_data.eq(0)
        m.d.comb += self.error.eq(Mux(self.read_valid, refused, self.write & ~known))
        return m
