"""The way through the mesh: first along the row, then along the column."""

from types import SimpleNamespace

from ..contract.noc import MeshShape, NocConfig
from .flits import Side

N, E, S, W, L = Side
TURNS = {N: (S, L), E: (N, S, W, L), S: (N, W, L), W: (N, E, S, L), L: (N, E, S, W, L)}
"""Outputs that a packet may take, by the input it came in at. From the south to the west goes only, at node 0, what is
for the host: with that, no way comes back to where it was, and no ring of packets can wait for each other."""


def turns(mesh: MeshShape, *, host: bool) -> dict[Side, tuple[Side, ...]]:
    """`TURNS`, or without a `host` as much of it as cores need.

    Sides that lead nowhere in any router of the mesh are left out. Where it is two wide each router has one neighbour
    in its row: at EAST, whichever side it is on; where it is two high the one in its column is at SOUTH.
    """
    if host:
        return TURNS
    there = {N: mesh.height > 2, E: mesh.width > 1, S: mesh.height > 1, W: mesh.width > 2, L: True}
    return {side: tuple(out for out in outs if there[out] and (side, out) != (S, W))
            for side, outs in TURNS.items() if there[side]}


def any_of(bits):
    """Whether one of a list of bits is set."""
    result = 0
    for bit in bits:
        result = result | bit
    return result


def branches(config: NocConfig, side: Side, header, x, y) -> dict[Side, object]:
    """For each output that a packet may take from input `side` of the router at (x, y): a bit, whether it must.

    The mask that a packet was sent with is enough: a branch that goes east serves the columns further east, one that
    goes north those rows of this column, and no packet goes back, so each destination is served by one branch.
    """
    mesh, mask = config.mesh, header.mask
    column = {u: any_of(mask[v * mesh.width + u] for v in range(mesh.height)) for u in range(mesh.width)}
    here = [any_of(mask[v * mesh.width + u] & (x == u) for u in range(mesh.width)) for v in range(mesh.height)]
    host = mask[mesh.host]
    ways = {
        N: any_of(here[v] & (y > v) for v in range(mesh.height)) | (host & (x == 0) & (y != 0)),
        E: any_of(column[u] & (x < u) for u in range(mesh.width)),
        S: any_of(here[v] & (y < v) for v in range(mesh.height)),
        W: any_of(column[u] & (x > u) for u in range(mesh.width)) | (host & ((x != 0) | (y == 0))),
        L: any_of(here[v] & (y == v) for v in range(mesh.height)),
    }
    if side == S:   # what is in this column to the west was served before
        ways[W] = host & (x == 0) & (y == 0)
    return {out: ways[out] for out in TURNS[side]}


def core_branches(config: NocConfig, side: Side, header, x, y) -> dict[Side, object]:
    """As `branches`, in a mesh without a host, for the outputs of `turns`."""
    mesh = config.mesh
    mask = [*(header.mask[node] for node in range(mesh.nodes)), 0]
    ways = branches(config, L, SimpleNamespace(mask=mask), x, y)
    if mesh.width == 2:
        ways[E] = ways[E] | ways[W]
    if mesh.height == 2:
        ways[S] = ways[S] | ways[N]
    return {out: ways[out] for out in turns(mesh, host=False)[side]}
