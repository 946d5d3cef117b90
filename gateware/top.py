"""The top of every board below its clock: a chip, its line on pins, lights."""

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from ..boards.board import LIGHTS
from ..hw.contract.autapse_chip import AutapseChip
from ..hw.contract.chip import ChipConfig
from .chip import Chip
from .ft245 import Ft245
from .mesh_chip import MeshChip
from .uart import Uart, period_of

LIGHT_SECONDS = 0.1     # that an event is to be seen


class Top(wiring.Component):
    """The chip with its line and its lights on plain pins, in the clock that the board makes for the domain sync.

    ::

        i_rx ─> Uart ─> Link ─ CommandProcessor ─ Core(s)
        o_tx <─      <─   (Chip or MeshChip)
        or Ft245           └─ status ─> o_lights

    A board adds pins and a clock (`board_top.py`), a simulator its own clock: all else is the same.

    Parameters
    ----------
    config : of the chip
    clock_hz : of the domain sync
    baud : bits per second on the line; None: whatever the host speaks, measured from its first frame
    fifo : the line is an FTDI chip's parallel FIFO, not a serial one

    Members
    -------
    i_rx, o_tx : the serial line; high at rest
    i_rxf, i_txe, i_data, o_data, o_drive, o_rd, o_wr : with `fifo` in their place, see `Ft245`
    o_lights : a bit per name in LIGHTS, set where it is to be lit: nothing under way; a run that trains within the last
        tenth of a second, and so with the others; a rounding that saturated; a byte or a frame that came damaged

    Raises
    ------
    ValueError
        If the clock cannot make that rate, or a rate is asked of a FIFO.
    """

    def __init__(self, config: ChipConfig | AutapseChip, *, clock_hz: float, baud: int | None = None,
                 fifo: bool = False):
        if fifo and baud is not None:
            raise ValueError(f"a FIFO has no rate; leave baud out, not {baud!r}")
        self.config, self.clock_hz, self.baud, self.fifo = config, clock_hz, baud, fifo
        self._period = None if baud is None else period_of(clock_hz, baud)
        line = Ft245.pins if fifo else {"i_rx": In(1, init=1), "o_tx": Out(1, init=1)}
        super().__init__(line | {"o_lights": Out(len(LIGHTS))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        mesh = isinstance(config, ChipConfig) and config.nodes > 1
        m.submodules.chip = chip = MeshChip(config, status=True) if mesh else Chip(config, status=True)
        status, damaged = chip.o_status, chip.o_status.damaged
        if self.fifo:
            m.submodules.ft245 = line = Ft245(clock_hz=self.clock_hz)
            for name, member in Ft245.pins.items():
                ours, its = getattr(self, name), getattr(line, name)
                m.d.comb += its.eq(ours) if member.flow == In else ours.eq(its)
        else:
            m.submodules.uart = line = Uart(period=self._period)
            m.d.comb += [
                line.i_rx.eq(self.i_rx), self.o_tx.eq(line.o_tx),
                line.i_whole.eq(status.whole), line.i_damaged.eq(status.damaged),
            ]
            damaged = status.damaged | line.o_fault
        connect(m, line.o_line, chip.i_line)
        connect(m, chip.o_line, line.i_line)
        # One slow clock for all lights: each stays lit for one to two of its periods after what it shows.
        tick, slow = Signal(), Signal(range(max(int(self.clock_hz * LIGHT_SECONDS), 2)))
        m.d.sync += [slow.eq(slow - 1), tick.eq(slow == 0)]
        with m.If(slow == 0):
            m.d.sync += slow.eq(max(int(self.clock_hz * LIGHT_SECONDS), 2) - 1)
        events = {"training": status.training, "overflow": status.overflow, "link error": damaged}
        for number, name in enumerate(LIGHTS):
            if name not in events:
                m.d.sync += self.o_lights[number].eq(~chip.o_busy)
                continue
            fresh = Signal(name=f"fresh_{number}")
            with m.If(events[name]):
                m.d.sync += [fresh.eq(1), self.o_lights[number].eq(1)]
            with m.Elif(tick):
                m.d.sync += [fresh.eq(0), self.o_lights[number].eq(fresh & Const(1))]
        return m
