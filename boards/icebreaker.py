"""1BitSquared iCEBreaker: iCE40 UP5K, an FT2232H for flash and line."""

from ..hw.sequenced.preset import up5k_config
from .board import Board, Device

BOARDS = [
    Board(name="icebreaker", title="iCEBreaker", platform="icebreaker:ICEBreakerPlatform", clock_hz=12e6,
          bridge="FT2232H",
          device=Device(name="iCE40UP5K", family="ice40", cells=5280, registers=5280, dsp=8, block_ram=30, large_ram=4,
                        options=("--up5k", "--package", "sg48")),
          preset=up5k_config, preset_hz=16.5e6, programmer=("-b", "ice40_generic"),
          lights={"idle": ("led_g", 0, ""), "training": ("led_g", 0, ""), "overflow": ("led_r", 0, ""),
                  "link error": ("led_r", 0, "")},
          note="the green light is lit while idle and while training; program always writes to the flash"),
]
