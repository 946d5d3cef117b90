"""Icepi Zero v1.3: ECP5-25F in the shape of a Raspberry Pi Zero, an FT231X for line and JTAG."""

from .board import Board, ecp5
from .presets import small_core

BOARDS = [
    Board(name="icepi-zero", title="Icepi Zero", device=ecp5("25", "CABGA256", "6"),
          platform="icepi_zero:IcepiZero1_3Platform", clock_hz=50e6, bridge="FT231X", preset=small_core, preset_hz=40e6,
          lights={"idle": ("led", 0, ""), "training": ("led", 1, ""), "overflow": ("led", 2, ""),
                  "link error": ("led", 3, "")},
          programmer=("-b", "icepi-zero")),
]
