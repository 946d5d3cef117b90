"""Program registers, counters and identity: the small spaces of the host bus."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

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

    def __init__(self):
        super().__init__({"host": In(HostPort()), "o": Out(Program), "i_overflow": In(1)})

    def elaborate(self, platform):
        m = Module()
        words, at = [], offsets(REGISTERS)
        address = self.host.address
        for name, bits, _ in REGISTERS:
            register = Signal(bits, name=name)
            m.d.comb += self.o[name].eq(register)
            for k in range(words_of(bits)):
                part = register[16 * k:16 * k + 16]
                words.append(part)
                with m.If(self.host.write & (address == at[name] + k)):
                    m.d.sync += part.eq(self.host.data)
            if name == "overflow":
                with m.If(self.i_overflow):
                    m.d.sync += register.eq(1)
        with m.Switch(address[:self.depth.bit_length()]):
            for k, part in enumerate(words):
                with m.Case(k):
                    m.d.sync += self.host.result.eq(part)
        return m


class Counters(wiring.Component):
    """Busy, skipped and stalled cycles of each engine; any write clears them all."""

    depth = 2 * len(COUNTERS)

    def __init__(self):
        ports = {}
        for engine in ENGINES:
            ports |= {f"{engine}_active": In(1), f"{engine}_visit": In(1), f"{engine}_saved": In(32)}
        super().__init__({"host": In(HostPort()), "i_running": In(1), **ports})

    def elaborate(self, platform):
        m = Module()
        steps = {"cycles": self.i_running}
        for engine in ENGINES:
            active, visit = getattr(self, f"{engine}_active"), getattr(self, f"{engine}_visit")
            steps |= {f"{engine}.busy": visit, f"{engine}.stalled": active & ~visit,
                      f"{engine}.skipped": getattr(self, f"{engine}_saved")}
        words = []
        for name in COUNTERS:
            # One stage between the engines and the wide adders, for the clock.
            step, counter = Signal(len(steps[name]), name=f"{name}_step"), Signal(32, name=name)
            m.d.sync += [step.eq(steps[name]), counter.eq(counter + step)]
            with m.If(self.host.write):
                m.d.sync += [counter.eq(0), step.eq(0)]
            words += [counter[:16], counter[16:]]
        with m.Switch(self.host.address[:self.depth.bit_length()]):
            for k, part in enumerate(words):
                with m.Case(k):
                    m.d.sync += self.host.result.eq(part)
        return m


class Identity(wiring.Component):
    """Read-only words of `identity_words`."""

    def __init__(self, config: ChipConfig):
        self._words = identity_words(config)
        self.depth = len(self._words)
        super().__init__({"host": In(HostPort())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.rom = rom = Memory(shape=unsigned(16), depth=self.depth, init=self._words)
        reader = rom.read_port()
        m.d.comb += [reader.addr.eq(self.host.address), self.host.result.eq(reader.data)]
        return m
