"""Bytes without end against the chip's end of the host link, in Verilator beside a model in C++."""

import json
import subprocess
from pathlib import Path

from ...gateware.link import Link
from ...gateware.simulator.build import build_simulator
from ...gateware.simulator.outside import Outside

KINDS = ("in order", "bits flipped", "a burst of up to 32 bits", "bytes lost", "a byte more", "ended early",
         "one flag between frames", "noise", "not the next", "too long or too short", "of no kind",
         "another checksum", "flags and escapes alone", "two bytes exchanged")
"""Of frames, in the order of the harness's counts."""

_BYTE, _STREAM = ("payload", "valid", "ready"), {"i": (False, False, True), "o": (True, True, False)}
OUTSIDE = Outside(
    what="a link to fuzz", harness=Path(__file__).with_name("harness.cpp"),
    ports={(f"{way}_{name}", field): out for way in "io" for name in ("line", "packet")
           for field, out in zip(_BYTE, _STREAM[way], strict=True)}
    | {(name,): True for name in ("o_session", "o_busy", "o_frames_ok", "o_frames_bad")},
    start="top.clk = top.i_line_valid = top.i_packet_valid = 0; top.o_line_ready = top.o_packet_ready = 1;")


class FuzzError(Exception):
    """The link did what its model does not; the message says what, after how many bytes."""


def fuzz(size: int, *, seed: int, cache_dir=None, component=None) -> dict:
    """Sends at least `size` bytes and returns counts: bytes, cycles, frames judged, good, bad and accepted, and KINDS.

    Parameters
    ----------
    component : in place of the link, one with its ports

    Raises
    ------
    FuzzError
        If the link hands on, counts or answers anything else than the model, holds the line back, or stays busy.
    """
    program = build_simulator(component or Link(), outside=OUTSIDE, cache_dir=cache_dir)
    done = subprocess.run([program, str(size), str(seed)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FuzzError(f"seed {seed}: {done.stderr.strip() or f'ended with code {done.returncode}'}")
    found = json.loads(done.stdout)
    return found | {"kinds": dict(zip(KINDS, found["kinds"], strict=True))}
