"""Radiona ULX3S: ECP5 of four sizes, an FT231X for line and JTAG."""

from .board import Board, ecp5
from .presets import large_core, medium_core, two_lanes

_LIGHTS = {"idle": ("led", 0, ""), "training": ("led", 1, ""), "overflow": ("led", 2, ""), "link error": ("led", 3, "")}
_SIZES = {"12": (two_lanes, 62.5e6), "25": (two_lanes, 62.5e6), "45": (medium_core, 62.5e6),
          "85": (large_core, 62.5e6)}

BOARDS = [
    Board(name=f"ulx3s-{size}f", title=f"ULX3S {size}F", device=ecp5(size, "CABGA381", "6"),
          platform=f"ulx3s:ULX3S_{size}F_Platform", clock_hz=25e6, bridge="FT231X", preset=preset, preset_hz=clock,
          lights=_LIGHTS, programmer=("-b", "ulx3s"))
    for size, (preset, clock) in _SIZES.items()
]
