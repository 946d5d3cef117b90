"""Digilent Genesys 2: Kintex-7. A project for Vivado is made, and an estimate with Yosys."""

from .board import Board, Device
from .presets import mesh_of_four

BOARDS = [
    Board(name="genesys2", title="Genesys 2", platform="genesys2:Genesys2Platform", clock_hz=200e6,
          bridge="FT232R",
          device=Device(name="xc7k325tffg900-2", family="xilinx", cells=203800, registers=407600, dsp=840,
                        block_ram=445),
          preset=mesh_of_four, preset_hz=80e6, programmer=("-b", "genesys2"),
          lights={"idle": ("led", 0, ""), "training": ("led", 1, ""), "overflow": ("led", 2, ""),
                  "link error": ("led", 3, "")}),
]
