"""The ways that packets can take through a mesh, from the function that routers are built of: none closes a ring.

With `branches=core_branches` they are those of a mesh without a host, whose routers lack some links (see `turns`).
"""

from graphlib import CycleError, TopologicalSorter
from types import SimpleNamespace

from ...hw.contract.noc import FLIT_BITS, MeshShape, NocConfig
from ...hw.noc import route
from ...hw.noc.flits import OPPOSITE, Side

MOST_CORES = 20
Buffer = tuple[int | str, Side]     # what is behind an output: of a router, by its number, or of the host's port


def taken(shape: MeshShape, node: int, side: Side, mask: int, *, branches=route.branches) -> set[Side]:
    """Outputs that a packet for the nodes of `mask` takes from input `side` of a router."""
    bits = [mask >> bit & 1 for bit in range(shape.nodes + 1)]
    config = NocConfig(mesh=shape, flit_bits=max(FLIT_BITS, shape.nodes + 8))
    x, y = shape.at(node)
    return {out for out, way in branches(config, side, SimpleNamespace(mask=bits), x, y).items() if way}


def has_host(branches) -> bool:
    """Whether a mesh with these ways has a host."""
    return branches.__name__ != "core_branches"


def beside(shape: MeshShape, node: int, side: Side, *, host: bool = True) -> int | None:
    """The place that a link leads to; None at an edge, or where routers have no such link."""
    x, y = shape.at(node)
    if not host and side not in route.turns(shape, host=False):
        return None
    if side == Side.WEST and node == 0 and host:
        return shape.host
    if not host and opposite(shape, side, host=False) == side:
        return node - x + (1 - x) if side == Side.EAST else (1 - y) * shape.width + x
    u = x + (side == Side.EAST) - (side == Side.WEST)
    v = y + (side == Side.SOUTH) - (side == Side.NORTH)
    return v * shape.width + u if 0 <= u < shape.width and 0 <= v < shape.height else None


def opposite(shape: MeshShape, side: Side, *, host: bool = True) -> Side:
    """The other end of a link."""
    return OPPOSITE[side] if OPPOSITE[side] in route.turns(shape, host=host) else side


def ports(shape: MeshShape, node: int, *, host: bool = True) -> list[Side]:
    """Sides of a router that lead somewhere, the core's among them."""
    return [side for side in Side if side == Side.LOCAL or beside(shape, node, side, host=host) is not None]


def ways(shape: MeshShape, node: int, side: Side, *, branches=route.branches) -> set[Side]:
    """Outputs that any packet whatever can take from input `side`: a mask's ways are those of its bits together."""
    found: set[Side] = set()
    for bit in range(shape.nodes + 1):
        if side == Side.LOCAL or reaches(shape, node, side, bit):
            found |= taken(shape, node, side, 1 << bit, branches=branches)
    return found


def reaches(shape: MeshShape, node: int, side: Side, bit: int) -> bool:
    """Whether input `side` is one that a packet for `bit` may be at; a packet that carries more bits is at others too,
    so that only the host's own link is told apart: nothing for the host comes from it."""
    return not (side == Side.WEST and node == 0 and bit == shape.host)


def waits(shape: MeshShape, *, branches=route.branches) -> dict[Buffer, set[Buffer]]:
    """For each buffer behind an output: those that a packet in it may wait for."""
    graph: dict[Buffer, set[Buffer]] = {}
    host = has_host(branches)
    for node in range(shape.nodes):
        for out in ports(shape, node, host=host):
            then = None if out == Side.LOCAL else beside(shape, node, out, host=host)
            graph[node, out] = set() if then in (None, shape.host) else {
                (then, way) for way in ways(shape, then, opposite(shape, out, host=host), branches=branches)}
    if host:
        graph["host", Side.EAST] = {(0, way) for way in ways(shape, 0, Side.WEST, branches=branches)}
    return graph


def ring(shape: MeshShape, *, branches=route.branches) -> list[Buffer]:
    """Buffers that wait for each other in a circle, or none."""
    try:
        TopologicalSorter(waits(shape, branches=branches)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def misled(shape: MeshShape, *, branches=route.branches) -> str:
    """What is wrong with the way from any place to any other, or nothing: it must take one output at each router, all
    of them there, and end at its destination after as many links as there are between the two."""
    host = has_host(branches)
    for source in range(shape.nodes + host):
        for target in range(shape.nodes + host):
            if source == target == shape.host:
                continue
            node, side, links = (0, Side.WEST, 1) if source == shape.host else (source, Side.LOCAL, 0)
            while True:
                outs = taken(shape, node, side, 1 << target, branches=branches)
                if len(outs) != 1 or not outs <= set(ports(shape, node, host=host)):
                    return f"{shape}: from {source} to {target}, at {node}: {len(outs)} ways"
                out = outs.pop()
                if out == Side.LOCAL:
                    break
                node, side, links = beside(shape, node, out, host=host), opposite(shape, out, host=host), links + 1
                if node == shape.host or links > shape.nodes:
                    break
            if node != target or links != shape.hops(source, target):
                return f"{shape}: from {source} to {target}: ends at {node} after {links} links"
    return ""


def missed(shape: MeshShape, source: int, mask: int, *, branches=route.branches) -> str:
    """What is wrong with the tree of a packet to all of `mask`, or nothing: each of them must be reached once, no other
    place, and each router must have a way for what comes to it."""
    found: list[int] = []
    host = has_host(branches)
    at = [(0, Side.WEST) if source == shape.host else (source, Side.LOCAL)]
    while at and len(found) <= shape.nodes:
        node, side = at.pop()
        outs = taken(shape, node, side, mask, branches=branches)
        if not outs:
            return f"{shape}: from {source} to {mask:#x}: no way at {node}"
        for out in outs:
            then = node if out == Side.LOCAL else beside(shape, node, out, host=host)
            if out == Side.LOCAL or then == shape.host:
                found.append(then)
            else:
                at.append((then, opposite(shape, out, host=host)))
    wanted = [node for node in range(shape.nodes + 1) if mask >> node & 1]
    return "" if sorted(found) == wanted else f"{shape}: from {source} to {mask:#x}: reaches {sorted(found)}"


def check_ways(most: int = MOST_CORES, *, all_masks: int = 6, branches=route.branches) -> str:
    """The first thing that is wrong with the ways of any mesh of up to `most` cores, or nothing.

    `ring` and `misled` of each; `missed` with every mask up to `all_masks` cores.
    """
    host = has_host(branches)
    for width in range(1, most + 1):
        for height in range(1, most // width + 1):
            shape = MeshShape(width, height)
            circle = ring(shape, branches=branches)
            wrong = (f"{shape}: {' waits for '.join(map(str, circle))}" if circle
                     else misled(shape, branches=branches))
            if not wrong and shape.nodes <= all_masks:
                wrong = next(filter(None, (
                    missed(shape, source, mask, branches=branches) for source in range(shape.nodes + host)
                    for mask in range(1, (1 + host << shape.nodes) - (source == shape.host) * (1 << shape.nodes)))), "")
            if wrong:
                return wrong
    return ""
