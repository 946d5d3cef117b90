"""`python -m autapse.verification.formal [NAME …]`: runs the proofs, or those named, and says what came of each."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ...hw.contract.noc import MeshShape
from .check import Result, SolverError, check
from .mesh import MeshContract
from .parts import ArbiterContract, BufferContract, GuardContract


@dataclass(frozen=True)
class Proof:
    """A contract and how far it is looked at; the slow ones are left out unless asked for."""

    make: Callable
    depth: int
    induction: bool = False
    slow: bool = False

    def run(self) -> Result:
        return check(self.make(), depth=self.depth, induction=self.induction)


PROOFS = {
    "arbiter": Proof(ArbiterContract, depth=12),
    "buffer": Proof(BufferContract, depth=14),
    "guard": Proof(GuardContract, depth=14),
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
        extent = ("for ever, by induction" if result.proved else f"within {result.depth} cycles of reset"
                  if result.holds else result.failed)
        print(f"{name:<28}{'holds' if result.holds else 'FAILS':<7}{extent:<44}{result.seconds:6.1f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
