"""Proofs about the network: properties of its parts and of small meshes, checked by an SMT solver for all inputs.

Run as `python -m autapse.verification.formal`; docs/noc.md states what is proved, how, and to which depth.
"""

from .check import Result, SolverError, check, prove

__all__ = ["Result", "SolverError", "check", "prove"]
