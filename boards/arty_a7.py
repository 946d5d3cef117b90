"""Digilent Arty A7-100: Artix-7. A project for Vivado is made, and an estimate with Yosys."""

from .board import Board, Device
from .presets import large_core

BOARDS = [
    Board(name="arty-a7-100", title="Arty A7-100", platform="arty_a7:ArtyA7_100Platform", clock_hz=100e6,
          bridge="FT2232H",
          device=Device(name="xc7a100tcsg324-1", family="xilinx", cells=63400, registers=126800, dsp=240,
                        block_ram=135),
          preset=large_core, preset_hz=62.5e6, programmer=("-b", "arty_a7_100t"),
          lights={"idle": ("led", 0, ""), "training": ("led", 1, ""), "overflow": ("led", 2, ""),
                  "link error": ("led", 3, "")}),
]
