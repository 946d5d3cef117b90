"""Which device a bitstream is for, as its first bytes tell: one for another package drives other pins."""

import re
from pathlib import Path

from ..boards.board import Device

__all__ = ["found_in", "made_for"]

_HEAD = 4096    # bytes in which a bitstream says what it is
_PART = re.compile(rb"Part: (LFE5[\w-]+)\0")
# What each family's configuration logic waits for.
_SYNC = {b"\xff\xff\xbd\xb3": "an ECP5", b"\x7e\xaa\x99\x7e": "an iCE40", b"\xaa\x99\x55\x66": "a 7-series device"}
_FAMILIES = {"ecp5": "an ECP5", "ice40": "an iCE40", "xilinx": "a 7-series device"}


def found_in(path: Path) -> str:
    """The part that the file names, else its family, or "no FPGA that is known here". Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if part := _PART.search(head):
        return part[1].decode()
    return next((family for sync, family in _SYNC.items() if sync in head), "no FPGA that is known here")


def made_for(device: Device) -> tuple[str, ...]:
    """What `found_in` may say of a bitstream for this device: its part or, where tools leave that out, its family."""
    family = _FAMILIES[device.family]
    if device.family != "ecp5":
        return family,
    options = dict(zip(device.options[1::2], device.options[2::2], strict=True))
    return f"{device.name}-{options['--speed']}{options['--package']}", family
