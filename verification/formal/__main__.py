"""`python -m autapse.verification.formal [NAME …]`: runs the proofs, or those named, and says what came of each."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ...hw.contract.noc import MeshShape
from ...hw.noc import route
from ...hw.noc.flits import Side
from .check import Result, SolverError, check, prove
from .mesh import MeshContract
from .parts import ArbiterContract, BufferContract, GuardContract
from .router import RouterContract
from .shift import SameBuffer
from .ways import MOST_CORES, check_ways, ports, ways


@dataclass(frozen=True)
class Proof:
    """A contract and how far it is looked at: for ever, or `depth` cycles from reset; the slow ones are left out unless
    asked for."""

    make: Callable
    depth: int | None = None
    slow: bool = False

    def run(self) -> Result:
        return prove(self.make()) if self.depth is None else check(self.make(), depth=self.depth)


@dataclass(frozen=True)
class WaysProof:
    """No ring of waits, and every packet at its places, in all meshes."""

    branches: Callable = route.branches
    depth, slow = None, False

    def run(self) -> Result:
        begin = time.monotonic()
        wrong = check_ways(branches=self.branches)
        return Result(holds=not wrong, proved=not wrong, depth=0, seconds=time.monotonic() - begin, text="",
                      failed=wrong)


def router_of(shape: MeshShape, node: int, rounds: dict[Side, int], *, host: bool = True, **options) -> RouterContract:
    """The contract of a router at its place in a mesh, with the ways that packets can take there."""
    branches = route.branches if host else route.core_branches
    return RouterContract({side: ways(shape, node, side, branches=branches) for side in ports(shape, node, host=host)},
                          rounds, host=host, **options)


# Rounds that are enough; how many depends on the order in which inputs come to the arbiters, too.
_ROUNDS = (
    (MeshShape(2, 2), 0, {Side.EAST: 7, Side.SOUTH: 7, Side.WEST: 7, Side.LOCAL: 8}),
    (MeshShape(2, 2), 1, {Side.SOUTH: 5, Side.WEST: 6, Side.LOCAL: 6}),
    (MeshShape(2, 2), 2, {Side.NORTH: 5, Side.EAST: 6, Side.LOCAL: 6}),
    (MeshShape(2, 2), 3, {Side.NORTH: 7, Side.WEST: 8, Side.LOCAL: 8}),
)
PROOFS = {
    f"ways, up to {MOST_CORES} cores": WaysProof(),
    "ways without a host": WaysProof(route.core_branches),
    "arbiter": Proof(ArbiterContract),
    "buffer": Proof(BufferContract),
    "buffer as a shift register": Proof(SameBuffer),
    "guard": Proof(GuardContract),
    **{f"router {node} of {shape}": Proof(partial(router_of, shape, node, rounds), slow=not node)
       for shape, node, rounds in _ROUNDS},
    "router of 2x2 without a host": Proof(partial(
        router_of, MeshShape(2, 2), 0, {Side.EAST: 5, Side.SOUTH: 5, Side.LOCAL: 6}, host=False)),
    "router 1 of 2x2, 2 flits": Proof(partial(router_of, MeshShape(2, 2), 1, {Side.SOUTH: 12}, flits=2), slow=True),
    "mesh 2x1, 1 channel": Proof(lambda: MeshContract(MeshShape(2, 1), channels=1), depth=10),
    "mesh 2x1, 2 channels": Proof(lambda: MeshContract(MeshShape(2, 1), channels=2), depth=8),
}


def main(arguments=None) -> int:
    """0 if all hold, 1 if one fails, 2 if a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m autapse.verification.formal", description=__doc__.split(": ")[1])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PROOFS)}")
    parser.add_argument("--slow", action="store_true", help="the slow ones, too")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in PROOFS]
    if unknown:
        print(f"formal: there is no proof {unknown[0]!r}; there are {', '.join(PROOFS)}", file=sys.stderr)
        return 2
    failed = False
    for name, proof in PROOFS.items():
        if name not in options.names and (options.names or (proof.slow and not options.slow)):
            continue
        try:
            result = proof.run()
        except SolverError as error:
            print(f"formal: {name}: {error}", file=sys.stderr)
            return 2
        failed |= not result.holds
        extent = ("for ever" if result.proved else f"within {result.depth} cycles of reset"
                  if result.holds else result.failed)
        print(f"{name:<30}{'holds' if result.holds else 'FAILS':<7}{extent:<44}{result.seconds:6.1f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
