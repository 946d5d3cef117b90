"""LambdaConcept ECPIX-5: ECP5-5G, an FT2232H for JTAG and line."""

from .board import Board, ecp5
from .presets import large_core, medium_core

_LIGHTS = {"idle": ("rgb_led", 0, "g"), "training": ("rgb_led", 1, "b"), "overflow": ("rgb_led", 2, "r"),
           "link error": ("rgb_led", 3, "r")}

BOARDS = [
    Board(name=f"ecpix5-{size}f", title=f"ECPIX-5 {size}F", device=ecp5(f"um5g-{size}", "CABGA554", "8"),
          platform=f"ecpix5:ECPIX5{size}Platform", clock_hz=100e6, bridge="FT2232H", preset=preset, preset_hz=70e6,
          lights=_LIGHTS, programmer=("-b", "ecpix5"),
          note="a board of revision 03 has an FT4232H instead: load it with openFPGALoader -b ecpix5_r03")
    for size, preset in (("45", medium_core), ("85", large_core))
]
