# amaranth: UnusedElaboratable=no
"""The parts of the link in Verilator and Icarus, each against its model."""

from importlib import import_module
from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench

pytest.importorskip("amaranth")

PARTS = {
    "stuffer": ("stuffing", "Stuffer", {}),
    "unstuffer": ("stuffing", "Unstuffer", {}),
    "crc": ("crc", "Crc32", {}),
    "receiver": ("receiver", "FrameReceiver", {}),
    "full": ("receiver", "FrameReceiver", {"ring": 512}),
    "sender": ("sender", "FrameSender", {"ring": 512, "frames": 4, "window": 2}),
}


def make(part):
    module, name, options = PARTS[part]
    return getattr(import_module(f"autapse.gateware.link.{module}"), name)(**options)


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("part, stall, seed", [
    ("stuffer", 0.0, 1), ("stuffer", 0.4, 2), ("unstuffer", 0.0, 3), ("unstuffer", 0.4, 4), ("crc", 0.3, 5),
    ("receiver", 0.0, 6), ("receiver", 0.3, 7), ("full", 0.0, 8), ("sender", 0.0, 9), ("sender", 0.5, 10),
])
def test_part(part, stall, seed, sim):
    component = make(part)
    module = "bench_link_sender" if part == "sender" else "bench_link_parts"
    run_bench(component, name=f"link_{part}", module=Path(__file__).with_name(f"{module}.py"), sim=sim, seed=seed,
              parameters={"part": part, "stall": stall, "ring": getattr(component, "ring", 0)})


@pytest.mark.parametrize("part, options, kind, message", [
    ("receiver", {"ring": 1000}, ValueError, "^ring must be a power of two of at least 512 bytes, not 1000$"),
    ("receiver", {"ring": 256}, ValueError, "^ring must be a power of two of at least 512 bytes, not 256$"),
    ("receiver", {"ring": 512.0}, TypeError, "^ring must be a whole number of bytes, not 512.0$"),
    ("sender", {"ring": 0}, ValueError, "^ring must be a power of two of at least 512 bytes, not 0$"),
    ("sender", {"frames": 3}, ValueError, "^frames must be a power of two from 2 to 64, not 3$"),
    ("sender", {"frames": 128}, ValueError, "^frames must be a power of two from 2 to 64, not 128$"),
    ("sender", {"frames": True}, TypeError, "^frames must be a whole number, not True$"),
])
def test_sizes_are_checked(part, options, kind, message):
    module, name, _ = PARTS[part]
    with pytest.raises(kind, match=message):
        getattr(import_module(f"autapse.gateware.link.{module}"), name)(**options)
