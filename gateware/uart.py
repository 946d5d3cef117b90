"""A serial line of bytes on two pins: 8 bits, no parity, one stop bit, at a rate that is stated or found by itself."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ..hw.contract.link import FLAG

FRACTION = 3        # bits of a bit time below a cycle
PERIOD_BITS = 16    # of a bit time in eighths of a cycle: down to 8,192 cycles per bit
LEAST_CYCLES = 4    # per bit, for the sampling point to lie inside a bit
LOST = 8            # faults without a whole frame between them, after which a found rate is looked for anew
MOST_BAUD = 3_000_000


def period_of(clock_hz: float, baud: int) -> int:
    """Eighths of a cycle per bit.

    Raises
    ------
    ValueError
        If the clock is too slow or too fast for the rate, or that is none.
    """
    if not baud > 0:
        raise ValueError(f"baud must be a number above 0, not {baud!r}")
    period = round(clock_hz / baud * (1 << FRACTION))
    if not LEAST_CYCLES << FRACTION <= period < 1 << PERIOD_BITS:
        raise ValueError(f"a clock of {clock_hz / 1e6:.3f} MHz makes {clock_hz / baud:.1f} cycles of a bit at {baud} "
                         f"baud; {LEAST_CYCLES} to {(1 << PERIOD_BITS - FRACTION) - 1} can be had: choose another baud")
    return period


class UartReceiver(wiring.Component):
    """Bytes off a line. A byte is given in the middle of its stop bit, or not at all where that is low.

    Members
    -------
    i : the line, already in step with the clock
    i_period : eighths of a cycle per bit
    i_enable : low: nothing is received
    o_valid, o_data : strobe and byte
    o_fault : strobe: a start bit that was none, or a stop bit that was low
    """

    i: In(1, init=1)
    i_period: In(PERIOD_BITS)
    i_enable: In(1)
    o_valid: Out(1)
    o_data: Out(8)
    o_fault: Out(1)

    def elaborate(self, platform):
        m = Module()
        left = Signal(PERIOD_BITS)      # eighths to the next sample
        bits = Signal(8)
        count = Signal(range(8))
        due = Signal()
        m.d.comb += due.eq(left[FRACTION:] == 0)
        m.d.sync += left.eq(left - Const(1 << FRACTION, PERIOD_BITS))
        with m.If(due):
            m.d.sync += left.eq(left + self.i_period - Const(1 << FRACTION, PERIOD_BITS))
        m.d.comb += self.o_data.eq(bits)
        with m.FSM():
            with m.State("IDLE"):
                # From here to the middle of the start bit; the cycle in which it is seen is one of it.
                m.d.sync += left.eq((self.i_period >> 1) - Const(1 << FRACTION, PERIOD_BITS))
                with m.If(self.i_enable & ~self.i):
                    m.next = "START"
            with m.State("START"):
                with m.If(due):
                    m.d.sync += count.eq(0)
                    m.next = "DATA"
                    with m.If(self.i):
                        m.d.comb += self.o_fault.eq(1)
                        m.next = "IDLE"
            with m.State("DATA"):
                with m.If(due):
                    m.d.sync += [bits.eq(Cat(bits[1:], self.i)), count.eq(count + 1)]
                    with m.If(count == 7):
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(due):
                    m.d.comb += [self.o_valid.eq(self.i), self.o_fault.eq(~self.i)]
                    m.next = "IDLE"
                    with m.If(~self.i):
                        m.next = "REST"
            with m.State("REST"):
                # A line held low is one fault, not many.
                with m.If(self.i):
                    m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto a line, ten bit times each, back to back where they come fast enough.

    Members
    -------
    i : bytes
    i_period : eighths of a cycle per bit; read anew for each bit
    o : the line
    """

    i: In(stream.Signature(8))
    i_period: In(PERIOD_BITS)
    o: Out(1, init=1)

    def elaborate(self, platform):
        m = Module()
        bits = Signal(10, init=1)   # the lowest is on the line
        left = Signal(PERIOD_BITS)
        count = Signal(range(11))   # bit times to come, this one too
        due = Signal()
        m.d.comb += [
            due.eq(left[FRACTION:] == 0),
            self.i.ready.eq((count == 0) | ((count == 1) & due)),
            self.o.eq(bits[0]),
        ]
        m.d.sync += left.eq(left - Const(1 << FRACTION, PERIOD_BITS))
        with m.If(due):
            m.d.sync += left.eq(left + self.i_period - Const(1 << FRACTION, PERIOD_BITS))
            with m.If(count != 0):
                m.d.sync += [count.eq(count - 1), bits.eq(Cat(bits[1:], Const(1, 1)))]
        with m.If(self.i.ready):
            with m.If(self.i.valid):
                m.d.sync += [bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))), count.eq(10)]
            with m.If(count == 0):
                m.d.sync += left.eq(self.i_period - Const(1 << FRACTION, PERIOD_BITS))
        return m


class RateFinder(wiring.Component):
    """Measures the first flag byte: two bit times low, six high, one low, and so eight from fall to fall.

    A frame begins with a flag, so the count of cycles from fall to fall is the bit time in eighths of a cycle. What has
    not these proportions, to a quarter, is not taken for a flag. Once found, the rate holds until `LOST` faults came
    without a whole frame among them: then whoever speaks does it at another rate, and the next flag is measured.

    Members
    -------
    i : the line, already in step with the clock
    i_fault : strobe, a byte or frame was damaged
    i_whole : strobe, a frame came whole
    o_period : eighths of a cycle per bit
    o_found : it holds
    o_flag : strobe, a flag was measured, in the first cycle of its stop bit
    """

    i: In(1, init=1)
    i_fault: In(1)
    i_whole: In(1)
    o_period: Out(PERIOD_BITS)
    o_found: Out(1)
    o_flag: Out(1)

    def elaborate(self, platform):
        m = Module()
        low = Signal(PERIOD_BITS)       # cycles of the low stretch before
        both = Signal(PERIOD_BITS)      # and of the high one behind it, together
        count = Signal(PERIOD_BITS)     # of the stretch under way
        faults = Signal(range(LOST))
        full = Signal()
        m.d.comb += full.eq(count.all())

        def near(value, whole):
            """Whether they differ by less than a quarter of `whole`."""
            return (value + (whole >> 2) > whole) & (value < whole + (whole >> 2))

        with m.If(~full):
            m.d.sync += count.eq(count + 1)
        with m.FSM():
            with m.State("QUIET"):
                m.d.sync += count.eq(1)
                with m.If(~self.i & ~self.o_found):
                    m.next = "LOW"
            with m.State("LOW"):
                with m.If(self.i):
                    m.d.sync += [low.eq(count), count.eq(1)]
                    m.next = "HIGH"
            with m.State("HIGH"):
                with m.If(~self.i):
                    m.d.sync += [both.eq(low + count), count.eq(1)]
                    m.next = "LAST"
                with m.If(full):
                    m.next = "QUIET"
            with m.State("LAST"):
                with m.If(self.i):
                    # Where it is no flag, this low stretch may begin one.
                    m.d.sync += [low.eq(count), count.eq(1)]
                    m.next = "HIGH"
                    with m.If(near(low << 2, both) & near(count << 3, both) & (both >= LEAST_CYCLES << FRACTION)):
                        m.d.comb += self.o_flag.eq(1)
                        m.d.sync += [self.o_period.eq(both), self.o_found.eq(1), faults.eq(0)]
                        m.next = "QUIET"
        with m.If(self.o_found):
            with m.If(self.i_whole):
                m.d.sync += faults.eq(0)
            with m.Elif(self.i_fault):
                m.d.sync += faults.eq(faults + 1)
                with m.If(faults == LOST - 1):
                    m.d.sync += self.o_found.eq(0)
        return m


class Uart(wiring.Component):
    """Both ways of a line on pins, in bytes.

    Parameters
    ----------
    period : eighths of a cycle per bit (`period_of`), or None: found from the first frame that comes, see `RateFinder`

    Members
    -------
    i_rx, o_tx : pins
    o_line : bytes received; lost where `ready` is low
    i_line : bytes to send; they wait until the rate is known
    i_whole, i_damaged : strobes of frames that came so
    o_fault : strobe: a byte was damaged
    o_found : the rate is known
    """

    i_rx: In(1, init=1)
    o_tx: Out(1, init=1)
    o_line: Out(stream.Signature(8))
    i_line: In(stream.Signature(8))
    i_whole: In(1)
    i_damaged: In(1)
    o_fault: Out(1)
    o_found: Out(1)

    def __init__(self, *, period: int | None = None):
        self.period = period
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        rx, period, found, flag = Signal(init=1), Signal(PERIOD_BITS), Signal(), Signal()
        m.submodules.rx_sync = FFSynchronizer(self.i_rx, rx, init=1)
        m.submodules.receiver = receiver = UartReceiver()
        m.submodules.transmitter = transmitter = UartTransmitter()
        if self.period is None:
            m.submodules.finder = finder = RateFinder()
            m.d.comb += [
                finder.i.eq(rx), finder.i_whole.eq(self.i_whole), finder.i_fault.eq(self.i_damaged | receiver.o_fault),
                period.eq(finder.o_period), found.eq(finder.o_found), flag.eq(finder.o_flag),
            ]
        else:
            m.d.comb += [period.eq(self.period), found.eq(1)]
        m.d.comb += [
            receiver.i.eq(rx), receiver.i_period.eq(period), receiver.i_enable.eq(found),
            transmitter.i_period.eq(period), self.o_tx.eq(transmitter.o),
            transmitter.i.payload.eq(self.i_line.payload), transmitter.i.valid.eq(self.i_line.valid & found),
            self.i_line.ready.eq(transmitter.i.ready & found),
            self.o_fault.eq(receiver.o_fault), self.o_found.eq(found),
        ]
        # In step with the strobes, so that the link's own logic begins at a register.
        m.d.sync += [
            self.o_line.valid.eq(receiver.o_valid | flag),
            self.o_line.payload.eq(receiver.o_data),
        ]
        with m.If(flag):
            m.d.sync += self.o_line.payload.eq(FLAG)
        return m
