"""Errors that come to a core of a mesh: rows written flit by flit, read word by word where they are not 0."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.rows import FLIT_BITS, Kind, packet_flits
from .memory import ReadPort
from .outbox import row_layout

FLAGS_LATENCY = 2
"""Cycles from an address to the flags of its row."""


def flags_shape(config: ChipConfig) -> dict[str, int]:
    """Width and depth as ports take them."""
    return {"width": config.lanes, "depth": max(config.remote_rows, 2)}


def words_shape(config: ChipConfig) -> dict[str, int]:
    """Width and depth as ports take them; a row's words are neighbours."""
    return {"width": 16, "depth": max(config.remote_rows, 2) * config.lanes}


class RemoteMemory(wiring.Component):
    """Rows of `lanes` binary16 words, and of each row which words are not 0. What is written rests for a cycle.

    A reader must not come to a row before all of it is written, so it looks at flags and takes words one by one: no
    row is ever moved as a whole.

    Members
    -------
    w_valid, w_address, w_part, w_flit, w_last : a flit for a row, as `Inbox` has it
    flags : `FLAGS_LATENCY` cycles later the lanes of a row whose words are not 0
    words : a word in the next cycle
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self._parts = packet_flits(row_layout(config, Kind.ERRORS)["row"].width) - 2
        super().__init__({
            "w_valid": In(1), "w_address": In(ceil_log2(max(config.remote_rows, 2))), "w_part": In(self._parts),
            "w_flit": In(FLIT_BITS), "w_last": In(1),
            "flags": In(ReadPort(**flags_shape(config))), "words": In(ReadPort(**words_shape(config))),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = self.config.lanes
        each = min(lanes, 2)    # words of a flit
        m.submodules.words = words = Memory(**_as_memory(words_shape(self.config)))
        m.submodules.flags = flags = Memory(**_as_memory(flags_shape(self.config)))
        valid, last, row, flit = Signal(), Signal(), Signal.like(self.w_address), Signal.like(self.w_flit)
        part = Signal(ceil_log2(self._parts))
        m.d.sync += [
            valid.eq(self.w_valid), last.eq(self.w_last), row.eq(self.w_address), flit.eq(self.w_flit),
            part.eq(Cat(Cat(self.w_part[k] for k in range(self._parts) if k >> bit & 1).any()
                        for bit in range(len(part)))),
        ]
        for number in range(each):
            writer = words.write_port()
            m.d.comb += [
                writer.addr.eq(Cat(Const(number, ceil_log2(each)), part, row)),
                writer.data.eq(flit.word_select(number, 16)), writer.en.eq(valid),
            ]
        # Flags gather as the flits of a row come, the first ones first.
        gathered = Signal(lanes)
        some = Cat(gathered, *(flit.word_select(number, 16).any() for number in range(each)))[each:]
        writer = flags.write_port()
        m.d.comb += [writer.addr.eq(row), writer.data.eq(some), writer.en.eq(valid & last)]
        with m.If(valid):
            m.d.sync += gathered.eq(some)
        looked, taken = flags.read_port(), words.read_port()
        m.d.sync += self.flags.data.eq(looked.data)
        m.d.comb += [looked.addr.eq(self.flags.address), taken.addr.eq(self.words.address),
                     self.words.data.eq(taken.data)]
        return m


def _as_memory(shape: dict[str, int]) -> dict:
    return {"shape": unsigned(shape["width"]), "depth": shape["depth"], "init": [], "attrs": {"ram_style": "block"}}
