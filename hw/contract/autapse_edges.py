"""Which edges make an autapse network a perceptron, a reservoir, a convolution, or a graph of one's own.

Each function gives `edges` of an `AutapseSpec` and what belongs to them; docs/autapse.md has the order of the weights.
"""

import itertools
from collections.abc import Iterable, Sequence

from .autapse import Edges, whole


def perceptron_edges(segments: Sequence[int], *, time_invariant: bool = False) -> tuple[Edges, int]:
    """Edges from every node of a segment to every node of the next, and how many weights they name.

    Weight indices count through the segments' matrices [source, target] row by row; time-invariant, through the
    delays in ascending order.
    """
    starts = [sum(segments[:index]) for index in range(len(segments))]
    edges: list[list[tuple[int, int]]] = [[] for _ in range(sum(segments))]
    base = 0
    for index in range(1, len(segments)):
        before, here = segments[index - 1], segments[index]
        for target in range(here):
            node = starts[index] + target
            edges[node] = [(node - starts[index - 1] - source, base + source * here + target)
                           for source in reversed(range(before))]
        base += before * here
    return _shared(edges) if time_invariant else (_frozen(edges), base)


def reservoir_edges(nodes: int, delays: Iterable[int], *, recurrent: bool = True,
                    time_invariant: bool = False) -> tuple[Edges, int]:
    """The same delays at every node, but for those that reach before the first node unless `recurrent`.

    Raises
    ------
    ValueError
        If a delay is not from 1 to `nodes` (with recurrence) or `nodes` - 1, or given twice.
    """
    delays = sorted(delays)
    for delay, following in itertools.pairwise(delays):
        if delay == following:
            raise ValueError(f"delay {delay} is given twice")
    if delays and not 1 <= delays[0] <= delays[-1] <= (nodes if recurrent else nodes - 1):
        raise ValueError(f"delays of {nodes} nodes must be from 1 to {nodes if recurrent else nodes - 1}, not "
                         f"{delays[0] if delays[0] < 1 else delays[-1]}")
    count, edges = 0, []
    for node in range(nodes):
        kept = [delay for delay in delays if recurrent or delay <= node]
        edges.append([(delay, count + place) for place, delay in enumerate(kept)])
        count += len(kept)
    return _shared(edges) if time_invariant else (_frozen(edges), count)


def convolution_edges(height: int, width: int, channels: Sequence[int], kernel: int = 3) -> tuple[Edges, int]:
    """Layers of `channels` maps of height x width nodes, each layer a segment; the first is the input's.

    Map after map, rows from the top. A node takes the kernel x kernel neighbourhood (odd, zero padding) in every map
    of the segment before; neighbours over a border do not exist, also where the delay alone would find another row's
    pixel. Weight indices count [target map, source map, row, column] through the layers.

    Raises
    ------
    ValueError
        If a size is no whole number of at least 1, or the kernel is even.
    """
    for what, value in (("height", height), ("width", width), ("kernel", kernel), *(("channels", c) for c in channels)):
        whole(value, what, 1)
    if kernel % 2 == 0:
        raise ValueError(f"kernel must be odd, not {kernel}, so that it has a middle")
    area, half = height * width, kernel // 2
    edges: list[list[tuple[int, int]]] = [[] for _ in range(sum(channels) * area)]
    start, base = 0, 0
    for before, here in itertools.pairwise(channels):
        begin = start + before * area
        for target in range(here):
            for place in range(area):
                row, column, pairs = place // width, place % width, []
                for source in range(before):
                    for down in range(-half, half + 1):
                        for right in range(-half, half + 1):
                            if 0 <= row + down < height and 0 <= column + right < width:
                                node = start + source * area + place + down * width + right
                                weight = ((target * before + source) * kernel + down + half) * kernel + right + half
                                pairs.append((begin + target * area + place - node, base + weight))
                edges[begin + target * area + place] = sorted(pairs)
        start, base = begin, base + here * before * kernel**2
    return _frozen(edges), base


def ordered_edges(nodes: int, pairs: Iterable[tuple[int, int]]) -> tuple[Edges, list[int]]:
    """Edges from a list of (from, to), each with a weight of its own in the list's order, and the order of the nodes.

    The order is the first in which every edge points forward: place n of the sweep is node order[n] of the list.

    Raises
    ------
    ValueError
        If there is no such order, or a node or an edge is none or given twice.
    """
    pairs = list(pairs)
    after: list[list[int]] = [[] for _ in range(nodes)]
    waiting = [0] * nodes
    for source, target in pairs:
        if not (0 <= source < nodes and 0 <= target < nodes):
            raise ValueError(f"edge {source} -> {target} is not between nodes 0 to {nodes - 1}")
        if target in after[source]:
            raise ValueError(f"edge {source} -> {target} is given twice")
        after[source].append(target)
        waiting[target] += 1
    order: list[int] = []
    ready = {node for node in range(nodes) if not waiting[node]}
    while ready:
        node = min(ready)
        ready.remove(node)
        order.append(node)
        for target in after[node]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.add(target)
    if len(order) < nodes:
        stuck = [node for node in range(nodes) if waiting[node]]
        raise ValueError(f"the edges form no valid order: node {stuck[0]} waits for itself over a loop of edges; take "
                         "one away, or use delays of a recurrent network")
    place = {node: index for index, node in enumerate(order)}
    edges: list[list[tuple[int, int]]] = [[] for _ in range(nodes)]
    for index, (source, target) in enumerate(pairs):
        edges[place[target]].append((place[target] - place[source], index))
    return _frozen([sorted(node) for node in edges]), order


def _shared(edges: Sequence[Sequence[tuple[int, int]]]) -> tuple[Edges, int]:
    delays = sorted({delay for node in edges for delay, _ in node})
    index = {delay: place for place, delay in enumerate(delays)}
    return tuple(tuple((delay, index[delay]) for delay, _ in node) for node in edges), len(delays)


def _frozen(edges: Sequence[Sequence[tuple[int, int]]]) -> Edges:
    return tuple(tuple(node) for node in edges)
