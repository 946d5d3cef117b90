"""cocotb bench of the chip's sending half against a host that loses frames, asks again and acknowledges late."""

import random
import zlib

import cocotb

from autapse.hw.contract.link import LINK_VERSION
from bench import bench_parameters
from stream_agents import Bench, Sink, Source, known

PARAMETERS = bench_parameters()
EXPECTED, WINDOW = 0x7E, 2      # what the receiving half reports


class Host:
    """Drives the event port as the receiving half would, from the frames it finds on the line."""

    def __init__(self, dut, sink, *, lossy):
        self.dut, self.sink, self.lossy = dut, sink, lossy
        self.parsed = 0         # of the sink's bytes
        self.begin = None
        self.frames = []        # (control, number, payload, first cycle, last cycle)
        self.content = {}       # payload by count of frames since the session began
        self.count = 0          # frames taken in order
        self.got = b""
        self.lost = False
        self.event = {}
        self.quiet = False      # no event but those it is given

    def drive(self):
        event = self.event
        self.event = {}
        if not event and not self.quiet and random.random() < 0.02:
            event = {"acked": 1, "ack": (self.count - random.choice((0, 0, 0, 1, 3))) % 256, "resend": int(self.lost)}
            self.lost = False
        word = at = 0
        for name, width in (("session", 1), ("asked", 1), ("acked", 1), ("resend", 1), ("answer", 1),
                            ("missing", 1), ("ack", 8), ("nonce", 32)):
            word |= event.get(name, 0) << at
            at += width
        self.dut.i_event.value = word

    def sample(self):
        items = self.sink.items
        while self.parsed < len(items):
            if items[self.parsed] == 0x7E:
                if self.begin is not None and self.parsed > self.begin + 1:
                    self.take(bytes(items[self.begin + 1:self.parsed]), self.begin, self.parsed)
                    self.begin = None
                else:
                    self.begin = self.parsed
            self.parsed += 1

    def take(self, line, first, last):
        body = line.replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")
        assert zlib.crc32(body[:-4]).to_bytes(4, "little") == body[-4:]
        control, number, ack, window = body[:4]
        payload = body[4:-4]
        assert (ack, window) == (EXPECTED, WINDOW)
        times = self.sink.times
        self.frames.append((control, number, payload, times[first], times[last]))
        if not PARAMETERS["stall"]:
            assert times[last] - times[first] == len(line) + 1
        if control & 0x0F or not payload:
            return
        ahead = (number - self.count + 128) % 256 - 128
        assert -8 <= ahead <= 8
        place = self.count + ahead
        assert self.content.setdefault(place, payload) == payload, f"frame {place} was cut in another way when resent"
        if ahead == 0 and random.random() >= self.lossy:
            self.count += 1
            self.got += payload
        else:
            self.lost = True


async def made(dut, lossy):
    source, sink = Source(dut, "i_packet", stall=PARAMETERS["stall"]), Sink(dut, "o_line", stall=PARAMETERS["stall"])
    host = Host(dut, sink, lossy=lossy)
    dut.i_state.value = EXPECTED | WINDOW << 8
    bench = Bench(dut, source, sink, host)
    await bench.start()
    return bench, source, host


def answers(count, longest):
    items, content = [], b""
    for _ in range(count):
        answer = bytes(random.choice((0x7E, 0x7D, random.randrange(256))) for _ in range(random.randrange(1, longest)))
        items += [byte | (place == len(answer) - 1) << 8 for place, byte in enumerate(answer)]
        content += answer
    return items, content


@cocotb.test()
async def every_byte_comes_in_order_however_often_it_is_asked_for(dut):
    bench, source, host = await made(dut, 0.2)
    expected = b""
    for longest in (700, 5, 40):
        items, content = answers(40, longest)
        source.items += items
        expected += content
    await bench.until(lambda: len(host.got) >= len(expected), watchdog=400 * len(expected))
    assert host.got == expected
    assert max(len(payload) for _, _, payload, *_ in host.frames) == 256
    assert sum(bool(payload) for _, _, payload, *_ in host.frames) > host.count


@cocotb.test()
async def answers_are_given_when_asked_for_and_only_then(dut):
    bench, source, host = await made(dut, 0.0)
    host.quiet = True
    fresh = 0x40    # there was no session yet
    for event, control in (({"answer": 1}, fresh), ({"answer": 1, "missing": 1}, fresh | 0x10), ({"answer": 1}, fresh)):
        before, asked = len(host.frames), host.sink.time
        host.event = event
        await bench.until(lambda before=before: len(host.frames) > before, watchdog=200)
        assert host.frames[-1][:3] == (control, host.count % 256, b"")
        if not PARAMETERS["stall"]:
            assert host.frames[-1][3] - asked == 8
        for _ in range(100):
            await bench.step()
        assert len(host.frames) == before + 1
    assert known(dut.o_busy) == 0
    source.items += [0x41, 0x42]
    for _ in range(100):
        await bench.step()
    assert host.got == b"" and int(dut.o_busy.value) == 0     # nothing ends in `last` yet
    source.items += [0x143]
    await bench.until(lambda: host.got == b"ABC", watchdog=200)


@cocotb.test()
async def a_new_session_starts_at_nothing(dut):
    bench, source, host = await made(dut, 0.3)
    # Short ones meet a frame while it is prepared.
    for delay in (700, 3, 90, 1, *(random.randrange(1, 60) for _ in range(15))):
        source.items += answers(random.choice((1, 10)), random.choice((3, 300)))[0]
        for _ in range(delay):
            await bench.step()
        source.items.clear()
        source.holding = False
        nonce = random.getrandbits(32)
        before = len(host.frames)
        host.event = {"session": 1, "nonce": nonce}
        host.content, host.count, host.lost = {}, 0, False
        take, host.take = host.take, lambda *frame: None    # until the HELLO, what comes means nothing
        await bench.step()
        seen = []

        def hello(line, first, last, seen=seen):
            body = line.replace(b"\x7d\x5e", b"\x7e").replace(b"\x7d\x5d", b"\x7d")
            if body[0] & 0x0F == 1:
                seen.append(body)
        host.take = hello
        await bench.until(lambda seen=seen: seen, watchdog=2000)
        assert seen[0][:8] == bytes([1, LINK_VERSION, EXPECTED, WINDOW]) + nonce.to_bytes(4, "little")
        assert zlib.crc32(seen[0][:-4]).to_bytes(4, "little") == seen[0][-4:]
        host.take, host.got = take, b""
        items, content = answers(5, 100)
        source.items += items
        await bench.until(lambda content=content: len(host.got) >= len(content), watchdog=100000)
        assert host.got == content
        assert len(host.frames) > before
        # Asked whose session it is, it says so, and goes on.
        before = len(host.frames)
        host.event = {"asked": 1}
        await bench.until(lambda before=before: any(frame[0] == 1 for frame in host.frames[before:]), watchdog=2000)
        answer = next(frame for frame in host.frames[before:] if frame[0] == 1)
        assert answer[1:3] == (LINK_VERSION, nonce.to_bytes(4, "little"))


@cocotb.test()
async def the_line_does_not_wait_between_frames(dut):
    bench, source, host = await made(dut, 0.0)
    host.quiet = True
    source.items += [0x41] * 511 + [0x141]
    await bench.until(lambda: len(host.frames) == 2, watchdog=3000)
    if not PARAMETERS["stall"]:
        assert host.frames[1][3] - host.frames[0][4] == 1


@cocotb.test()
async def an_answer_waits_for_one_frame_at_most(dut):
    bench, source, host = await made(dut, 0.0)
    host.quiet = True
    waits = []
    for delay in range(16):
        source.items += [0x7E] * 255 + [0x17E]
        await bench.until(lambda: not source.items, watchdog=3000)
        for _ in range(delay):
            await bench.step()
        before, asked = len(host.frames), host.sink.time
        host.event = {"answer": 1, "acked": 1, "ack": host.count % 256}
        await bench.step()
        await bench.until(lambda: not known(dut.o_busy), watchdog=3000)
        waits.append(host.frames[-1][3] - asked)
        assert len(host.frames) <= before + 2
        host.event = {"acked": 1, "ack": host.count % 256}
        await bench.step()
        await bench.until(lambda: not known(dut.o_busy), watchdog=100)
    if not PARAMETERS["stall"]:
        # The largest of the formula's frame has 8 more escapes, in header and checksum.
        assert 2 * 256 + 8 < max(waits) <= 2 * 264 + 12


@cocotb.test()
async def unacknowledged_frames_are_bounded(dut):
    bench, source, host = await made(dut, 0.0)
    host.quiet = True
    for _ in range(20):
        source.items.append(0x141)
        for _ in range(60):
            await bench.step()
    assert host.count == 4      # `frames` of the design
    assert host.got == b"A" * 4
    source.items += [0x42] * 1000
    for _ in range(3000):
        await bench.step()
    assert host.count == 4 and int(dut.i_packet__ready.value) == 0 and int(dut.o_busy.value) == 0
