"""Core memories that the host bus reaches while the core is idle, and the skewed synapse memory."""

from amaranth.hdl import C, Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2


def row_words(width: int) -> int:
    """16-bit bus words from one row of a memory to the next."""
    return 1 << ceil_log2(-(-width // 16))


def granule(width: int) -> int:
    """Bits that one write enable covers: 16 where rows are made of binary16 words, else the row."""
    return 16 if width > 16 and width % 16 == 0 else width


class ReadPort(wiring.Signature):
    """A reader of a memory: `data` is the row at last cycle's `address`."""

    def __init__(self, *, width: int, depth: int):
        super().__init__({"address": Out(ceil_log2(max(depth, 2))), "data": In(width)})


class WritePort(wiring.Signature):
    """The writer of a memory: `enable` has a bit per granule."""

    def __init__(self, *, width: int, depth: int):
        super().__init__({
            "address": Out(ceil_log2(max(depth, 2))), "data": Out(width), "enable": Out(-(-width // granule(width))),
        })


class HostPort(wiring.Signature):
    """The host's 16-bit view: `result` follows `read` by one cycle."""

    def __init__(self):
        super().__init__({
            "write": Out(1), "read": Out(1), "address": Out(24), "data": Out(16), "result": In(16),
        })


class BusMemory(wiring.Component):
    """Memory of `depth` rows with one writer, some readers, and a 16-bit view for the host bus.

    Reads give data one cycle after the address. The host shares the writer and reader 0; it must
    only come while the core is idle, which the command processor sees to. A row of `width` bits is
    2^k bus words (`row_words`), low word first.

    Members
    -------
    r0, r1, ... : readers
    w : the writer
    host : the host's view
    """

    def __init__(self, *, width: int, depth: int, readers: int = 1):
        self.width, self.depth, self.readers = width, max(depth, 2), readers
        self.row_words = row_words(width)
        self.address_bits = ceil_log2(self.depth)
        shape = {"width": width, "depth": depth}
        super().__init__({
            **{f"r{n}": In(ReadPort(**shape)) for n in range(readers)},
            "w": In(WritePort(**shape)), "host": In(HostPort()),
        })

    def elaborate(self, platform):
        m = Module()
        grain, w, host = granule(self.width), self.w, self.host
        m.submodules.memory = memory = Memory(shape=unsigned(self.width), depth=self.depth, init=[])
        writer = memory.write_port(granularity=grain if grain < self.width else None)
        sub_bits = ceil_log2(self.row_words)
        h_row = host.address[sub_bits:sub_bits + self.address_bits]
        h_sub = host.address[:sub_bits] if sub_bits else C(0, 1)
        m.d.comb += [writer.addr.eq(w.address), writer.data.eq(w.data), writer.en.eq(w.enable)]
        with m.If(host.write):
            m.d.comb += [
                writer.addr.eq(h_row),
                writer.data.eq(host.data if grain == self.width else Cat(host.data for _ in range(len(writer.en)))),
                writer.en.eq(1 if grain == self.width else 1 << h_sub),
            ]
        for n in range(self.readers):
            reader, port = memory.read_port(), getattr(self, f"r{n}")
            m.d.comb += [reader.addr.eq(port.address), port.data.eq(reader.data)]
            if n == 0:
                sub = Signal(max(sub_bits, 1))
                m.d.sync += sub.eq(h_sub)
                padded = Cat(reader.data, C(0, 16 * self.row_words - self.width))
                m.d.comb += host.result.eq(padded.word_select(sub, 16) if sub_bits else reader.data)
                with m.If(host.read):
                    m.d.comb += reader.addr.eq(h_row)
        return m


class SynapseMemory(wiring.Component):
    """`lanes` banks of binary16 words, read by rows and by columns at full width.

    Synapse (i, j) of a layer is in bank (i + j) mod lanes at row base + (j // lanes) * row_step + i.
    A row read gives lanes j..j+lanes-1 of input i at row address ...+ i. A column read gives inputs
    i..i+lanes-1 of output j: its address is base + (j // lanes) * row_step + i with the low bits
    replaced by j mod lanes. In both cases lane k comes from bank (k + low bits) mod lanes, so the
    skew costs one rotation and no transposed copy (after the classic skewed array of Budnik and
    Kuck, 1971).

    Read latency: 2 cycles (memory, rotation), one read per cycle. Writes are by rows.
    """

    latency = 2

    def __init__(self, *, lanes: int, depth: int):
        self.lanes, self.depth = lanes, max(depth, 2)
        self.address_bits = ceil_log2(self.depth)
        super().__init__({
            "r_address": In(24), "r_column": In(1), "r_data": Out(16 * lanes),
            "w_enable": In(1), "w_address": In(24), "w_data": In(16 * lanes), "host": In(HostPort()),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, bits = self.lanes, ceil_log2(self.lanes)
        low = self.r_address[:bits] if bits else C(0, 1)
        h_row, h_bank = self.host.address[bits:], (self.host.address[:bits] if bits else C(0, 1))
        data, h_bank_read = [], Signal(max(bits, 1))
        m.d.sync += h_bank_read.eq(h_bank)
        w_words = [self.w_data.word_select(k, 16) for k in range(lanes)]
        w_low = self.w_address[:bits] if bits else C(0, 1)
        for b in range(lanes):
            m.submodules[f"bank_{b}"] = bank = Memory(shape=unsigned(16), depth=self.depth, init=[])
            writer, reader = bank.write_port(), bank.read_port()
            skewed = Cat((C(b, bits) - low)[:bits], self.r_address[bits:]) if bits else self.r_address
            m.d.comb += reader.addr.eq(self.r_address)
            with m.If(self.r_column):
                m.d.comb += reader.addr.eq(skewed)
            with m.If(self.host.read):
                m.d.comb += reader.addr.eq(h_row)
            rotated = Cat(w_words[(b - r) % lanes] for r in range(lanes)).word_select(w_low, 16)
            m.d.comb += [writer.addr.eq(self.w_address), writer.data.eq(rotated), writer.en.eq(self.w_enable)]
            with m.If(self.host.write):
                m.d.comb += [writer.addr.eq(h_row), writer.data.eq(self.host.data), writer.en.eq(h_bank == b)]
            data.append(reader.data)
        shift = Signal(max(bits, 1))
        m.d.sync += shift.eq(low)
        m.d.comb += self.host.result.eq(Cat(*data).word_select(h_bank_read, 16))
        for k in range(lanes):
            choices = Cat(data[(k + r) % lanes] for r in range(lanes))
            m.d.sync += self.r_data.word_select(k, 16).eq(choices.word_select(shift, 16) if bits else data[0])
        return m
