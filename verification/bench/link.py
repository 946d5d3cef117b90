"""Bytes per second and cycles per word through the framed link of a simulated chip."""

import json
import time
from dataclasses import dataclass

import numpy as np

from ...gateware.simulator import build_simulator, find_simulator
from ...gateware.simulator.demo import MEMORY_SPACE, DemoChip
from ...sw_driver.link import Bus, HostLink, ProcessTransport

WORDS = 4096        # of the chip's memory: one block
BYTES = 2           # of a word
ECHOES = 200


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What `repeats` of one operation took: seconds, cycles, and bytes on the line each way."""

    repeats: int
    seconds: float
    cycles: int
    sent: int
    received: int

    def less(self, other: "Sample") -> "Sample":
        """This without what a session takes in any case."""
        return Sample(repeats=self.repeats, seconds=self.seconds, cycles=self.cycles - other.cycles,
                      sent=self.sent - other.sent, received=self.received - other.received)


def measure(*, quick: bool, say) -> dict:
    """Writes and reads blocks of 4096 words, 1 MiB each way, quick: 128 KiB; random words and words of flags alone."""
    recipe = f"DemoChip words={WORDS}"
    program = find_simulator(recipe) or build_simulator(DemoChip(words=WORDS), recipe=recipe, progress=say)
    blocks = (128 if quick else 1024) * 1024 // (BYTES * WORDS)
    random = np.random.default_rng(5).integers(1 << 16, size=WORDS, dtype=np.uint16)
    flags = np.full(WORDS, 0x7E7D, np.uint16)   # every byte is escaped on the line

    def write(words):
        return lambda bus: bus.write(MEMORY_SPACE, 0, words)

    def read(bus):
        bus.read(MEMORY_SPACE, 0, WORDS)

    empty = _run(program, 0, before=None, repeat=None)
    echo = _run(program, ECHOES, before=None, repeat=Bus.sync).less(empty)
    rows, loads = [], (("random words", random), ("flags alone", flags))
    for number, (content, words) in enumerate(loads):
        say(f"{content}, written and read", number / len(loads))
        there = _run(program, blocks, before=None, repeat=write(words)).less(empty)
        back = _run(program, blocks, before=write(words), repeat=read)
        back = back.less(_run(program, 0, before=write(words), repeat=None))
        rows.append(_row("write", content, there, on_line=there.sent, echo=echo))
        rows.append(_row("read", content, back, on_line=back.received, echo=echo))
    say("done", 1.0)
    labels = [f"{row['what']}, {row['content']}" for row in rows]
    return {
        "title": "Link: bulk words through the frames of a simulated chip",
        "settings": {"block": f"{WORDS} words", "bytes each way": blocks * BYTES * WORDS, "echoes": ECHOES},
        "tables": [
            {"title": "bulk", "rows": rows},
            {"title": "echo", "rows": [{"what": "round trip", "microseconds": 1e6 * echo.seconds / echo.repeats,
                                        "cycles": echo.cycles / echo.repeats,
                                        "line bytes": (echo.sent + echo.received) / echo.repeats}]}],
        "charts": [
            {"title": "cycles per word of 16 bits", "unit": "cycles", "labels": labels,
             "series": {"cycles": [row["cycles / word"] for row in rows]},
             "marks": {"raw line": [float(BYTES)] * len(rows)}},
            {"title": "payload per second, driver included", "unit": "bytes/s", "labels": labels,
             "series": {"bytes/s": [row["bytes/s"] for row in rows]}}],
        "notes": ["of the line: payload bytes per cycle; a raw line carries one byte per cycle each way",
                  "echoes: round trips of one word that fit in the time of a block"],
    }


def _row(what: str, content: str, sample: Sample, *, on_line: int, echo: Sample) -> dict:
    payload = sample.repeats * WORDS * BYTES
    return {"what": what, "content": content, "bytes/s": payload / sample.seconds,
            "line bytes / byte": on_line / payload, "cycles / word": sample.cycles / (sample.repeats * WORDS),
            "of the line": payload / sample.cycles,
            "echoes": (sample.seconds / sample.repeats) / (echo.seconds / echo.repeats)}


def _run(program, repeats: int, *, before, repeat) -> Sample:
    """One session: `before` once, then `repeat` so often, each with the bus, then all carried out."""
    transport = ProcessTransport([program, "--stats"])
    bus = Bus(HostLink(transport))
    if before is not None:
        before(bus)
    bus.sync()
    begin = time.perf_counter()
    for _ in range(repeats):
        repeat(bus)
    bus.sync()
    seconds = time.perf_counter() - begin
    line = bus.link.statistics
    bus.link.close()
    # Not before it has ended does the program say how many cycles it ran.
    return Sample(repeats=repeats, seconds=seconds, cycles=json.loads(transport.log)["cycles"], sent=line.line_sent,
                  received=line.line_received)
