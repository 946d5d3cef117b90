"""cocotb benches of what the link is made of; each runs one test, named by its parameters."""

import random
import zlib

import cocotb

from bench import bench_parameters
from link_peer import stuffed
from stream_agents import Agent, Bench, Sink, Source

PARAMETERS = bench_parameters()


def only(name):
    return cocotb.test(skip=PARAMETERS["part"] != name)


def spiky(count):
    """Random bytes, every third of them a flag or an escape."""
    return bytes(random.choice((0x7E, 0x7D, *(random.randrange(256) for _ in range(4)))) for _ in range(count))


def framed(body):
    return b"\x7e" + body.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e") + b"\x7e"


@only("stuffer")
async def stuffer_follows_its_model(dut):
    source, sink = Source(dut, "i", stall=PARAMETERS["stall"]), Sink(dut, "o", stall=PARAMETERS["stall"])
    bodies = [b"\x7e", b"\x7d", b"\x00", *(spiky(random.randrange(1, 40)) for _ in range(60))]
    for body in bodies:
        source.items += [byte | (place == len(body) - 1) << 8 for place, byte in enumerate(body)]
    bench = Bench(dut, source, sink)
    await bench.start()
    expected = b"".join(map(framed, bodies))
    await bench.until(lambda: len(sink.items) >= len(expected), watchdog=20 * len(expected))
    assert bytes(sink.items) == expected
    if not PARAMETERS["stall"]:
        assert bench.cycle == len(expected)
    for _ in range(10):
        await bench.step()
    assert len(sink.items) == len(expected)


@only("unstuffer")
async def unstuffer_follows_its_model(dut):
    line = [byte if random.random() >= PARAMETERS["stall"] else None for byte in spiky(3000)]
    expected = []
    escaped = inside = False
    for byte in line:
        event = None
        if byte == 0x7E:
            event = ("end", escaped) if inside else None
            escaped = inside = False
        elif byte is not None:
            event = None if byte == 0x7D else byte ^ 0x20 if escaped else byte
            escaped, inside = byte == 0x7D, True
        expected.append(event)
    seen = []
    feed = iter(line)

    def drive():
        byte = next(feed, None)
        dut.i__valid.value = int(byte is not None)
        dut.i__payload.value = random.randrange(256) if byte is None else byte

    def sample():
        value = int(dut.o.value)
        event = ("end", bool(value >> 9 & 1)) if value >> 8 & 1 else value & 0xFF
        seen.append(event if int(dut.o_valid.value) else None)

    bench = Bench(dut)
    dut.i__valid.value = 0
    await bench.start()
    bench.agents.append(Agent(drive, sample))
    for _ in range(len(line) + 1):
        await bench.step()
    assert seen[1:] == expected
    assert sum(event == ("end", True) for event in expected) > 10


@only("crc")
async def crc_follows_zlib(dut):
    content = b""
    shifts = 0
    pending = None
    seen = {"crc": 0, "match": 0, "shift": 0}
    plan = []
    for _ in range(200):
        message = random.randbytes(random.randrange(1, 20))
        if random.random() < 0.7:
            message += zlib.crc32(message).to_bytes(4, "little")
        plan += ["clear", *message, *["shift"] * random.randrange(4)]
    feed = iter(plan)

    def drive():
        nonlocal pending
        pending = next(feed, None) if random.random() >= PARAMETERS["stall"] else None
        is_byte = isinstance(pending, int)
        dut.i_clear.value = int(pending == "clear")
        # What clears forgets the byte of its cycle.
        dut.i_valid.value = int(is_byte or pending == "shift" or (pending == "clear" and random.random() < 0.5))
        dut.i_shift.value = int(pending == "shift" or (not is_byte and random.random() < 0.5))
        dut.i_data.value = pending if is_byte else random.randrange(256)

    def sample():
        nonlocal content, shifts
        kept = 4 - shifts
        assert int(dut.o_crc.value) & (1 << 8 * kept) - 1 == zlib.crc32(content) >> 8 * shifts
        if content and not shifts:
            match = len(content) > 4 and zlib.crc32(content[:-4]).to_bytes(4, "little") == content[-4:]
            assert int(dut.o_match.value) == match
            seen["crc"] += 1
            seen["match"] += match
        seen["shift"] += bool(shifts)
        if pending == "clear":
            content, shifts = b"", 0
        elif pending == "shift":
            shifts += 1
        elif pending is not None:
            content += bytes([pending])

    bench = Bench(dut)
    dut.i_clear.value = dut.i_valid.value = dut.i_shift.value = dut.i_data.value = 0
    await bench.start()
    bench.agents.append(Agent(drive, sample))
    for _ in range(len(plan) * 3):
        await bench.step()
    assert seen["crc"] > 1000 and seen["match"] > 100 and seen["shift"] > 100


class ReceiverModel:
    """What each frame on the line must lead to, from docs/link.md."""

    def __init__(self):
        self.expected, self.gap = 0, False
        self.events, self.payload = [], []

    def frame(self, control, number, ack, payload, *, good=True, fits=True):
        kind = control & 0x0F
        if good and kind == 1 and len(payload) == 4:
            self.expected, self.gap = 0, False
            self.payload.clear()
            self.events.append({"session": 1, "nonce": int.from_bytes(payload, "little")})
            return
        if good and kind == 1 and not payload:
            self.events.append({"asked": 1})
            return
        ordinary = good and kind == 0
        poll = ordinary and bool(control & 0x20)
        ahead = (number - self.expected) % 256
        accept = ordinary and ahead == 0 and (fits or not payload)
        missing = not accept and not (ordinary and ahead >= 128)
        answer = poll or (missing and not self.gap) or (ordinary and bool(payload) and not missing)
        event = {"missing": int(missing and (not self.gap or poll)), "answer": int(answer)}
        if ordinary:
            event |= {"acked": 1, "ack": ack, "resend": int(bool(control & 0x10))}
        self.gap = missing or (self.gap and not accept)
        if accept and payload:
            self.expected = (self.expected + 1) % 256
            self.payload += [byte | (place == len(payload) - 1) << 8 for place, byte in enumerate(payload)]
        if any(event.get(name) for name in ("missing", "answer", "acked")):
            self.events.append({name: value for name, value in event.items() if value or name == "ack"})


FIELDS = {"session": 1, "asked": 1, "acked": 1, "resend": 1, "answer": 1, "missing": 1, "ack": 8, "nonce": 32}


def event_of(word):
    fields = {}
    for name, width in FIELDS.items():
        fields[name] = word & (1 << width) - 1
        word >>= width
    if not fields["session"]:
        del fields["nonce"]
    if not fields["acked"]:
        del fields["ack"]
    return {name: value for name, value in fields.items() if value or name in ("ack", "nonce")}


def random_frames(model, count):
    """Line bytes of frames, most in order, the others every kind of wrong; the model follows them."""
    line = b""
    for _ in range(count):
        control = random.choices((0, 0x10, 0x20, 0x30, 0x01, 0x07), weights=(20, 3, 3, 1, 1, 1))[0]
        ahead = random.choices((0, 1, 5, 127, 128, 250, 255), weights=(20, 2, 1, 1, 1, 1, 2))[0]
        number = (model.expected + ahead) % 256
        payload = random.choice((b"", spiky(1), spiky(4), spiky(random.randrange(2, 60)), bytes(256)))
        ack = random.randrange(256)
        frame = stuffed(bytes([control, number, ack, 9]) + payload)
        good = random.random() < 0.8
        if not good:
            place = random.randrange(1, len(frame) - 1)
            harmed = random.choice((frame[:place] + b"\x7e", frame[:place] + b"\x7d\x7e",
                                    frame[:1] + bytes(400) + frame[1:],
                                    frame[:place] + bytes([frame[place] ^ 0x01]) + frame[place + 1:]))
            if harmed.count(b"\x7e") != 2 or harmed == frame or len(harmed) == 2:
                continue
            # Cut behind its last byte it would be whole.
            frame = harmed
            if frame[:-1] == stuffed(bytes([control, number, ack, 9]) + payload)[:-1]:
                continue
        model.frame(control, number, ack, payload, good=good)
        line += frame
    return line


@only("receiver")
async def receiver_follows_its_model(dut):
    model = ReceiverModel()
    source, sink = Source(dut, "i_line", stall=PARAMETERS["stall"]), Sink(dut, "o_packet")
    events = []

    def sample():
        event = event_of(int(dut.o_event.value))
        if any(event.get(name) for name in ("session", "asked", "missing", "answer", "acked")):
            if event.get("session"):
                sink.items.clear()
            events.append(event)

    bench = Bench(dut, source, sink, Agent(sample=sample))
    await bench.start()
    source.items += random_frames(model, 400)
    await bench.until(lambda: not source.items, watchdog=10 * len(source.items))
    for _ in range(300):
        await bench.step()
    for place, (seen, expected) in enumerate(zip(events, model.events, strict=False)):
        assert seen == expected, f"event {place}: {seen}, expected {expected}"
    assert len(events) == len(model.events)
    assert sink.items == model.payload
    assert {kind for event in events for kind in event} == set(FIELDS)


@only("receiver")
async def payload_is_offered_four_cycles_behind_the_flag(dut):
    source, sink = Source(dut, "i_line"), Sink(dut, "o_packet")
    flags, events = [], []

    def sample():
        flags.extend([bench.cycle] if source.holding and source.items[0] == 0x7E else [])
        events.extend([bench.cycle] if event_of(int(dut.o_event.value)).get("answer") else [])

    bench = Bench(dut, Agent(sample=sample), source, sink)
    await bench.start()
    offset = bench.cycle - sink.time
    source.items += stuffed(bytes([0, 0, 0, 9]) + b"payload") + stuffed(bytes([0, 1, 0, 9]) + b"more")
    await bench.until(lambda: len(sink.items) == 11, watchdog=200)
    assert sink.times[0] + offset - flags[1] == sink.times[7] + offset - flags[3] == 4
    assert [event - flag for event, flag in zip(events, flags[1::2], strict=True)] == [3, 3]


@only("full")
async def a_full_ring_drops_frames_and_says_so(dut):
    model = ReceiverModel()
    source, sink = Source(dut, "i_line"), Sink(dut, "o_packet", stall=1.0)
    bench = Bench(dut, source, sink)
    await bench.start()
    ring = PARAMETERS["ring"]
    sizes = [256] * (ring // 256 - 1) + [200, 100, 56]
    windows = []
    for number, size in zip([*range(len(sizes) - 1), len(sizes) - 2], sizes, strict=True):
        payload = spiky(size)
        model.frame(0, number, 0, payload, fits=size != 100)
        source.items += stuffed(bytes([0, number, 0, 1]) + payload)
        await bench.until(lambda: not source.items, watchdog=2000)
        for _ in range(5):
            await bench.step()
        state = int(dut.o_state.value)
        windows.append(state >> 8)
        assert state & 0xFF == model.expected
    assert windows == [*range(ring // 256 - 1, 0, -1), 0, 0, 0]
    sink.stall = 0.3
    await bench.until(lambda: len(sink.items) >= len(model.payload), watchdog=4 * ring)
    assert sink.items == model.payload
    assert len(model.payload) == ring
    for _ in range(3):
        await bench.step()
    assert int(dut.o_state.value) >> 8 == ring // 256
