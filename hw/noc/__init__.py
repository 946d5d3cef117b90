"""The network on the chip: routers, the mesh they make, and what stands at its ports."""

from ..contract.noc import Channel, MeshShape, NocConfig
from .counters import LinkCounters
from .host import HostPort
from .mesh import Mesh, connect_links
from .router import Router

__all__ = ["Channel", "HostPort", "LinkCounters", "Mesh", "MeshShape", "NocConfig", "Router", "connect_links"]
