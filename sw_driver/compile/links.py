"""The network between cores as a sequence of packets: who waits for which link."""

from . import timing as at
from .routes import Mesh


class Links:
    """Packets over a mesh, in the order of their cycles; a link takes a flit per cycle and a packet as a whole.

    A packet whose last flit a core hands over in cycle t is offered to a core h links away in cycle t + 2 (h + 1), if
    nothing is in its way, and there in full `flits` - 1 cycles later. It waits for the way out of its core, for each
    link and for the way into a core while they carry another packet. Buffers are taken to be large enough that a waiting
    packet holds up nobody but those behind it on its link: under heavy load the true network is slower.
    """

    def __init__(self, mesh: Mesh):
        self._mesh = mesh
        self._free = [0] * len(mesh.links)
        self._out, self._in = [0] * mesh.nodes, [0] * mesh.nodes

    def send(self, when: int, source: int, destinations: tuple[int, ...], flits: int) -> list[int]:
        """The cycle in which each destination has the whole packet that `source` starts to hand over in cycle `when`."""
        begin = max(when, self._out[source])
        self._out[source] = begin + flits
        handed, free = begin + flits - 1, self._free
        tree = self._mesh.tree(source, destinations)
        heads = []
        for link, before in zip(tree.links, tree.before, strict=True):
            head = max(handed if before < 0 else heads[before], free[link])
            free[link] = head + flits
            heads.append(head + at.HOP)
        arrived = []
        for destination, leaf in zip(destinations, tree.leaves, strict=True):
            head = max(handed if leaf < 0 else heads[leaf], self._in[destination])
            self._in[destination] = head + flits
            arrived.append(head + at.HOP + flits - 1)
        return arrived
