"""Digilent Genesys 2: Kintex-7. A project for Vivado is made, and an estimate with Yosys."""

from .board import Board, Device
from .presets import mesh_of_four

BOARDS = [
    Board(name="genesys2", title="Genesys 2", platform="genesys2:Genesys2Platform", clock_hz=200e6,
          bridge="FT232R",
          # Of the FT2232H behind the connector PROG; Digilent's Genesys-2-Master.xdc has them, amaranth-boards has not.
          fifo=("AD27", "W27", "W28", "W29", "Y29", "Y28", "AA28", "AA26", "AB29", "AA25", "AB25", "AC27",
                "AC30", "AB28"),
          fifo_attributes={"IOSTANDARD": "LVCMOS33"},
          device=Device(name="xc7k325tffg900-2", family="xilinx", cells=203800, registers=407600, dsp=840,
                        block_ram=445),
          preset=mesh_of_four, preset_hz=80e6, programmer=("-b", "genesys2"),
          lights={"idle": ("led", 0, ""), "training": ("led", 1, ""), "overflow": ("led", 2, ""),
                  "link error": ("led", 3, "")}),
]
