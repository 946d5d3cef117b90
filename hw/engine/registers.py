"""Program registers, counters and identity: the small spaces of the host bus."""

from collections.abc import Mapping

from amaranth.hdl import Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ARITHMETIC_VERSION, CONTRACT_VERSION, ChipConfig
from ..contract.program import COUNTERS, ENGINES, MAGIC, REGISTERS, length, offsets, words_of
from .memory import HostPort

Program = data.StructLayout({name: bits for name, bits, _ in REGISTERS})


def identity_words(config: ChipConfig) -> list[int]:
    """What the chip says it is: magic, versions, then each field of its configuration, 32 bits each."""
    return [word >> shift & 0xFFFF for word in (MAGIC, CONTRACT_VERSION, ARITHMETIC_VERSION, *config.words())
            for shift in (0, 16)]


class Registers(wiring.Component):
    """Program registers, readable and writable by the host; `overflow` is sticky and set by the core."""

    depth = length(REGISTERS)
    host_latency = 1

    def __init__(self):
        super().__init__({"host": In(HostPort()), "o": Out(Program), "i_overflow": In(1)})

    def elaborate(self, platform):
        m = Module()
        at, host = offsets(REGISTERS), self.host
        # The host is let at no address behind the last register.
        address = host.address[:(self.depth - 1).bit_length()]
        # What the host reads back is a copy in a small memory: cheaper than a multiplexer of all registers.
        m.submodules.copy = copy = Memory(shape=unsigned(16), depth=1 << (self.depth - 1).bit_length(), init=[],
                                          attrs={"ram_style": "block"})
        writer, reader = copy.write_port(), copy.read_port()
        m.d.comb += [
            writer.addr.eq(host.address), writer.data.eq(host.data), writer.en.eq(host.write),
            reader.addr.eq(host.address), host.result.eq(reader.data),
        ]
        for name, bits, _ in REGISTERS:
            register = Signal(bits, name=name)
            m.d.comb += self.o[name].eq(register)
            for k in range(words_of(bits)):
                with m.If(host.write & (address == at[name] + k)):
                    m.d.sync += register[16 * k:16 * k + 16].eq(host.data)
            if name == "overflow":
                asked = Signal()
                m.d.sync += asked.eq(address == at[name])
                with m.If(asked):
                    m.d.comb += host.result.eq(register)
                with m.If(self.i_overflow):
                    m.d.sync += register.eq(1)
        return m


class Counters(wiring.Component):
    """Busy, skipped and stalled cycles of each engine; any write clears them all.

    Each counter gathers what comes in a few bits of its own. Every `turn` cycles it is added to a total of 32
    bits; the totals are in one memory behind one adder. `o_settling` is high from the first cycle after
    `i_running` until all is in the totals. `o_clearing` is high after a write until they are clear; nothing is
    counted meanwhile. The host reads while neither it is at work nor `i_running`. `saved` may narrow what each engine
    has skipped in a cycle.
    """

    depth = 2 * len(COUNTERS)
    host_latency = 1
    turn = 1 << (len(COUNTERS) - 1).bit_length()

    def __init__(self, *, saved: Mapping[str, Shape] | None = None):
        ports = {}
        for engine in ENGINES:
            ports |= {f"{engine}_active": In(1), f"{engine}_visit": In(1),
                      f"{engine}_saved": In(saved[engine] if saved else signed(21))}
        super().__init__({"host": In(HostPort()), "i_running": In(1), "o_settling": Out(1),
                          "o_clearing": Out(1), **ports})

    def elaborate(self, platform):
        m = Module()
        steps = {"cycles": self.i_running}
        for engine in ENGINES:
            active, visit = getattr(self, f"{engine}_active"), getattr(self, f"{engine}_visit")
            steps |= {f"{engine}.busy": visit, f"{engine}.stalled": active & ~visit,
                      f"{engine}.skipped": getattr(self, f"{engine}_saved")}
        clear = self.host.write
        bits = ceil_log2(self.turn)
        index, clearing, settling = Signal(bits), Signal(range(self.turn + 3)), Signal(range(self.turn + 4))
        m.submodules.totals = totals = Memory(shape=unsigned(32), depth=self.turn, init=[])
        writer, reader = totals.write_port(), totals.read_port()
        chosen, adding, where = Signal(signed(32)), Signal(signed(32)), Signal(bits)
        counts = []
        for k, name in enumerate(COUNTERS):
            step = steps[name]
            gathered = Signal(data_shape(step, self.turn), name=name.replace(".", "_"))
            m.d.sync += gathered.eq(Mux(index == k, 0, gathered) + step)
            with m.If(clear):
                m.d.sync += gathered.eq(0)
            counts.append(gathered)
        with m.Switch(index):
            for k, gathered in enumerate(counts):
                with m.Case(k):
                    m.d.comb += chosen.eq(gathered)
        high, going = Signal(), Signal()
        # It stands still with the rest of the core, so that a simulation can leave the core out.
        m.d.comb += going.eq(self.i_running | self.o_settling | self.o_clearing)
        with m.If(going):
            m.d.sync += index.eq(index + 1)
        m.d.sync += [adding.eq(Mux(clear, 0, chosen)), where.eq(index), high.eq(self.host.address[0])]
        m.d.comb += [
            # Only then: what the host reads must not be written in that cycle.
            reader.addr.eq(Mux(going, index, self.host.address[1:])), writer.addr.eq(where),
            writer.en.eq(self.o_settling | self.o_clearing),
            # Nothing is added while totals are cleared.
            writer.data.eq(Mux(self.o_clearing, 0, reader.data) + adding),
            self.host.result.eq(reader.data.word_select(high, 16)),
            self.o_settling.eq(settling != 0), self.o_clearing.eq(clearing != 0),
        ]
        with m.If(self.i_running):
            m.d.sync += settling.eq(self.turn + 3)
        with m.Elif(settling != 0):
            m.d.sync += settling.eq(settling - 1)
        with m.If(clear):
            m.d.sync += clearing.eq(self.turn + 2)
        with m.Elif(clearing != 0):
            m.d.sync += clearing.eq(clearing - 1)
        return m


def data_shape(step, times: int):
    """Holds `times` of what `step` brings at most."""
    shape = step.shape()
    width = shape.width + ceil_log2(times)
    return signed(width) if shape.signed else unsigned(width)


class Identity(wiring.Component):
    """Read-only words of `identity_words`."""

    def __init__(self, config: ChipConfig):
        self._words = identity_words(config)
        self.depth = len(self._words)
        self.host_latency = 1
        super().__init__({"host": In(HostPort())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = rom = Memory(shape=unsigned(16), depth=self.depth, init=self._words)
        reader = rom.read_port()
        m.d.comb += [reader.addr.eq(self.host.address), self.host.result.eq(reader.data)]
        return m
