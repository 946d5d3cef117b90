"""A board's design: its oscillator, the clock made of it, and the top."""

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Instance, IOBufferInstance, IOPort, Module, Signal

from ..boards.board import LIGHTS, Board
from ..hw.contract.autapse_chip import AutapseChip
from ..hw.contract.chip import ChipConfig
from .pll import PLLS
from .top import Top


class BoardTop(Elaboratable):
    """`Top` behind a board's pins, at the clock that its PLL makes.

    The clock starts when the PLL has locked; until then every register keeps the value that the bitstream gave it, so
    there is no reset. On an iCE40, whose clocks cannot be held, registers start on a clock that may still be drifting:
    nothing is under way before the host's first byte, by when it has long settled.

    Parameters
    ----------
    clock_hz : asked for; `clock_hz` of the object is what the PLL really makes
    baud, fifo : as for `Top`

    Attributes
    ----------
    ports : {name: Signal, or IOPort where both ends drive}, the pins as `Board.pins` names them

    Raises
    ------
    PllError, ValueError
        If that clock, or that rate of it, cannot be had.
    """

    def __init__(self, board: Board, config: ChipConfig | AutapseChip, *, clock_hz: float, baud: int | None = None,
                 fifo: bool = False):
        self.board, self.config = board, config
        self.pll = PLLS[board.device.family](board.clock_hz, clock_hz)
        self.settings = self.pll.compute()
        self.clock_hz = self.settings.output_hz
        self.top = Top(config, clock_hz=self.clock_hz, baud=baud, fifo=fifo)
        self._pins = board.pins(fifo=fifo)
        self.ports = {name: IOPort(1, name=name) if name.startswith("data_") else Signal(name=name)
                      for name in self._pins}

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = self.top
        source = self.ports["clk"]
        if "clk_n" in self.ports:
            source = Signal(name="clock_in")
            m.submodules.clock_buffer = Instance("IBUFDS", i_I=self.ports["clk"], i_IB=self.ports["clk_n"], o_O=source)
        clock, locked = self.pll.create(m, source)
        m.domains.sync = ClockDomain("sync", reset_less=True)
        if self.board.device.family == "ecp5":
            m.submodules.clock_gate = Instance("DCCA", i_CLKI=clock, i_CE=locked, o_CLKO=ClockSignal())
        else:
            m.d.comb += ClockSignal().eq(clock)
        self._connect_fifo(m) if top.fifo else self._connect_line(m)
        for number, place in enumerate(self.board.light_places()):
            shown = [top.o_lights[k] for k, name in enumerate(LIGHTS) if self.board.lights.get(name) == place]
            lit = shown[0]
            for light in shown[1:]:
                lit = lit | light
            pin = self._pins[f"light_{number}"]
            m.d.comb += self.ports[f"light_{number}"].eq(~lit if pin.inverted else lit)
        return m

    def _connect_line(self, m):
        m.d.comb += [self.top.i_rx.eq(self.ports["rx"]), self.ports["tx"].eq(self.top.o_tx)]

    def _connect_fifo(self, m):
        """OE# is of the synchronous FIFO, SIWU# sends what is less than a packet at once: both rest."""
        top, ports = self.top, self.ports
        m.d.comb += [top.i_rxf.eq(ports["rxf"]), top.i_txe.eq(ports["txe"]), ports["rd"].eq(top.o_rd),
                     ports["wr"].eq(top.o_wr), ports["oe"].eq(1), ports["siwu"].eq(1)]
        for bit in range(8):
            m.submodules[f"data_{bit}"] = IOBufferInstance(
                ports[f"data_{bit}"], i=top.i_data[bit], o=top.o_data[bit], oe=top.o_drive)
