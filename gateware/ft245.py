"""A line of bytes over the parallel FIFO of an FTDI chip: FT245 style, asynchronous, as an FT232H or FT2232H has."""

from math import ceil
from typing import ClassVar

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

# Nanoseconds of the data sheets (FT2232H, DS_FT2232H, "FT245 style asynchronous FIFO"), pins of an FPGA included:
# strobes are at least 30 long, data comes at most 14 after RD# and must stand 5 before WR#.
STROBE_NS = 50.0
SETUP_NS = 15.0
# RXF# and TXE# go up at most 14 after a strobe's end or beginning, and stay there for 49; so long nothing is read or
# driven, which also leaves the bus time to turn.
REST_NS = 30.0
_SYNC = 2               # cycles until a pin's change is seen


def cycles_of(clock_hz: float, nanoseconds: float) -> int:
    """Whole cycles that last at least so long, one at least."""
    return max(ceil(clock_hz * nanoseconds * 1e-9), 1)


class Ft245(wiring.Component):
    """Both ways of an FTDI chip's FIFO, in bytes.

    The host sees a serial port whose rate means nothing. A byte waits in the FTDI chip until `o_line` takes the one
    before, so nothing is lost. Where bytes wait in both directions they take turns.

    A byte that comes takes strobe + rest + 1 cycles, one that goes setup + strobe + rest + 1, each at least, where
    strobe, setup and rest are `strobe`, `setup` and `rest` of the object.

    Parameters
    ----------
    clock_hz : of the domain sync

    Members
    -------
    i_rxf, i_txe : pins; low: a byte can be read, a byte can be written
    i_data, o_data, o_drive : the eight pins of the bus, driven from here while `o_drive`
    o_rd, o_wr : pins; low while a byte is read, or written
    o_line : bytes received
    i_line : bytes to send
    """

    pins: ClassVar = {"i_rxf": In(1, init=1), "i_txe": In(1, init=1), "i_data": In(8), "o_data": Out(8),
                      "o_drive": Out(1), "o_rd": Out(1, init=1), "o_wr": Out(1, init=1)}

    def __init__(self, *, clock_hz: float):
        self.strobe, self.setup = cycles_of(clock_hz, STROBE_NS), cycles_of(clock_hz, SETUP_NS)
        self.rest = cycles_of(clock_hz, REST_NS) + _SYNC
        super().__init__(self.pins | {"o_line": Out(stream.Signature(8)), "i_line": In(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        rxf, txe = Signal(init=1), Signal(init=1)
        m.submodules.rxf_sync = FFSynchronizer(self.i_rxf, rxf, init=1, stages=_SYNC)
        m.submodules.txe_sync = FFSynchronizer(self.i_txe, txe, init=1, stages=_SYNC)
        left = Signal(range(max(self.strobe, self.setup, self.rest)))
        sent = Signal()     # the last byte went, so one that comes is first now
        with m.If(self.o_line.ready):
            m.d.sync += self.o_line.valid.eq(0)
        readable, writable = ~rxf & ~self.o_line.valid, ~txe & self.i_line.valid
        m.d.sync += left.eq(left - 1)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(readable & (sent | ~writable)):
                    m.d.sync += [self.o_rd.eq(0), left.eq(self.strobe - 1)]
                    m.next = "READ"
                with m.Elif(writable):
                    m.d.comb += self.i_line.ready.eq(1)
                    m.d.sync += [self.o_data.eq(self.i_line.payload), self.o_drive.eq(1), left.eq(self.setup - 1)]
                    m.next = "SETUP"
            with m.State("READ"):
                with m.If(left == 0):
                    # What has long stood on the bus needs no synchroniser.
                    m.d.sync += [self.o_rd.eq(1), self.o_line.valid.eq(1), self.o_line.payload.eq(self.i_data),
                                 sent.eq(0), left.eq(self.rest - 1)]
                    m.next = "REST"
            with m.State("SETUP"):
                with m.If(left == 0):
                    m.d.sync += [self.o_wr.eq(0), left.eq(self.strobe - 1)]
                    m.next = "WRITE"
            with m.State("WRITE"):
                with m.If(left == 0):
                    m.d.sync += [self.o_wr.eq(1), sent.eq(1), left.eq(self.rest - 1)]
                    m.next = "REST"
            with m.State("REST"):
                m.d.sync += self.o_drive.eq(0)
                with m.If(left == 0):
                    m.next = "IDLE"
        return m
