"""What a chip says it is."""

import numpy as np

from ...hw.contract.autapse_chip import MAGIC as AUTAPSE
from ...hw.contract.chip import ARITHMETIC_VERSION, CONTRACT_VERSION
from ...hw.contract.program import MAGIC as LAYERS
from ...hw.contract.program import Space
from ..errors import DeviceError
from ..link.bus import Bus

_OTHERWISE = {
    AUTAPSE: "the device is a chip with an autapse core, which holds networks that begin with an Autapse; add "
             "core=autapse to its name",
    LAYERS: "the device is a chip of layers, without an autapse core; leave core=autapse out of its name",
}


def identity_fields(bus: Bus, *, magic: int, count: int) -> list[int]:
    """The `count` fields of 32 bits behind the identity's magic word and versions.

    Raises
    ------
    DeviceError
        If it is a chip of another kind, or none, or speaks another contract or arithmetic than this driver.
    """
    found, contract, arithmetic = _words(bus, 0, 3)
    if found != magic and found in _OTHERWISE:
        raise DeviceError(_OTHERWISE[found])
    if found != magic:
        raise DeviceError(f"the device answers {found:#010x} where an autapse chip says {magic:#010x}; "
                          "check that this port is the chip's")
    if (contract, arithmetic) != (CONTRACT_VERSION, ARITHMETIC_VERSION):
        raise DeviceError(f"the chip has contract {contract} and arithmetic {arithmetic}, this driver "
                          f"{CONTRACT_VERSION} and {ARITHMETIC_VERSION}; build chip and driver from one version")
    # What lies behind is asked for once its length is known: a chip refuses words that it does not have.
    return _words(bus, 3, count)


def _words(bus: Bus, first: int, count: int) -> list[int]:
    halves = bus.read(Space.IDENTITY, 2 * first, 2 * count).astype(np.uint32)
    return (halves[0::2] | halves[1::2] << 16).tolist()
