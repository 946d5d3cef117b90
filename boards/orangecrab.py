"""OrangeCrab r0.2: ECP5 on a feather. It has no serial bridge: the line is on two of its pins."""

from .board import Board, ecp5
from .presets import large_core, two_lanes

_LIGHTS = {"idle": ("rgb_led", 0, "g"), "training": ("rgb_led", 0, "b"), "overflow": ("rgb_led", 0, "r"),
           "link error": ("rgb_led", 0, "r")}

BOARDS = [
    Board(name=f"orangecrab-{size}f", title=f"OrangeCrab r0.2 {size}F", device=ecp5(size, "CSFBGA285", "8"),
          platform=f"orangecrab_r0_2:OrangeCrabR0_2_{size}FPlatform", clock_hz=48e6, preset=preset, preset_hz=clock,
          lights=_LIGHTS, programmer=("-b", "orangeCrab"), line=("0", "1"), line_attributes={"IO_TYPE": "LVCMOS33"},
          note="line on pins 0 (in, from the adapter's TXD) and 1 (out, to its RXD), 3.3 V: it needs a USB-serial "
               "adapter; to program it, hold its button while plugging it in: its boot loader writes to the flash")
    for size, preset, clock in (("25", two_lanes, 64e6), ("85", large_core, 64e6))
]
