"""Core memories that the host bus reaches while the core is idle, and the skewed synapse memory."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.geometry import geometry
from ..contract.program import Space
from ..neuron.pipeline import delay
from ..numeric.selection import gathered, spread


def shape_of(config: ChipConfig, space: Space) -> dict[str, int]:
    """Width and depth of a memory, of one sample where it holds several, as its ports take them."""
    width, depth = geometry(config.replace(slots=1))[space]
    return {"width": width, "depth": depth}


def row_words(width: int) -> int:
    """16-bit bus words from one row of a memory to the next."""
    return 1 << ceil_log2(-(-width // 16))


def granule(width: int) -> int:
    """Bits that one write enable covers: 16 where rows are made of binary16 words, else the row."""
    return 16 if width > 16 and width % 16 == 0 else width


ROW_LATENCY = 2
"""Cycles from an address to its row, which rests in a register behind the memory (`BusMemory`)."""

FAR_LATENCY = 4
"""The same in a memory that spreads over a large part of a device."""


HOST_LATENCY = FAR_LATENCY
"""Cycles from the host's reading to its word; no memory takes longer."""


class ReadPort(wiring.Signature):
    """A reader of a memory: `data` is the row at `address` so many cycles ago as the memory's `latency` for it says."""

    def __init__(self, *, width: int, depth: int):
        super().__init__({"address": Out(ceil_log2(max(depth, 2))), "data": In(width)})


class WritePort(wiring.Signature):
    """The writer of a memory: `enable` has a bit per granule."""

    def __init__(self, *, width: int, depth: int):
        super().__init__({
            "address": Out(ceil_log2(max(depth, 2))), "data": Out(width), "enable": Out(-(-width // granule(width))),
        })


class HostPort(wiring.Signature):
    """The host's 16-bit view: `result` follows `read` by the memory's `host_latency` cycles, one where it has none."""

    def __init__(self):
        super().__init__({
            "write": Out(1), "read": Out(1), "address": Out(24), "data": Out(16), "result": In(16),
        })


class BusMemory(wiring.Component):
    """Memory of `depth` rows with one writer, some readers, and a 16-bit view for the host bus.

    Reads give data `latency` cycles after the address: `ROW_LATENCY`, or `FAR_LATENCY` with `far`, where the ways to so
    many block RAMs and back take a cycle each, from register to register. The register behind a block RAM is one of
    its own (`gateware/outputs.py`), which makes the RAM five times as fast; `prompt` readers do without. Order is that
    of the ports: what is written in one cycle is read by an address of the next one on. The host shares the writer and
    one reader; it must only come while nobody else uses them, which the core sees to. A row of `width` bits is
    2^k bus words (`row_words`), low word first.

    Members
    -------
    r0, r1, ... : readers
    w : the writer
    host : the host's view
    """

    def __init__(self, *, width: int, depth: int, readers: int = 1, host_reader: int = 0, far: bool = False,
                 prompt: tuple[int, ...] = ()):
        self.width, self.depth, self.readers = width, max(depth, 2), readers
        self.host_reader, self.far, self.prompt = host_reader, far, prompt
        self.latency = FAR_LATENCY if far else ROW_LATENCY
        self.host_latency = 1 if host_reader in prompt else self.latency
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
        # Wide and shallow ones too: registers or LUT memory would take hundreds of cells.
        attributes = {"ram_style": "block"} if self.width * self.depth >= 256 else {}
        m.submodules.memory = memory = Memory(shape=unsigned(self.width), depth=self.depth, init=[], attrs=attributes)
        writer = memory.write_port(granularity=grain if grain < self.width else None)
        sub_bits = ceil_log2(self.row_words)
        h_row = host.address[sub_bits:sub_bits + self.address_bits]
        h_sub = host.address[:sub_bits] if sub_bits else C(0, 1)
        address, data, enable = (Signal.like(port) for port in (writer.addr, writer.data, writer.en))
        m.d.comb += [address.eq(w.address), data.eq(w.data), enable.eq(w.enable)]
        with m.If(host.write):
            m.d.comb += [
                address.eq(h_row),
                data.eq(host.data if grain == self.width else Cat(host.data for _ in range(len(enable)))),
                enable.eq(1 if grain == self.width else 1 << h_sub),
            ]
        rests = int(self.far)  # cycles on the way there, and from the block RAMs on the way back
        m.d.comb += [
            writer.addr.eq(delay(m, address, rests, name="w_address")),
            writer.data.eq(delay(m, data, rests, name="w_data")),
            writer.en.eq(delay(m, enable, rests, name="w_enable", reset_less=False)),
        ]
        for n in range(self.readers):
            reader, port = memory.read_port(), getattr(self, f"r{n}")
            asked = Signal.like(port.address, name=f"asked_{n}")
            m.d.comb += [
                asked.eq(port.address), reader.addr.eq(delay(m, asked, rests, name=f"r{n}_address")),
                port.data.eq(delay(m, reader.data, rests + (n not in self.prompt), name=f"r{n}_data")),
            ]
            if n == self.host_reader:
                sub = delay(m, h_sub, self.host_latency, name="sub")
                padded = Cat(port.data, C(0, 16 * self.row_words - self.width))
                m.d.comb += host.result.eq(padded.word_select(sub, 16) if sub_bits else port.data)
                with m.If(host.read):
                    m.d.comb += asked.eq(h_row)
        return m


class SynapseMemory(wiring.Component):
    """`lanes` banks of binary16 words, read by rows and by columns at full width, both in one cycle.

    Synapse (i, j) of a layer is in bank (i + j) mod lanes at row base + (j // lanes) * row_step + i.
    A row read gives lanes j..j+lanes-1 of input i at row address ...+ i. A column read gives inputs
    i..i+lanes-1 of output j: its address is base + (j // lanes) * row_step + i with the low bits
    replaced by j mod lanes. In both cases lane k comes from bank (k + low bits) mod lanes, so the
    skew costs one rotation and no transposed copy (after the classic skewed array of Budnik and
    Kuck, 1971).

    ::

        r_address ──┐ (a write takes the port)
        w_address ──┴─> port A ─┐                            ┌─> rotation ─> r_data
                                banks (true dual port RAM) ──┤
        c_address ────> port B ─┘                            └─> rotation ─> c_data

    Read latency: 4 cycles (register, memory, register, rotation), a read of each port per cycle. A write, by rows,
    takes port A: what was to be read there in the same cycle is lost. Its words come bank by bank, word b for
    bank b (see `bank_of`): whoever gathers a row does so in that order for nothing. A column port with
    `c_rows` high reads rows. With `flits` rows may also be written by pairs of words: `f_words` to the even and odd
    bank of `f_enable`, with `f_valid`, at `w_address`; `w_enable` and the host must be quiet.
    """

    latency = 4
    host_latency = latency

    def __init__(self, *, lanes: int, depth: int, columns: bool = True, flits: bool = False):
        self.flits = flits
        self.lanes, self.depth, self.columns = lanes, max(depth, 2), columns
        self.address_bits = ceil_log2(self.depth)
        bits = self.address_bits
        ports = {"c_address": In(bits), "c_rows": In(1), "c_data": Out(16 * lanes)} if columns else {}
        if flits:
            ports |= {"f_valid": In(1), "f_enable": In(lanes), "f_words": In(32)}
        super().__init__({
            "r_address": In(bits), "r_data": Out(16 * lanes), **ports,
            "w_enable": In(1), "w_address": In(bits), "w_data": In(16 * lanes), "host": In(HostPort()),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, bits = self.lanes, ceil_log2(self.lanes)
        host = self.host
        h_row, h_bank = host.address[bits:], (host.address[:bits] if bits else C(0, 1))
        # Port A of every bank. The banks spread over a large part of a device, so what drives them and what they drive
        # are registers.
        address, enable, stored = Signal(self.address_bits), Signal(lanes), Signal(16 * lanes)
        m.d.comb += [enable.eq(self.w_enable.replicate(lanes)), stored.eq(self.w_data), address.eq(self.r_address)]
        with m.If(self.w_enable):
            m.d.comb += address.eq(self.w_address)
        with m.If(host.write):
            m.d.comb += [enable.eq(1 << h_bank), stored.eq(host.data.replicate(lanes))]
        if self.flits:
            # The host's word and a flit are one before they are spread over the banks.
            words = Mux(self.f_valid, self.f_words, host.data.replicate(2)).replicate(-(-lanes // 2))
            m.d.comb += stored.eq(Mux(self.w_enable, self.w_data, words))
            with m.If(self.f_valid):
                m.d.comb += [address.eq(self.w_address), enable.eq(self.f_enable)]
        with m.If(host.write | host.read):
            m.d.comb += address.eq(h_row)

        readers = [([], "r")] + ([([], "c")] if self.columns else [])
        port_address, port_enable, port_words = (
            Signal.like(value, name=f"port_{name}", reset_less=name != "enable")
            for value, name in ((address, "address"), (enable, "enable"), (stored, "words")))
        m.d.sync += [port_address.eq(address), port_enable.eq(enable), port_words.eq(stored)]
        for b in range(lanes):
            m.submodules[f"bank_{b}"] = bank = Memory(shape=unsigned(16), depth=self.depth, init=[])
            writer, reader = bank.write_port(), bank.read_port()
            m.d.comb += [
                writer.addr.eq(port_address), writer.data.eq(port_words.word_select(b, 16)),
                writer.en.eq(port_enable[b]), reader.addr.eq(port_address),
            ]
            readers[0][0].append(reader.data)
            if self.columns:
                column = bank.read_port()
                low = self.c_address[:bits]
                skewed = Cat(Mux(self.c_rows, low, (C(b, bits) - low)[:bits]), self.c_address[bits:])
                skewed = delay(m, skewed if bits else self.c_address, 1, name=f"c_address_{b}")
                m.d.comb += column.addr.eq(skewed)
                readers[1][0].append(column.data)
        for words, name in readers:
            # The host's word is turned to lane 0.
            source = Mux(host.read, h_bank, self.r_address[:bits]) if name == "r" else self.c_address[:bits]
            held = Signal(16 * lanes, name=f"{name}_held", reset_less=True)
            m.d.sync += held.eq(Cat(*words))
            turn = delay(m, source, self.latency - 2, name=f"{name}_turn") if bits else C(0, 0)
            m.d.comb += getattr(self, f"{name}_data").eq(_rotated(m, held, turn, name=name))
        m.d.comb += host.result.eq(self.r_data[:16])
        return m


def bank_of(lane: int, address: int, *, lanes: int) -> int:
    """The bank of a row's word."""
    return (lane + address) % lanes


def _rotated(m: Module, words, amount, *, name: str):
    """Word k from word k + amount, mod lanes, a cycle later; two LUTs per bit for eight lanes.

    The amount comes a cycle before the words.

    By multiples of four with one 2:1 multiplexer per bit and bit of amount; by the rest as the row rests in one of up
    to four registers while the others clear (see `spread`).
    """
    def turned(value, step):
        return Cat(value[16 * step:], value[:16 * step])

    held = delay(m, amount, 1, name=f"{name}_amount")
    for k in range(2, len(amount)):
        words = Mux(held[k], turned(words, 1 << k), words)
    steps = range(1 << len(amount[:2]))
    chosen = delay(m, Cat(amount[:2] == step for step in steps), 1, name=f"{name}_chosen")
    parts = spread(m, [turned(words, step) for step in steps], place=list(chosen), name=f"{name}_turned")
    return gathered(parts, step=0, width=len(words))
