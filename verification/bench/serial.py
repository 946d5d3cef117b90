"""Bulk words over a serial line: to a board in a box, in the board's own time, or to a board on a port."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ...gateware.simulator import build_simulator, find_simulator
from ...gateware.simulator.demo import DEMO_BAUD, DEMO_CLOCK, MEMORY_SPACE, DemoBoard
from ...gateware.simulator.outside import PINS
from ...sw_driver.device import open as open_device
from ...sw_driver.devices.serial import SerialDevice
from ...sw_driver.doctor import throughput
from ...sw_driver.link import Bus, HostLink, SerialTransport
from . import BenchError

WORDS = 4096
BYTES = 2
BITS = 10       # of a byte on the line: start, eight, stop
_POLL = 0.2     # seconds: the simulated line is slower than a real one


def measure(*, quick: bool, say, device: str | None = None) -> dict:
    """Writes and reads 128 KiB, quick: 32 KiB, of random words; with `device` a board's, as `autapse doctor` does."""
    if device is not None:
        return _on_port(device)
    recipe = f"DemoBoard words={WORDS}"
    program = find_simulator(recipe, outside=PINS) or build_simulator(DemoBoard(words=WORDS), recipe=recipe,
                                                                      outside=PINS, progress=say)
    blocks = (32 if quick else 128) * 1024 // (BYTES * WORDS)
    words = np.random.default_rng(5).integers(1 << 16, size=WORDS, dtype=np.uint16)
    empty, rows = _run(program, 0, lambda bus: None)["busy"], []
    for number, (what, repeat) in enumerate((("write", lambda bus: bus.write(MEMORY_SPACE, 0, words)),
                                             ("read", lambda bus: bus.queue_read(MEMORY_SPACE, 0, WORDS)))):
        say(what, number / 2)
        stats = _run(program, blocks, repeat)
        seconds, payload = (stats["busy"] - empty) / DEMO_CLOCK, blocks * WORDS * BYTES
        rows.append({"what": what, "bytes": payload, "seconds of the board": seconds, "bytes/s": payload / seconds,
                     "raw line, bytes/s": DEMO_BAUD / BITS, "of the raw line": payload / seconds * BITS / DEMO_BAUD,
                     "sent again": stats["resent"]})
    say("done", 1.0)
    return {
        "title": f"Serial line: bulk words to a board in a box, {DEMO_BAUD / 1e6:g} Mbaud at {DEMO_CLOCK / 1e6:g} MHz",
        "settings": {"block": f"{WORDS} words", "blocks": blocks},
        "tables": [{"title": "bulk", "rows": rows}],
        "charts": [{"title": "bytes per second", "unit": "bytes/s", "labels": [row["what"] for row in rows],
                    "series": {"bytes/s": [row["bytes/s"] for row in rows]},
                    "marks": {"raw line": [DEMO_BAUD / BITS] * len(rows)}}],
        "notes": ["a raw line carries a byte in ten bits",
                  "seconds are those in which bytes moved or the chip worked; waiting for the host is not counted"],
    }


def _run(program: Path, repeats: int, repeat) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        port = Path(folder) / "port"
        board = subprocess.Popen([str(program), "--clock", f"{DEMO_CLOCK:.0f}", "--link", str(port), "--stats"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert board.stdout is not None
            if not board.stdout.readline():
                raise BenchError("the board in a box did not start")
            bus = Bus(HostLink(SerialTransport(port), poll=_POLL))
            for _ in range(repeats):
                repeat(bus)
            bus.sync()
            resent = bus.link.statistics.frames_resent
            bus.link.close()
        finally:
            board.terminate()
            _, errors = board.communicate()
    return json.loads(errors.splitlines()[-1]) | {"resent": resent}


def _on_port(name: str) -> dict:
    with open_device(name) as board:
        if not isinstance(board, SerialDevice):
            raise BenchError(f"bench serial needs a board on a port, such as serial:/dev/ttyUSB0, not {name}")
        found = throughput(board.bus, board.config, baud=board.baud).figures
        rows = [{"what": what, "bytes": found["bytes"], "bytes/s": found[f"{what}_bytes_per_second"],
                 "raw line, bytes/s": board.baud / BITS, "of the raw line": found[f"{what}_share"]}
                for what in ("write", "read")]
    return {"title": f"Serial line: bulk words to {name}", "settings": {"baud": board.baud},
            "tables": [{"title": "bulk", "rows": rows}],
            "notes": [f"a round trip takes {1000 * found['round_trip_seconds']:.2f} ms"]}
