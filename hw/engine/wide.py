"""Wide memory: an exact sum per synapse, to which a row of errors is added every cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..numeric.binary16 import fields_of
from ..numeric.pipeline import Pipeline
from .table import address_bits


def add_layout(*, lanes: int, rows: int) -> data.StructLayout:
    """Errors of one group of outputs, to be added to the row of one of its inputs."""
    return data.StructLayout({"address": address_bits(rows), "words": 16 * lanes})


class SlicedMemory(wiring.Component):
    """`depth` rows of `width` bits, cut so that each slice is all the rows of a few bits in one block RAM.

    Synthesis left to itself stacks blocks of wide rows and puts a multiplexer behind them, a third of the
    cells of a wide memory. Cut this way a row lies in dozens of blocks all over a device, too far from one
    register of the address, so each few slices have registers of their own.

    A row comes two cycles after its address and stays until the next that is enabled. Address and enable
    of a write come in the cycle before its row. A row that is read in the cycle in which it is written is read as
    it was.
    """

    block_bits, widest = 1 << 14, 32  # of a block RAM of 16 Kbit and of its rows, parity bits aside
    near = 6                          # slices to one register of the address

    def __init__(self, *, width: int, depth: int):
        self.width, self.depth = width, max(depth, 2)
        self.address_bits = address_bits(depth)
        # Blocks of 16 Kbit have 18 Kbit where rows are of 9 bits or more.
        narrow = max(min(self.block_bits >> self.address_bits, self.widest), 1)
        self.slice = narrow + narrow // 8
        super().__init__({
            "r_enable": In(1), "r_address": In(self.address_bits), "r_data": Out(width),
            "w_enable": In(1), "w_address": In(self.address_bits), "w_data": In(width),
        })

    def elaborate(self, platform):
        m = Module()
        starts = range(0, self.width, self.slice)
        for first in range(0, len(starts), self.near):
            reader, writer = self._port(m, "r", first), self._port(m, "w", first)
            for number in range(first, min(first + self.near, len(starts))):
                part = slice(starts[number], min(starts[number] + self.slice, self.width))
                memory = Memory(shape=unsigned(part.stop - part.start), depth=self.depth, init=[])
                m.submodules[f"slice_{number}"] = memory
                read, write = memory.read_port(), memory.write_port()
                m.d.comb += [
                    read.en.eq(reader[0]), read.addr.eq(reader[1]), self.r_data[part].eq(read.data),
                    write.en.eq(writer[0]), write.addr.eq(writer[1]), write.data.eq(self.w_data[part]),
                ]
        return m

    def _port(self, m, side: str, number: int) -> list[Signal]:
        """Enable and address of one side, registered once more."""
        registers = []
        for name in (f"{side}_enable", f"{side}_address"):
            # Equal registers are merged but for this attribute of Yosys.
            register = Signal.like(getattr(self, name), name=f"{name}_{number}", attrs={"keep": 1})
            m.d.sync += register.eq(getattr(self, name))
            registers.append(register)
        return registers


class WideMemory(wiring.Component):
    """`depth` rows of `lanes` exact sums, `width` bits each, in units of 2^-24.

    ::

        i ─┬─ address ─> memory ─> row ──┬─> o_row
           │                             ├─ + ─> sum ─> memory
           └─ words ─> fields ─> aligned ┘
        cycle        1, 2       3           4

    An add taken in cycle c reads its row in cycle c + 1 and writes it in cycle c + 4, so that the next one to
    the same row is taken in cycle c + `latency` at the soonest. `i.ready` is low for as long as an add would
    come too early for its own row, and only then: rows that differ are added to in every cycle. A sum that
    leaves the width wraps: size it as the lanes' (`ChipConfig.sum_bits`).

    A row taken by `i_take` in cycle c stands in `o_row` from cycle c + `take_latency` on until the next
    add, take or clearing, and is zero from then on. Take a row `latency` cycles after its last add or take at the
    soonest; rows that differ, one per cycle.

    Every row is zero after power-up and after it was taken. What a batch that was given up has left behind
    goes with `i_clear`: `depth` cycles, none if nothing was added since power-up, `i_clean` or the last clearing. A
    reset leaves the rows as they are, so the first `i_clear` after one always clears.

    Members
    -------
    i : one row of words (finite binary16, lane 0 lowest) and where it is added
    i_take, i_take_address : a row to read and to set to zero
    o_row : the row taken, lane 0 lowest
    i_clean : all rows were taken
    i_clear : start of clearing; `o_clearing` is high from the next cycle on until the end
    """

    latency = 4
    take_latency = 3

    def __init__(self, *, lanes: int, depth: int, width: int):
        self.lanes, self.depth, self.width = lanes, max(depth, 2), width
        self.address_bits = address_bits(depth)
        super().__init__({
            "i": In(stream.Signature(add_layout(lanes=lanes, rows=depth))),
            "i_take": In(1), "i_take_address": In(self.address_bits), "o_row": Out(lanes * width),
            "i_clean": In(1), "i_clear": In(1), "o_clearing": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        m.submodules.rows = rows = SlicedMemory(width=self.lanes * self.width, depth=self.depth)
        clear_at, dirty = Signal(self.address_bits), Signal(init=1)
        zero, conflict, add = Signal(), Signal(), Signal()
        flying = Signal(self.latency - 1)
        m.d.comb += [
            zero.eq(self.i_take | self.o_clearing),
            self.i.ready.eq(~conflict & ~zero), add.eq(self.i.valid & self.i.ready),
            # Not only where an add is taken: that is known late in the cycle, and reading does no harm.
            rows.r_enable.eq(self.i.valid | zero),
            rows.r_address.eq(Mux(self.o_clearing, clear_at, Mux(self.i_take, self.i_take_address, self.i.p.address))),
        ]
        m.d.sync += flying.eq(Cat(add | zero, flying))

        s0 = pipe.stage(address=rows.r_address, zero=zero, words=self.i.p.words)
        fields = [fields_of(m, s0.words.word_select(k, 16)) for k in range(self.lanes)]
        s1 = pipe.stage(address=s0.address, zero=s0.zero, **{
            f"{name}_{k}": value for k, lane in enumerate(fields)
            for name, value in zip(("sign", "significand", "shift"), lane, strict=True)})
        s2 = pipe.stage(address=s1.address, zero=s1.zero, row=rows.r_data, **{
            name: value for k in range(self.lanes) for name, value in (
                (f"sign_{k}", getattr(s1, f"sign_{k}")),
                (f"magnitude_{k}", (getattr(s1, f"significand_{k}") << getattr(s1, f"shift_{k}"))[:40]))})
        s3 = pipe.stage(**{f"sum_{k}": self._sum(s2, lane=k) for k in range(self.lanes)})
        with m.If(s2.zero):
            m.d.sync += [getattr(s3, f"sum_{k}").eq(0) for k in range(self.lanes)]
        assert pipe.depth == self.latency
        m.d.comb += [
            rows.w_enable.eq(flying[-1]), rows.w_address.eq(s2.address),
            rows.w_data.eq(Cat(getattr(s3, f"sum_{k}") for k in range(self.lanes))), self.o_row.eq(s2.row),
            # The row of the add before the last of these is written in the cycle in which one taken now is read.
            conflict.eq(Cat(valid & (stage.address == self.i.p.address)
                            for valid, stage in zip(flying, (s0, s1, s2), strict=True)).any()),
        ]

        with m.If(add):
            m.d.sync += dirty.eq(1)
        with m.If(self.i_clean):
            m.d.sync += dirty.eq(0)
        with m.If(self.i_clear):
            m.d.sync += [self.o_clearing.eq(dirty), clear_at.eq(0)]
        with m.If(self.o_clearing):
            m.d.sync += clear_at.eq(clear_at + 1)
            with m.If(clear_at == self.depth - 1):
                m.d.sync += [self.o_clearing.eq(0), dirty.eq(0)]
        return m

    def _sum(self, s2, *, lane: int) -> Value:
        """Row ± magnitude in one carry chain: the sign inverts the term and enters as its carry."""
        sign, magnitude = getattr(s2, f"sign_{lane}"), getattr(s2, f"magnitude_{lane}")
        term = Cat(magnitude ^ sign.replicate(40), sign.replicate(self.width - 40))
        return (Cat(1, s2.row.word_select(lane, self.width)) + Cat(sign, term))[1:self.width + 1]
