"""What the golden model knows of an autapse network: its nodes, which delayed spikes each takes, and in what order.

The rules are those of docs/autapse.md. `autapse_passes.py` computes by them.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from .network import is_power_of_two
from .numeric import EXACT_TERMS


@dataclass(frozen=True, kw_only=True)
class Autapse:
    """One neuron visited as `nodes` nodes per external step.

    Members
    -------
    inputs, nodes, input_nodes : int
        The first `input_nodes` nodes see the inputs: all of them, or where `pixel` node n input n alone.
    targets, delays, indices : numpy.int64, shape (edges,)
        Node `targets` takes the spike of `delays` nodes before, with edge weight `indices`. No edge twice.
    edge_words : int
        Edge weights that are stored.
    read_from : int
        What comes after, and the count, sees the nodes from here on.
    segments : tuple of int or None
        Given where the words are the matrices of a perceptron of these segments: it may be computed as layers then.
    bias, leak, threshold, half_width, soft, detach, strict, recurrent, carry
        As in the rules; leak and threshold are numpy.float16.

    Raises
    ------
    ValueError
        If an edge reaches where there is no node, or a node takes more terms than float64 sums exactly.
    """

    inputs: int
    nodes: int
    input_nodes: int
    targets: np.ndarray = field(repr=False)
    delays: np.ndarray = field(repr=False)
    indices: np.ndarray = field(repr=False)
    edge_words: int
    read_from: int
    bias: bool
    leak: np.float16
    threshold: np.float16
    half_width: float
    pixel: bool = False
    soft: bool = False
    detach: bool = False
    strict: bool = False
    recurrent: bool = False
    carry: bool = False
    segments: tuple[int, ...] | None = None

    spiking = True

    def __post_init__(self):
        sources = self.targets - self.delays
        if len(sources) and (self.delays.min() < 1 or sources.min() < (-self.nodes if self.recurrent else 0)):
            raise ValueError("an edge reaches before the first node")
        if not is_power_of_two(self.half_width):
            raise ValueError(f"half_width must be a power of two, not {self.half_width!r}")
        terms = np.bincount(self.targets, minlength=self.nodes).max() + (1 if self.pixel else self.inputs) + 2
        if terms > EXACT_TERMS:
            raise ValueError(f"a node may take at most {EXACT_TERMS} terms, not {terms}")

    @property
    def outputs(self) -> int:
        """Nodes that are read."""
        return self.nodes - self.read_from

    @property
    def input_words(self) -> int:
        return 1 if self.pixel else self.inputs * self.input_nodes

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Input weights, then edge weights."""
        return (self.input_words + self.edge_words,)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.nodes,)

    @property
    def independent(self) -> bool:
        """Whether sweeps know nothing of one another: then they are trained, and computed all at once."""
        return not (self.recurrent or self.carry)


class Run(NamedTuple):
    """Nodes in a row that take no spike of one another, and the edges that come in from before and go out.

    The line of spikes has the sweep before at 0 … N-1 and this one at N … 2N-1. `into` and `out` are (row, column,
    weight index) of the edges in matrices of (line from `low` to `high`) x run and (nodes `after` to `beyond`) x run.
    """

    start: int
    stop: int
    low: int
    high: int
    into: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    after: int
    beyond: int
    out: tuple[torch.Tensor, torch.Tensor, torch.Tensor]

    @property
    def width(self) -> int:
        return self.stop - self.start


def runs_of(autapse: Autapse, device: torch.device) -> list[Run]:
    """The nodes in runs as long as the edges allow; none has nodes both with inputs and without."""
    nodes, targets = autapse.nodes, autapse.targets
    sources = targets - autapse.delays
    nearest = np.full(nodes, -1)  # the last node of the sweep that each one takes a spike of
    np.maximum.at(nearest, targets, sources)
    starts = [0]
    for node in range(1, nodes):
        if nearest[node] >= starts[-1] or node == autapse.input_nodes:
            starts.append(node)
    return [_run(autapse, sources, start, stop, device)
            for start, stop in zip(starts, [*starts[1:], nodes], strict=True)]


def _run(autapse: Autapse, sources: np.ndarray, start: int, stop: int, device: torch.device) -> Run:
    def tensors(*arrays: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        row, column, index = (torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays)
        return row, column, index

    here = (autapse.targets >= start) & (autapse.targets < stop)
    line = sources[here] + autapse.nodes
    low, high = (int(line.min()), int(line.max()) + 1) if len(line) else (0, 0)
    into = tensors(line - low, autapse.targets[here] - start, autapse.indices[here])
    from_here = (sources >= start) & (sources < stop)
    later = autapse.targets[from_here]
    after, beyond = (int(later.min()), int(later.max()) + 1) if len(later) else (0, 0)
    out = tensors(later - after, sources[from_here] - start, autapse.indices[from_here])
    return Run(start, stop, low, high, into, after, beyond, out)
