"""The chip's end of the host link."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.contract.link import MAX_PAYLOAD, RECEIVE_BYTES, SEND_BYTES, SEND_FRAMES
from .receiver import FrameReceiver
from .sender import FrameSender
from .stream import BYTE


class Link(wiring.Component):
    """Packets over a line of bytes that may flip, lose or repeat some: in order, once each, or not at all.

        i_line ─ Unstuffer ─ FrameReceiver ─ o_packet          one byte per cycle each way
                                  │ events, state
        o_line ─ Stuffer ─── FrameSender ─── i_packet

    All timers live in the host: the chip speaks when it has payload, owes an answer, or has room again.

    Parameters
    ----------
    receive_ring, send_ring : bytes kept; powers of two from 512
    frames : unacknowledged frames kept; a power of two from 2 to 64

    Members
    -------
    i_line : bytes from the host, always taken (`ready` is constantly 1)
    o_line : bytes to the host
    o_packet : received payload; `last` marks the end of a frame
    i_packet : payload to send; `last` lets it leave at once, else it leaves at 256 bytes
    o_session : strobe, the host starts anew; all that was under way is void
    o_busy : bytes move; low where only the host, or whoever takes o_packet, can make them
    o_frames_ok, o_frames_bad : frames that came whole, frames that came damaged, since power-up

    Raises
    ------
    TypeError, ValueError
        If a size is not as said.
    """

    i_line: In(stream.Signature(8))
    o_line: Out(stream.Signature(8))
    o_packet: Out(stream.Signature(BYTE))
    i_packet: In(stream.Signature(BYTE))
    o_session: Out(1)
    o_busy: Out(1)
    o_frames_ok: Out(32)
    o_frames_bad: Out(32)

    def __init__(self, *, receive_ring=RECEIVE_BYTES, send_ring=SEND_BYTES, frames=SEND_FRAMES):
        self.receiver = FrameReceiver(ring=receive_ring)
        self.sender = FrameSender(ring=send_ring, frames=frames, window=receive_ring // MAX_PAYLOAD)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self.receiver
        m.submodules.sender = sender = self.sender
        wiring.connect(m, wiring.flipped(self.i_line), receiver.i_line)
        wiring.connect(m, receiver.o_packet, wiring.flipped(self.o_packet))
        wiring.connect(m, wiring.flipped(self.i_packet), sender.i_packet)
        wiring.connect(m, sender.o_line, wiring.flipped(self.o_line))
        m.d.comb += [
            sender.i_event.eq(receiver.o_event),
            sender.i_state.eq(receiver.o_state),
            self.o_session.eq(receiver.o_event.session),
            self.o_busy.eq(receiver.o_busy | sender.o_busy),
        ]
        with m.If(receiver.o_ok):
            m.d.sync += self.o_frames_ok.eq(self.o_frames_ok + 1)
        with m.If(receiver.o_bad):
            m.d.sync += self.o_frames_bad.eq(self.o_frames_bad + 1)
        return m
