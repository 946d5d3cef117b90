"""Traffic over the network on the chip: patterns, what the topology allows, and what the gateware does.

`autapse bench noc` measures; see docs/noc.md.
"""

from .patterns import PATTERNS, Traffic, traffic_of

__all__ = ["PATTERNS", "Traffic", "traffic_of"]
