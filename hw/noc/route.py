"""The way through the mesh: first along the row, then along the column."""

from ..contract.noc import NocConfig
from .flits import Side

N, E, S, W, L = Side
TURNS = {N: (S, L), E: (N, S, W, L), S: (N, W, L), W: (N, E, S, L), L: (N, E, S, W, L)}
"""Outputs that a packet may take, by the input it came in at. From the south to the west goes only, at node 0, what is
for the host: with that, no way comes back to where it was, and no ring of packets can wait for each other."""


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
