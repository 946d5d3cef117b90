"""An autapse network as plain data: one neuron visited as N nodes in order, and which delayed spikes each node takes.

docs/autapse.md states the arithmetic. The driver, the golden model's device and the gateware read this and nothing
else; weights, biases and prototypes are state, not description.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

STRUCTURES = ("reservoir", "mlp", "conv")
READOUTS = ("count", "prototype", "linear")
RESETS = ("hard", "soft")
INPUTS = ("dense", "pixel")
MOST_NODES = 8192

Edges = tuple[tuple[tuple[int, int], ...], ...]  # per node (delay, weight index), delays ascending


@dataclass(frozen=True, kw_only=True)
class AutapseSpec:
    """One autapse network. Numbers that the arithmetic uses are floats that binary16 holds exactly.

    Fields
    ------
    inputs : int
        Spike trains per external step.
    segments : tuple[int, ...]
        Nodes of each segment, in order; a reservoir has one segment. Nodes count from 0 through all of them.
    edges
        Per node its (delay, weight index) pairs, delays ascending. Node n takes the spike of node n - delay.
    structure
        "reservoir", "mlp" or "conv": what the edges are, for people and reports. The arithmetic looks at the edges.
    weights : int
        Stored edge weights; several edges may name the same one.
    input
        "dense": a weight from every input to every node of the first segment. "pixel": node n of the first segment
        sees input n alone, and all of them share one weight.
    bias : bool
        Whether each node has a bias.
    leak, threshold, half_width, reset, detach, strict
        λ between nodes (0: off), θ, h, and what they mean in design's rules of arithmetic.
    recurrent : bool
        Delays may reach past the first node, into the sweep before.
    carry : bool
        A sweep's membrane starts with what the last sweep left.
    time_invariant : bool
        Edges of equal delay share one weight.
    read_from : int
        The first node that is read; the last is the last node.
    readout
        "count": spikes of each read node, one per class. "prototype": the class of the nearest prototype.
        "linear": layers follow that see the read nodes as inputs.
    classes : int
        Classes of "count" and "prototype"; 0 for "linear".
    units : int
        Units side by side, each computing every units-th node. They change the latency and never a bit.

    Raises
    ------
    ValueError
        One sentence: what is wrong, where, and what to do.
    """

    inputs: int
    segments: tuple[int, ...]
    edges: Edges = field(repr=False)
    structure: str
    weights: int
    input: str = "dense"
    bias: bool = True
    leak: float = 0.0
    threshold: float = 1.0
    half_width: float = 0.5
    reset: str = "hard"
    detach: bool = False
    strict: bool = False
    recurrent: bool = False
    carry: bool = False
    time_invariant: bool = False
    read_from: int = 0
    readout: str = "count"
    classes: int = 0
    units: int = 1

    def __post_init__(self):
        whole(self.inputs, "inputs of an autapse network", 1)
        if not self.segments:
            raise ValueError("an autapse network needs at least one segment of nodes")
        for size in self.segments:
            whole(size, "nodes of a segment", 1)
        whole(self.nodes, "nodes of an autapse network", 1, MOST_NODES)
        for name, known in (("structure", STRUCTURES), ("readout", READOUTS), ("reset", RESETS), ("input", INPUTS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} of an autapse network must be {', '.join(known)}, not "
                                 f"{getattr(self, name)!r}")
        if self.input == "pixel" and self.inputs != self.segments[0]:
            raise ValueError(f"input 'pixel' gives each node of the first segment one input, but there are "
                             f"{self.inputs} inputs and {self.segments[0]} nodes; use 'dense'")
        for name in ("bias", "detach", "strict", "recurrent", "carry", "time_invariant"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} of an autapse network must be True or False, not {getattr(self, name)!r}")
        for name in ("leak", "threshold"):
            _binary16(getattr(self, name), name)
        if not 0 <= self.leak <= 1:
            raise ValueError(f"leak must be from 0 (off) to 1, not {self.leak!r}")
        if math.frexp(self.half_width)[0] != 0.5:
            raise ValueError(f"half_width must be a power of two, not {self.half_width!r}")
        if not 0 <= self.read_from < self.nodes:
            raise ValueError(f"read_from must be a node from 0 to {self.nodes - 1}, not {self.read_from!r}")
        self._check_readout()
        self._check_edges()
        self._check_units()

    @property
    def nodes(self) -> int:
        """N, nodes of a sweep."""
        return sum(self.segments)

    @property
    def read_nodes(self) -> int:
        return self.nodes - self.read_from

    @property
    def input_nodes(self) -> int:
        """Nodes that see the inputs: the first segment."""
        return self.segments[0]

    @property
    def input_weights(self) -> int:
        """Stored words from inputs to nodes, [input, node] row by row where dense."""
        return self.inputs * self.input_nodes if self.input == "dense" else 1

    @property
    def longest(self) -> int:
        """The longest delay: bits of the spike delay line."""
        return max((delay for node in self.edges for delay, _ in node), default=0)

    @property
    def trainable(self) -> bool:
        """Whether the rules train its own weights, rather than those of what reads it alone."""
        return not (self.recurrent or self.carry)

    def code_bits(self, steps: int) -> int:
        """Bits of the code that prototypes are compared with, and of each prototype."""
        return self.read_nodes * steps

    def starts(self) -> list[int]:
        """The first node of each segment."""
        return [sum(self.segments[:index]) for index in range(len(self.segments))]

    def _check_readout(self) -> None:
        whole(self.classes, "classes", 0 if self.readout == "linear" else 1)
        if self.readout == "count" and self.classes != self.read_nodes:
            raise ValueError(f"readout 'count' gives each of the {self.read_nodes} read nodes a class, but there are "
                             f"{self.classes} classes; use 'prototype' or a last segment of {self.classes} nodes")
        if self.readout == "linear" and self.classes:
            raise ValueError(f"readout 'linear' has no classes of its own (not {self.classes}); the layers that follow "
                             "have")

    def _check_edges(self) -> None:
        nodes = self.nodes
        if len(self.edges) != nodes:
            raise ValueError(f"edges must list the delays of each of the {nodes} nodes, not of {len(self.edges)}")
        by_delay: dict[int, int] = {}
        for node, pairs in enumerate(self.edges):
            last = 0
            for delay, weight in pairs:
                if not last < delay <= nodes:
                    raise ValueError(f"delays of node {node} must ascend from 1 to {nodes}, not reach {delay} after "
                                     f"{last}")
                last = delay
                if delay > node and not self.recurrent:
                    raise ValueError(f"delay {delay} of node {node} reaches {delay - node} before the first node; take "
                                     f"delays up to {node} there, or make the network recurrent")
                if not 0 <= weight < self.weights:
                    raise ValueError(f"delay {delay} of node {node} names weight {weight}, but there are "
                                     f"{self.weights}")
                if self.time_invariant and by_delay.setdefault(delay, weight) != weight:
                    raise ValueError(f"a time-invariant network has one weight per delay, but delay {delay} of node "
                                     f"{node} names weight {weight} and an earlier one {by_delay[delay]}")

    def _check_units(self) -> None:
        whole(self.units, "units", 1, self.nodes)
        if self.units == 1:
            return
        if self.leak:
            raise ValueError(f"{self.units} units side by side need leak 0: with a leak each node follows the one "
                             "before")
        for node, pairs in enumerate(self.edges):
            if pairs and pairs[0][0] <= node % self.units:
                raise ValueError(f"delay {pairs[0][0]} of node {node} is within one group of {self.units} units, which "
                                 "spike together; take fewer units")

    def as_dict(self) -> dict:
        """Plain JSON values from which `AutapseSpec.from_dict` makes the same."""
        result = {name: getattr(self, name) for name in self.__dataclass_fields__}
        edges = [[list(pair) for pair in node] for node in self.edges]
        return result | {"segments": list(self.segments), "edges": edges}

    @classmethod
    def from_dict(cls, description: dict) -> "AutapseSpec":
        """From `as_dict`."""
        rest = dict(description)
        edges = tuple(tuple((int(delay), int(weight)) for delay, weight in node) for node in rest.pop("edges"))
        return cls(**rest | {"segments": tuple(rest["segments"]), "edges": edges})


def check_prototypes(spec: AutapseSpec, prototypes: Sequence[Sequence[int]], steps: int) -> None:
    """Refuses prototypes, one row of 0 and 1 per class, that do not fit the code of `steps` external steps.

    Raises
    ------
    ValueError
        If there are too few or too many, one has another length, or a bit is neither 0 nor 1.
    """
    if len(prototypes) != spec.classes:
        raise ValueError(f"there must be one prototype for each of {spec.classes} classes, not {len(prototypes)}")
    bits = spec.code_bits(steps)
    for index, row in enumerate(prototypes):
        if len(row) != bits:
            raise ValueError(f"prototype {index} must have {bits} bits ({spec.read_nodes} read nodes x {steps} steps), "
                             f"not {len(row)}")
        if not set(map(int, row)) <= {0, 1}:
            raise ValueError(f"prototype {index} must hold 0 and 1 alone")


def _binary16(value: float, what: str) -> None:
    """Refuses what binary16 does not hold exactly."""
    try:
        exact = math.isfinite(value) and struct.unpack("<e", struct.pack("<e", value))[0] == value
    except (OverflowError, struct.error, TypeError):
        exact = False
    if not exact:
        raise ValueError(f"{what} must be a number that binary16 holds exactly, not {value!r}")


def whole(value: int, what: str, least: int, most: int | None = None) -> None:
    """Refuses what is no whole number from `least` to `most`; `what` begins the message."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        bound = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{what} must be a whole number {bound}, not {value!r}")
