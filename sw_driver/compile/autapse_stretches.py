"""An autapse network cut into stretches of nodes of one kind, and whether an autapse core takes them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...hw.contract.autapse import AutapseSpec
from ...hw.contract.autapse_chip import AutapseChip
from ..errors import Misfit

_MOST_PIECES = 16   # of a segment: with more, each node gets weights of its own


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The one layer that reads the nodes: integrators that do not spike."""

    classes: int
    decay: float
    bias: bool


@dataclass(kw_only=True)
class Stretch:
    """Nodes in a row whose sources are found in one way."""

    first: int
    last: int               # behind the last node
    dense: tuple[int, int] | None = None    # nodes that all of them take: from, to
    delays: tuple[int, ...] = ()            # what they keep together
    shared: bool = False                    # one weight per delay
    tail: bool = False
    fields: dict[str, int] = field(default_factory=dict)
    # Where words of the network's state lie: (state's indices, addresses, places of other copies)
    words: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    @property
    def nodes(self) -> int:
        return self.last - self.first


def stretches_of(spec: AutapseSpec, tail: Tail | None) -> list[Stretch]:
    """The network's nodes, cut where their sources change."""
    borders = sorted({0, spec.nodes, spec.input_nodes, spec.read_from, *spec.starts()})
    found: list[Stretch] = []
    for first, last in itertools.pairwise(borders):
        found += _pieces(spec, first, last)
    if tail:
        found.append(Stretch(first=0, last=tail.classes, dense=(spec.read_from, spec.nodes), tail=True))
    return found


def _pieces(spec: AutapseSpec, first: int, last: int) -> list[Stretch]:
    edges = spec.edges[first:last]
    if not any(edges):
        return [Stretch(first=first, last=last)]
    sources = [[first + place - delay for delay, _ in pairs] for place, pairs in enumerate(edges)]
    low, high = min(sources[0], default=0), max(sources[0], default=-1) + 1
    whole = list(range(high - 1, low - 1, -1))
    if first >= spec.input_nodes and 0 <= low < high <= first and all(row == whole for row in sources):
        return [Stretch(first=first, last=last, dense=(low, high))]
    pieces, begin, seen = [], first, {}
    for place, pairs in enumerate(edges):
        if any(seen.get(delay, weight) != weight for delay, weight in pairs):
            pieces.append(Stretch(first=begin, last=first + place, delays=tuple(sorted(seen)), shared=True))
            begin, seen = first + place, {}
        seen |= dict(pairs)
    pieces.append(Stretch(first=begin, last=last, delays=tuple(sorted(seen)), shared=True))
    if len(pieces) <= min(_MOST_PIECES, max(1, (last - first) // 4)):
        return pieces
    delays = sorted({delay for pairs in edges for delay, _ in pairs})
    return [Stretch(first=first, last=last, delays=tuple(delays))]


def edge_indices(spec: AutapseSpec, stretch: Stretch) -> np.ndarray:
    """Edge weight of every (source, node) of a stretch that takes all of them."""
    if stretch.tail or stretch.dense is None:
        return np.zeros((0, 0), int)
    # Delays ascend, so sources descend.
    rows = [[weight for _, weight in reversed(pairs)] for pairs in spec.edges[stretch.first:stretch.last]]
    return np.array(rows).T


def side_by_side(spec: AutapseSpec, stretches: Sequence[Stretch], units: int) -> list[bool]:
    """Which stretches are taken by all units at once; each begins a row of the memory, and its last row may have gaps.

    A list of events has no gaps: where it is made of several stretches, one unit takes those.
    """
    beside = [units > 1 and not spec.leak and not stretch.delays and spec.input == "dense" for stretch in stretches]
    for reader in stretches:
        if reader.dense:
            read = [index for index, stretch in enumerate(stretches) if not stretch.tail
                    and stretch.first < reader.dense[1] and stretch.last > reader.dense[0]]
            for index in read if len(read) > 1 else []:
                beside[index] = False
    return beside


def longest_list(spec: AutapseSpec, stretches: Sequence[Stretch]) -> int:
    """Sources of the longest list of events; the one input of a node of input='pixel' needs no list."""
    return max(spec.inputs if spec.input == "dense" else 0, *(s.dense[1] - s.dense[0] for s in stretches if s.dense), 0)


def longest_delay(spec: AutapseSpec, stretches: Sequence[Stretch]) -> int:
    """Taps of the delay line; none where all spikes come from lists."""
    return spec.longest if any(stretch.delays for stretch in stretches) else 0


def check_room(spec: AutapseSpec, stretches: Sequence[Stretch], chip: AutapseChip, *, classes: int, tail: Tail | None):
    """Refuses what the chip has too little of, the memory left aside, or cannot read.

    Raises
    ------
    Misfit
        With what was asked, what there is and what to change.
    """
    for name, asked, there, change in (
            ("segments", len(stretches), chip.segments, "a chip with more, segments="),
            ("line", longest_delay(spec, stretches), chip.line, "shorter delays or a longer line, line="),
            ("events", longest_list(spec, stretches), chip.events, "fewer sources or a longer list, events="),
            ("readouts", classes, chip.readouts, "fewer classes or more room for them, readouts=")):
        if asked > there:
            raise Misfit(f"this autapse network asks for {asked} {name}, the chip has {there}; take {change}{asked}")
    if spec.readout == "count" and tail is None and stretches[-1].nodes != spec.classes:
        raise Misfit(f"an autapse core counts the spikes of nodes of one kind, but the {spec.classes} nodes read "
                     "here are of several; read them with readout='linear' or 'prototype'")


def check_training(spec: AutapseSpec, stretches: Sequence[Stretch], chip: AutapseChip):
    """Refuses nodes that the core does not train. Those of a network that is not trainable need not be: they stay.

    Raises
    ------
    Misfit
        Which nodes, why, and where to train them.
    """
    if not chip.training:
        raise Misfit("this chip was built without training; take one with training=true")
    if not spec.trainable:
        return
    for stretch in stretches:
        nodes = f"nodes {stretch.first} to {stretch.last - 1}"
        if stretch.delays or (stretch.dense is None and stretch.first >= spec.input_nodes):
            raise Misfit("an autapse core trains perceptrons and the layer that reads a recurrent network, not "
                         f"{nodes}, whose weights are shared or few; train this network on the golden model")
        shared = edge_indices(spec, stretch)
        if stretch.dense and not stretch.tail and len(np.unique(shared)) < shared.size:
            raise Misfit(f"an autapse core trains weights of one edge each, and {nodes} share theirs; train this "
                         "network on the golden model")
    for stretch, behind in itertools.pairwise(stretches):
        if behind.dense != (stretch.first, stretch.last):
            raise Misfit(f"an autapse core trains a perceptron segment by segment, but nodes {behind.first} to "
                         f"{behind.last - 1} take other spikes than the segment before; train on the golden model")
    if spec.input == "pixel":
        raise Misfit("an autapse core does not train the one weight of input='pixel'; use the golden model")
