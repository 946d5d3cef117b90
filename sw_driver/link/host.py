"""The host's end of the framed link: order, resends and all timers."""

import os
import time
from collections import deque

from ...hw.contract.link import (
    FRESH,
    KIND_DATA,
    KIND_HELLO,
    KIND_MASK,
    LINK_VERSION,
    MAX_PAYLOAD,
    NONCE_BYTES,
    POLL,
    RESEND,
)
from .frame import Deframer, Frame, encode
from .statistics import LinkStatistics
from .transport import CHUNK, LinkError, Transport

# On a bad line short frames survive where long ones do not; the limit halves with each loss and recovers by steps.
SHARE_LEAST = 32
SHARE_STEP = 8
HOST_WINDOW = 255       # the host takes whatever comes
MOST_IN_FLIGHT = 64     # less than half the sequence numbers, so that old and new cannot be confused
MOST_QUEUED = 512       # frames that `send` lets wait before it waits itself
LONGEST_INTERVAL = 0.5  # seconds between polls of a chip that answers and has nothing to say
MOST_STRANGE = 32       # frames in a row that acknowledge what was never sent, until it is another session's


class NoAnswer(LinkError):
    """Nobody at the other end has answered for too long."""


class SessionLost(LinkError):
    """The chip answers and knows nothing of this session: what was loaded is gone, or another program's now."""


class HostLink:
    """Carries packets to the chip and a stream of bytes back, in order and unharmed, over a line that may do harm.

    Not for use from several threads. Nothing moves between calls: frames are sent, received, acknowledged and asked
    for again inside `send`, `receive` and `flush`.

    A line may go and come back (its `outages` count how often). The chip then still has its numberings, its queues and
    its memories, so the session goes on where it was: both sides send again what the other has not acknowledged, and
    nothing is carried out twice. Before that the chip is asked whose session it is in.

    Parameters
    ----------
    transport : the line
    poll : seconds of silence after which the chip is asked again
    patience : seconds without one whole frame from the chip, in spite of being asked, after which the link is lost;
        a chip that is busy for longer still answers
    greeting : the same for the start of a session; `patience` if None
    clock : seconds, for tests

    Raises
    ------
    NoAnswer
        If the chip does not answer.
    LinkError
        If it speaks another version of the link.
    SessionLost
        Later, if the chip has lost its power, was programmed anew, or served another program meanwhile.
    """

    def __init__(self, transport: Transport, *, poll=0.02, patience=10.0, greeting=None, clock=time.monotonic):
        self.transport = transport
        self.poll = poll
        self.patience = patience
        self.greeting = patience if greeting is None else greeting
        self.statistics = LinkStatistics()
        self._clock = clock
        self._deframer = Deframer()
        self._received = bytearray()
        self._began = clock()
        self.reconnect()

    def reconnect(self):
        """Starts a session: both ends forget what was under way. Raises as the constructor does."""
        self._received.clear()
        self._open = bytearray()    # packets for the next frame
        self._share = MAX_PAYLOAD   # bytes up to which packets share a frame
        self._queue = deque()       # payloads not acknowledged; the first `_in_flight` have been sent
        self._in_flight = 0
        self._resend_until = 0      # frames of the queue that have been sent before
        self._base = 0              # sequence number of _queue[0]
        self._window = 0
        self._expected = 0
        self._gap = False           # a frame from the chip is missing and the chip has been told
        self._ask = False           # the next frame tells it
        self._owe = False           # the chip has not been told what has come
        self._interval = self.poll
        self._heard = self._asked = self._clock()
        self._unanswered = 0
        self._strange = 0
        self._asking = False        # nothing is sent until the chip has said whose session it is in
        self._outages = getattr(self.transport, "outages", 0)
        self.statistics.sessions += 1
        self._nonce = nonce = b"\0" * NONCE_BYTES
        while not any(nonce):       # which is what a chip says that had no session yet
            self._nonce = nonce = os.urandom(NONCE_BYTES)
        hello = encode(Frame(KIND_HELLO, LINK_VERSION, 0, HOST_WINDOW, nonce))
        while True:
            self._write(hello)
            self._unanswered += 1
            self._asked = self._clock()
            while self._clock() - self._asked < self._interval:
                for frame in self._read(self._interval):
                    if frame and frame.control & KIND_MASK == KIND_HELLO and frame.payload == nonce:
                        if frame.seq != LINK_VERSION:
                            raise LinkError(f"The chip speaks version {frame.seq} of the link and this driver "
                                            f"{LINK_VERSION}; install the driver the chip was built with.")
                        self._window = frame.window
                        self._outages = getattr(self.transport, "outages", 0)
                        self._asking = False
                        self._hear()
                        return
            self._give_up_if_silent(self.greeting)
            self._interval = min(2 * self._interval, LONGEST_INTERVAL)

    def send(self, packet: bytes):
        """Queues one packet of 1 to 256 bytes; packets share frames but none is cut. Waits only if much is queued.

        Raises ValueError if the packet's size is not such, LinkError if the link is lost.
        """
        if not 0 < len(packet) <= MAX_PAYLOAD:
            raise ValueError(f"a packet must be 1 to {MAX_PAYLOAD} bytes, not {len(packet)}")
        if self._open and len(self._open) + len(packet) > self._share:
            self._close_frame()
            self._pump(0)
            while len(self._queue) > MOST_QUEUED:
                self._pump(self._interval)
        self._open += packet

    def receive(self, count: int, *, timeout: float | None = None) -> bytes:
        """The next `count` bytes from the chip, after sending all that is queued.

        Waits for as long as the chip answers polls, or `timeout` seconds. Raises LinkError if the link is lost or
        the time is over.
        """
        deadline = None if timeout is None else self._clock() + timeout
        while len(self._received) < count:
            self._pump(self._interval)
            if deadline is not None and self._clock() > deadline and len(self._received) < count:
                raise LinkError(f"The chip is alive but sent {len(self._received)} of {count} bytes within {timeout} s;"
                                " allow more time, or reconnect.")
        content = bytes(self._received[:count])
        del self._received[:count]
        return content

    def receive_available(self) -> bytes:
        """What has come and not been received, without waiting; may be empty. Raises LinkError if the link is lost."""
        self._pump(0)
        content = bytes(self._received)
        self._received.clear()
        return content

    def flush(self):
        """Waits until the chip has accepted, though not yet executed, all that was sent. Raises as `receive` does."""
        self._pump(0)
        while self._queue or self._open:
            self._pump(self._interval)

    def close(self):
        """Closes the transport; what is queued is lost."""
        self.transport.close()

    def _pump(self, wait):
        """Sends what the window allows, reads for up to `wait` seconds, answers, and asks a chip silent for long."""
        self._transmit()
        for frame in self._read(wait):
            self._take(frame)
        self._transmit()
        self.statistics.seconds = self._clock() - self._began
        if wait and self._clock() - max(self._asked, self._heard) >= self._interval:
            self._give_up_if_silent(self.patience)
            self._gap = False   # whatever was asked for may have been lost too
            self._interval = min(2 * self._interval, LONGEST_INTERVAL)
            self._unanswered += 1
            self._asked = self._clock()
            self.statistics.polls += 1
            self._write(self._question() if self._asking else encode(self._frame(POLL)))

    def _question(self):
        return encode(Frame(KIND_HELLO, LINK_VERSION, self._expected, HOST_WINDOW, b""))

    def _recover(self):
        """The line was gone and is back; what was on it is lost."""
        self._outages = getattr(self.transport, "outages", 0)
        self.statistics.outages += 1
        self._deframer.restart()
        self._asking, self._interval = True, self.poll
        self._heard = self._asked = self._clock()   # the time without a line is none of the chip's
        self._unanswered = 0
        self._write(self._question())

    def _answered(self, frame):
        """The chip says whose session it is in; if it is this one, all goes on from what it has."""
        if frame.payload != self._nonce:
            raise SessionLost("The chip is not in this session any more: it lost power, was programmed anew, or served "
                              "another program, and what was loaded is gone or changed; start again, from a "
                              "checkpoint if there is one (--resume).")
        self._asking = False
        self._hear()
        self._acknowledge(frame)
        self._in_flight = 0
        self._gap = self._ask = True    # the chip shall go back too

    def _transmit(self):
        if self._asking:
            return
        if self._open and self._in_flight == len(self._queue) and self._in_flight < self._window:
            self._close_frame()
        last = min(len(self._queue), self._window, MOST_IN_FLIGHT)
        frames = []
        while self._in_flight < last:
            payload = self._queue[self._in_flight]
            # The last frame for now asks for an answer, which tells at once if one before it was lost.
            frames.append(encode(self._frame(POLL if self._in_flight + 1 == last else 0, payload)))
            self._in_flight += 1
            if self._in_flight > self._resend_until:
                self._resend_until = self._in_flight
                self.statistics.frames_sent += 1
                self.statistics.payload_sent += len(payload)
            else:
                self.statistics.frames_resent += 1
        if self._owe or self._ask:
            frames.append(encode(self._frame(0)))
        if frames:
            self._write(b"".join(frames))

    def _frame(self, flags, payload=b""):
        if self._ask:
            flags |= RESEND
        self._ask = self._owe = False
        number = (self._base + self._in_flight) & 0xFF
        return Frame(KIND_DATA | flags, number, self._expected, HOST_WINDOW, payload)

    def _take(self, frame):
        if frame is None:
            self._miss()
            return
        if frame.control & FRESH:
            raise SessionLost("The chip has started anew: it lost power, was reset or programmed again, and what was "
                              "loaded is gone; start again, from a checkpoint if there is one (--resume).")
        if self._asking:
            if frame.control & KIND_MASK == KIND_HELLO:
                self._answered(frame)
            return
        if frame.control & KIND_MASK != KIND_DATA:
            return
        self._hear()
        if self._acknowledge(frame) and frame.control & RESEND:
            self._in_flight = 0
            self._share = max(self._share // 2, SHARE_LEAST)
        ahead = (frame.seq - self._expected) & 0xFF
        if ahead == 0:
            self._gap = False
            if frame.payload:
                self._received += frame.payload
                self._expected = (self._expected + 1) & 0xFF
                self._interval = self.poll
                self.statistics.payload_received += len(frame.payload)
        elif ahead < 0x80:
            self._miss()
        if frame.payload:
            self._owe = True

    def _acknowledge(self, frame):
        """Forgets what the chip has; False if it says that it has what was never sent."""
        acknowledged = (frame.ack - self._base) & 0xFF
        if acknowledged > self._resend_until:
            self._strange += 1
            if self._strange > MOST_STRANGE:
                raise SessionLost("The chip acknowledges what this program never sent: another program uses the port; "
                                  "end that, and start again.")
            return False
        self._strange = 0
        for _ in range(acknowledged):
            self._queue.popleft()
        self._base = frame.ack
        self._in_flight = max(self._in_flight - acknowledged, 0)
        self._resend_until -= acknowledged
        self._window = frame.window
        if acknowledged:
            self._interval = self.poll
            self._share = min(self._share + SHARE_STEP * acknowledged, MAX_PAYLOAD)
        return True

    def _miss(self):
        if not self._gap:
            self._gap = self._ask = True

    def _hear(self):
        self._heard = self._clock()
        self._unanswered = 0

    def _close_frame(self):
        self._queue.append(bytes(self._open))
        self._open.clear()

    def _give_up_if_silent(self, patience):
        silent = self._clock() - self._heard
        if self._unanswered > 3 and silent > patience:
            raise NoAnswer(f"The chip has not answered for {silent:.1f} s, asked {self._unanswered} times; check "
                           "cable and power, then reconnect.")

    def _write(self, content):
        self.statistics.line_sent += len(content)
        self.transport.write(content)
        if getattr(self.transport, "outages", 0) != self._outages:
            self._recover()

    def _read(self, wait):
        content = self.transport.read(CHUNK, wait)
        if getattr(self.transport, "outages", 0) != self._outages:
            self._recover()
        frames = self._deframer.push(content) if content else []
        self.statistics.line_received += len(content)
        self.statistics.frames_received += len(frames) - frames.count(None)
        self.statistics.frames_damaged = self._deframer.damaged
        return frames
