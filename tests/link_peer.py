"""A chip's end of the link in plain Python behind a line that does harm, written from docs/link.md."""

import math
import random
import zlib
from collections import deque

MOST_SENT = 8   # frames on their way to the host at a time


class Harm:
    """Flips bits, loses bytes and sends bytes twice, each at its own rate."""

    def __init__(self, *, seed, flip=0.0, lose=0.0, repeat=0.0):
        self.random = random.Random(seed)
        self.rates = {"flip": flip, "lose": lose, "repeat": repeat}
        self.left = {kind: self.draw(kind) for kind in self.rates}

    def draw(self, kind):
        rate = self.rates[kind]
        return int(math.log(1 - self.random.random()) / math.log1p(-rate)) if rate else 1 << 62

    def strikes(self, kind, units):
        """Where among so many units this kind of harm falls."""
        found = []
        while self.left[kind] < units:
            found.append(self.left[kind])
            self.left[kind] += 1 + self.draw(kind)
        self.left[kind] -= units
        return found

    def through(self, content):
        out = bytearray(content)
        for bit in self.strikes("flip", 8 * len(content)):
            out[bit // 8] ^= 1 << bit % 8
        # From the end, so that places already found stay where they are.
        twice, lost = self.strikes("repeat", len(content)), self.strikes("lose", len(content))
        for place in sorted({*twice, *lost}, reverse=True):
            if place in lost:
                del out[place]
            else:
                out.insert(place, out[place])
        return bytes(out)


def stuffed(body):
    """A body and its checksum on the line, byte by byte."""
    body = body + zlib.crc32(body).to_bytes(4, "little")
    line = bytearray([0x7E])
    for byte in body:
        line += bytes([0x7D, byte ^ 0x20]) if byte in (0x7D, 0x7E) else bytes([byte])
    return bytes(line) + b"\x7e"


class ChipPeer:
    """A transport with the chip inside; it answers each payload with `respond(payload)`.

    `clock` moves only when a read finds nothing, by the time it was willing to wait.
    """

    def __init__(self, *, harm_in, harm_out, respond=lambda payload: payload, room=8, lazy=0.0, seed=1, checked=True,
                 version=3, dead=False):
        self.harm_in, self.harm_out, self.respond = harm_in, harm_out, respond
        self.room, self.lazy, self.checked, self.version, self.dead = room, lazy, checked, version, dead
        self.random = random.Random(seed)
        self.now = 0.0
        self.taken = []             # payloads in the order the chip carried them out
        self.most_waiting = 0
        self.line = bytearray()
        self.body = bytearray()
        self.escaped = False
        self.outages = 0            # as a SerialTransport counts them
        self.power_up()

    def power_up(self):
        """All that was is gone, and no session has begun."""
        self.reset()
        self.nonce, self.fresh = bytes(4), 0x40

    def pull(self):
        """The cable is pulled and put back: what is on the line is lost."""
        self.line.clear()
        self.body.clear()
        self.escaped = False
        self.outages += 1

    def reset(self):
        self.expected = 0
        self.gap = False
        self.waiting = deque()
        self.sent = deque()         # (number, payload) not acknowledged
        self.next = 0
        self.turn = 0               # index in `sent` of the next to transmit
        self.told = self.room

    def clock(self):
        return self.now

    def read(self, count, timeout):
        self.work()
        if not self.line:
            self.now += max(timeout, 1e-4)
            return b""
        content = bytes(self.line[:count])
        del self.line[:count]
        return content

    def write(self, content):
        for byte in self.harm_in.through(content):
            if byte == 0x7E:
                if self.body or self.escaped:
                    self.frame(bytes(self.body))
                self.body.clear()
                self.escaped = False
            elif byte == 0x7D:
                self.escaped = True
            else:
                self.body.append(byte ^ 0x20 if self.escaped else byte)
                self.escaped = False

    def close(self):
        pass

    def frame(self, body):
        if self.dead:
            return
        good = 8 <= len(body) <= 264 and zlib.crc32(body[:-4]).to_bytes(4, "little") == body[-4:]
        if not good and (self.checked or len(body) < 8):
            self.miss(False)
            return
        control, number, ack, _ = body[:4]
        payload = body[4:-4]
        if control & 0x0F == 1:
            if payload:
                self.reset()
                self.nonce, self.fresh = payload, 0
            self.put(1, self.version, self.nonce)
            return
        acknowledged = (ack - (self.next - len(self.sent))) % 256
        if acknowledged <= len(self.sent):
            for _ in range(acknowledged):
                self.sent.popleft()
            self.turn = max(self.turn - acknowledged, 0)
        if control & 0x10:
            self.turn = 0
        ahead = (number - self.expected) % 256
        if 0 < ahead < 128 or (payload and ahead == 0 and len(self.waiting) >= self.room):
            self.miss(control & 0x20)
            return
        if ahead == 0:
            self.gap = False
            if payload:
                self.expected = (self.expected + 1) % 256
                self.waiting.append(payload)
                self.most_waiting = max(self.most_waiting, len(self.waiting))
        if payload or control & 0x20:
            self.put(0, self.number())

    def miss(self, polled):
        if polled or not self.gap:
            self.put(0x10, self.number())
        self.gap = True

    def work(self):
        while self.waiting and self.random.random() >= self.lazy:
            payload = self.waiting.popleft()
            self.taken.append(payload)
            answer = self.respond(payload)
            for start in range(0, len(answer), 256):
                self.sent.append((self.next, answer[start:start + 256]))
                self.next = (self.next + 1) % 256
            if self.told < 2:
                self.put(0, self.number())
        while self.turn < min(len(self.sent), MOST_SENT):
            number, payload = self.sent[self.turn]
            self.turn += 1
            self.put(0, number, payload)

    def number(self):
        return self.sent[self.turn][0] if self.turn < len(self.sent) else self.next

    def put(self, control, number, payload=b""):
        self.told = self.room - len(self.waiting)
        header = bytes([control | self.fresh, number, self.expected, self.told])
        self.line += self.harm_out.through(stuffed(header + payload))
