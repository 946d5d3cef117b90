"""A board on a serial port."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TypeVar

from ...boards import boards
from ...hw.contract.chip import ChipConfig
from ..compile import check_method, mesh_size
from ..device import Device
from ..errors import DeviceError
from ..link.bus import Bus
from ..link.host import LONGEST_INTERVAL, HostLink, NoAnswer
from ..link.serial_port import BAUD, RECONNECT, SerialTransport
from .autapse import AutapseDevice
from .autapse_runner import read_identity as read_autapse_identity
from .chip import ChipDevice, read_identity

GREETING = 5.0      # seconds that a board is given to answer at all
PATIENCE = 30.0     # seconds of silence of a board that has answered
_FRAMES = 10        # echoes on the line in the time of a full frame and its answer
Chip = TypeVar("Chip")
_FIELDS = {field.name: field.type for field in fields(ChipConfig)}


class SerialDevice(ChipDevice):
    """A board with an autapse chip behind a serial port.

    The port is opened, and the chip asked what it is, when this is made.

    Parameters
    ----------
    port, baud, reconnect, notice
        As of `SerialTransport`.
    patience
        Seconds of silence after which the board is given up although its port is there.
    place
        How a network is spread over a mesh, a name in `compile.METHODS`.
    expected
        Fields of ChipConfig that the chip must have.

    Members
    -------
    link : HostLink
        With `statistics`.

    Raises
    ------
    PortError
        If the port cannot be had.
    DeviceError
        If no chip answers on it, or another one than expected.
    """

    name = "serial"

    def __init__(self, port: str, *, baud: int = BAUD, reconnect: float = RECONNECT, patience: float = PATIENCE,
                 place: str = "even", notice: Callable[[str], None] | None = None, expected: dict | None = None):
        super().__init__()
        check_method(place)
        self.place, self.port, self.baud = place, port, baud
        self._bus, self._config = _answering(port, lambda bus: _compare(port, read_identity(bus), expected or {}),
                                             baud=baud, reconnect=reconnect, patience=patience, notice=notice)
        self._found = self._config

    @property
    def link(self) -> HostLink:
        return self.bus.link

    def connect(self, network, training):
        if training is not None and not self._found.training:
            raise DeviceError(f"the chip on {self.port} was built for inference alone; program one that trains")
        return self.bus, self._found

    def info(self):
        return super().info() | {"port": self.port, "baud": self.baud}


class AutapseSerialDevice(AutapseDevice):
    """A board whose chip has an autapse core. Parameters and errors are those of `SerialDevice`, but for a mesh's."""

    name = "serial"

    def __init__(self, port: str, *, baud: int = BAUD, reconnect: float = RECONNECT, patience: float = PATIENCE,
                 notice: Callable[[str], None] | None = None):
        super().__init__()
        self.port, self.baud = port, baud
        self._found = _answering(port, read_autapse_identity, baud=baud, reconnect=reconnect, patience=patience,
                                 notice=notice)
        self._bus, self._chip = self._found

    def connect(self, program, units):
        return self._found

    def info(self):
        return super().info() | {"port": self.port, "baud": self.baud}


def _answering(port: str, identify: Callable[[Bus], Chip], *, baud: int, reconnect: float, patience: float,
               notice: Callable[[str], None] | None) -> tuple[Bus, Chip]:
    """The bus of the chip on a port, and what `identify` finds it to be; closed if it is none."""
    transport = SerialTransport(port, baud=baud, reconnect=reconnect, notice=notice)
    try:
        bus = Bus(_greeted(transport, patience))
        _pace(bus)
        return bus, identify(bus)
    except BaseException:
        transport.close()
        raise


def _greeted(transport: SerialTransport, patience: float) -> HostLink:
    """The link, once somebody has answered."""
    found = 0

    def counted(count, timeout):
        nonlocal found
        content = read(count, timeout)
        found += len(content)
        return content

    read, transport.read = transport.read, counted
    try:
        return HostLink(transport, patience=patience, greeting=GREETING)
    except NoAnswer:
        what = "nothing came back" if not found else \
            f"{found} bytes came back, but no frame: another device is on this port, or its rate is another"
        raise DeviceError(f"no autapse chip answers on {transport.port} at {transport.baud} baud ({what}); check that "
                          "this is the board's port and that the board is programmed, or state its rate with baud=") \
            from None
    finally:
        transport.read = read


def _pace(bus: Bus) -> None:
    """Polls no more often than the line can answer: a round trip of an echo is a tenth of that of full frames."""
    began = time.monotonic()
    bus.sync()
    link = bus.link
    link.poll = min(max(link.poll, _FRAMES * (time.monotonic() - began)), LONGEST_INTERVAL)


def _compare(port: str, found: ChipConfig, expected: dict) -> ChipConfig:
    """The chip, unless it is not the one expected, field by field."""
    values = asdict(found)
    wrong = [name for name in expected if values[name] != expected[name]]
    if wrong:
        raise DeviceError(f"the chip on {port} has " + ", ".join(f"{name} {values[name]}" for name in wrong)
                          + ", expected was " + ", ".join(f"{name} {expected[name]}" for name in wrong)
                          + "; program the board with the bitstream that was meant, or expect another one")
    return found


def _expected(path: str) -> dict:
    """The preset of a board, or what a JSON file states that `autapse build` or `autapse info` left."""
    known = boards()
    if path in known:
        return asdict(known[path].preset())
    try:
        content = dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise DeviceError(f"the expected chip {path} is no board and cannot be read: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise DeviceError(f"the expected chip {path} is no JSON of one: {error}") from None
    for name, part in (("config", content), ("chip", content), ("chip", content.get("device"))):
        found = part.get(name) if isinstance(part, dict) else None
        if isinstance(found, dict) and found.keys() <= _FIELDS.keys():
            return found
    raise DeviceError(f"{path} states no chip; give the JSON file that autapse build left")


def open_serial(argument: str | None, *, baud: int = BAUD, reconnect: float = RECONNECT, patience: float = PATIENCE,
                place: str = "even", notice: Callable[[str], None] | None = None, expect: str | None = None,
                mesh: str | None = None, core: str | None = None, **expected) -> Device:
    """A board: `argument` is its port. `expect` names a board whose preset it must hold, or a JSON file with the chip;
    fields of ChipConfig, and mesh as columns x rows, do the same one by one. With core="autapse" the chip has an
    autapse core, and says itself what it is. The others are those of `SerialDevice`."""
    if not argument:
        raise DeviceError("name the port of the board, such as serial:/dev/ttyUSB0")
    for name, value, least in (("baud", baud, 1), ("reconnect", reconnect, 0), ("patience", patience, 0)):
        if isinstance(value, (bool, str)) or not value >= least:
            raise DeviceError(f"{name} must be a number of at least {least}, not {value!r}")
    for name in expected:
        if name not in _FIELDS:
            raise DeviceError(f"device 'serial' has no option {name!r}; it has baud, reconnect, patience, place, core, "
                              f"expect, mesh and what else a chip may be expected to have: {', '.join(_FIELDS)}")
    if core == "autapse":
        if expected or mesh is not None or expect is not None or place != "even":
            raise DeviceError("an autapse core stands alone and says what it is; leave all but baud, reconnect and "
                              "patience out")
        return AutapseSerialDevice(argument, baud=baud, reconnect=float(reconnect), patience=float(patience),
                                   notice=notice)
    if core is not None:
        raise DeviceError(f"core of a chip is autapse or left out, not {core!r}")
    if mesh is not None:
        expected["mesh_width"], expected["mesh_height"] = mesh_size(mesh)
    if expect is not None:
        expected = _expected(expect) | expected
    return SerialDevice(argument, baud=baud, reconnect=float(reconnect), patience=float(patience), place=place,
                        notice=notice, expected=expected)
