"""The host's end of the link: transports, frames and the bus; the chip's end is `gateware.link`."""

from .bus import Bus, BusError, ReadHandle
from .host import HostLink, NoAnswer, SessionLost
from .serial_port import PortError, SerialTransport
from .statistics import LinkStatistics
from .transport import LinkError, ProcessTransport, Transport

__all__ = ["Bus", "BusError", "HostLink", "LinkError", "LinkStatistics", "NoAnswer", "PortError", "ProcessTransport",
           "ReadHandle", "SerialTransport", "SessionLost", "Transport"]
