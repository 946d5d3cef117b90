"""What is to be known of a board: its device, the pins of clock, line and lights, and the chip it is given."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..hw.contract.chip import ChipConfig

LIGHTS = ("idle", "training", "overflow", "link error")
FIFO_PORTS = (*(f"data_{bit}" for bit in range(8)), "rxf", "txe", "rd", "wr", "oe", "siwu")


class Pin(NamedTuple):
    """A pin of the device: its site, the attributes that its constraints take, whether low means on."""

    site: str
    attributes: dict[str, str]
    inverted: bool = False


@dataclass(frozen=True, kw_only=True)
class Device:
    """An FPGA: how its tools call it and what it has.

    Fields
    ------
    family : "ecp5", "ice40" or "xilinx"
    options : of nextpnr
    speed : grade of an ECP5, which decides the clock: "6" to "8", or "5G"
    cells, registers, dsp, block_ram, large_ram : how many; a cell is a LUT with its carry (ECP5), with its flip-flop
        (iCE40) or a 6-input LUT (Xilinx); block RAM of 18 kbit (ECP5), 4 kbit (iCE40), 36 kbit (Xilinx)
    """

    name: str
    family: str
    cells: int
    registers: int
    dsp: int
    block_ram: int
    large_ram: int = 0
    options: tuple[str, ...] = ()
    speed: str = ""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board.

    Fields
    ------
    name : as users type it
    title : as people say it
    device : what is on it
    platform : "module:Class" of amaranth_boards, which knows the pins
    clock_hz : of the oscillator
    preset : makes the chip that the board gets where nothing else is asked for
    preset_hz : the clock of that chip, which its build meets
    lights : where each of LIGHTS is shown, as (resource, number, part or ""); two may share one
    bridge : the chip between USB and the serial line; "" where the board has none
    line : (rx, tx) as pins of the connector where the board has no serial bridge; None: the resource `uart`
    line_attributes : what the constraints of those two pins take
    fifo : sites of an FTDI chip's FIFO by FIFO_PORTS, low-active but for the data; () where the board has none
    fifo_attributes : what their constraints take
    programmer : what openFPGALoader is told; the board's name is one of `openFPGALoader --list-boards`
    note : what one must know before plugging it in
    """

    name: str
    title: str
    device: Device
    platform: str
    clock_hz: float
    preset: Callable[[], ChipConfig]
    preset_hz: float
    lights: dict[str, tuple[str, int, str]]
    programmer: tuple[str, ...]
    bridge: str = ""
    line: tuple[str, str] | None = None
    line_attributes: dict[str, str] = field(default_factory=dict)
    fifo: tuple[str, ...] = ()
    fifo_attributes: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def load_platform(self):
        """The amaranth-boards platform; ModuleNotFoundError if that package is missing."""
        module, name = self.platform.split(":")
        return getattr(importlib.import_module(f"amaranth_boards.{module}"), name)()

    def pins(self, *, fifo: bool = False) -> dict[str, Pin]:
        """Pins by port of the board's top: clk (and clk_n), rx, tx, light_0 …, one per place in `lights`.

        With `fifo`, FIFO_PORTS in place of rx and tx; ValueError if the board has no FIFO.
        """
        if fifo and not self.fifo:
            raise ValueError(f"{self.title} has no FIFO between USB and its device; leave --line out")
        platform = self.load_platform()
        found: dict[str, Pin] = {}
        clock = platform.lookup(platform.default_clk)
        main, attributes = clock.ios[0], dict(clock.attrs)
        if hasattr(main, "p"):
            found["clk"] = Pin(main.p.names[0], _values(attributes, platform))
            found["clk_n"] = Pin(main.n.names[0], _values(attributes, platform))
        else:
            found["clk"] = Pin(main.names[0], _values(attributes, platform))
        if fifo:
            found |= {port: Pin(site, self.fifo_attributes) for port, site in zip(FIFO_PORTS, self.fifo, strict=True)}
        elif self.line is not None:
            connector = next(value for (name, _), value in platform.connectors.items() if name == "io")
            for port, name in zip(("rx", "tx"), self.line, strict=True):
                found[port] = Pin(connector.mapping[name], self.line_attributes)
        else:
            for port in ("rx", "tx"):
                found[port] = _pin(platform, ("uart", 0, port))
        for number, place in enumerate(self.light_places()):
            found[f"light_{number}"] = _pin(platform, place)
        return found

    def light_places(self) -> list[tuple[str, int, str]]:
        """The different places of lights, in order."""
        return list(dict.fromkeys(self.lights.values()))


def _values(attributes: dict, platform) -> dict[str, str]:
    """Attributes as constraint files take them."""
    values = {name: value(platform) if callable(value) else value for name, value in attributes.items()}
    return {name: str(value) for name, value in values.items() if name != "GLOBAL"}


def _pin(platform, place: tuple[str, int, str]) -> Pin:
    name, number, part = place
    resource = platform.lookup(name, number)
    attributes = dict(resource.attrs)
    pins = resource.ios[0]
    if part:
        chosen = next(io for io in resource.ios if getattr(io, "name", None) == part)
        pins, attributes = chosen.ios[0], attributes | dict(chosen.attrs)
    return Pin(pins.names[0], _values(attributes, platform), pins.invert)


def ecp5(size: str, package: str, speed: str) -> Device:
    """A Lattice ECP5 as nextpnr has it: `size` as in its option, 25 or um5g-85. A 12F is the die of a 25F, of which
    open tools use all."""
    cells, block_ram, dsp = {"12": (24288, 56, 28), "25": (24288, 56, 28), "45": (43848, 108, 72),
                             "85": (83640, 208, 156)}[size.removeprefix("um5g-")[:2]]
    fast = size.startswith("um5g-")     # of 5G parts the logic is faster too, which nextpnr knows
    return Device(name=f"LFE5{size.upper()}F" if fast else f"LFE5U-{size}F", family="ecp5", cells=cells,
                  registers=cells, dsp=dsp, block_ram=block_ram, speed="5G" if fast else speed,
                  options=(f"--{size}k", "--package", package, "--speed", speed))
