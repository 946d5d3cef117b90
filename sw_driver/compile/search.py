"""Ways to find cuts: all of them, layers on cores of their own, or group by group and then by moves."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from ..errors import SpecError
from ..network import Network
from .balance import Costs, segments_of, together
from .room import Room, crowded

EXHAUSTIVE = 20_000     # plans that are all tried where there are no more of them

Progress = Callable[[str, float], None]


def pipeline(network: Network, costs: list[Costs], nodes: int) -> np.ndarray:
    """Counts (layers, nodes) with each layer on cores of its own.

    More cores never make a layer longer, so it is best to give each to the layer that is longest then.
    """
    if nodes < len(costs):
        raise SpecError(f"spread 'layers' needs a core per layer, {len(costs)} for {network}, the mesh has {nodes}; "
                        "use spread 'all' or a larger mesh")
    chosen = [1] * len(costs)
    splits = [_split(cost, 1) for cost in costs]
    for _ in range(nodes - len(costs)):
        order = sorted(range(len(costs)), key=lambda index: -splits[index][1])
        # The longest one gets no shorter beyond a core per group.
        grown = next((index for index in order if chosen[index] < costs[index].layer.groups), None)
        if grown is None:
            break
        chosen[grown] += 1
        splits[grown] = _split(costs[grown], chosen[grown])
    counts, at = np.zeros((len(costs), nodes), np.int64), 0
    for index, (sizes, _) in enumerate(splits):
        counts[index, at:at + len(sizes)] = sizes
        at += len(sizes)
    return counts


def _split(cost: Costs, cores: int) -> tuple[list[int], float]:
    """Sizes of the best contiguous split of a layer, and its longest core; by halving the interval of the longest."""
    groups = cost.layer.groups
    cores = min(cores, groups)

    def fill(most: float) -> list[int] | None:
        sizes, first = [], 0
        for left in range(cores, 0, -1):
            ends = np.arange(first + 1, groups - left + 2)
            times = together(cost.of(np.stack([np.full_like(ends, first), ends], -1)))
            fits = int(np.searchsorted(times, most, side="right"))
            if not fits:
                return None
            sizes.append(fits)
            first += fits
            if first == groups:
                return sizes
        return None

    def longest(sizes: list[int]) -> float:
        return float(together(cost.of(segments_of(np.array(sizes)))).max())

    sizes = [groups // cores + (core < groups % cores) for core in range(cores)]
    low, high = 0.0, longest(sizes)
    for _ in range(40):
        middle = (low + high) / 2
        found = fill(middle)
        if found is None:
            low = middle
        else:
            sizes, high = found, min(longest(found), middle)
    return sizes, longest(sizes)


def plans_of(costs: list[Costs], nodes: int) -> int:
    """How many ways there are to cut all layers over the cores."""
    total = 1
    for cost in costs:
        total *= _ways(cost.layer.groups, nodes)
        if total > EXHAUSTIVE:
            break
    return total


def _ways(groups: int, nodes: int) -> int:
    """Ways to cut one layer: a number of cores, which in which order, and where."""
    total, orders, cuts = 0, 1, 1
    for cores in range(1, min(groups, nodes) + 1):
        orders *= nodes - cores + 1
        total += orders * cuts
        cuts = cuts * (groups - cores) // cores
    return total


def exhaustive(costs: list[Costs], nodes: int, room: Room) -> np.ndarray | None:
    """The best of all plans; of equals the one with fewest cuts, then the first."""
    options = [np.array(list(_all_segments(cost.layer.groups, nodes))) for cost in costs]
    parts = [cost.of(table) for cost, table in zip(costs, options, strict=True)]      # (4, ways, nodes)
    best, least = None, (np.inf, np.inf)
    tail = parts[-1]
    for chosen in itertools.product(*(range(len(table)) for table in options[:-1])):
        head = sum((part[:, way] for part, way in zip(parts[:-1], chosen, strict=False)), np.zeros((4, nodes)))
        longest = together(head[:, None] + tail).max(-1)
        pieces = sum(int((table[way, :, 1] > table[way, :, 0]).sum())
                     for table, way in zip(options[:-1], chosen, strict=False))
        cuts = pieces + (options[-1][..., 1] > options[-1][..., 0]).sum(-1)
        if room.most is not None:
            before = [np.broadcast_to(np.diff(table[way])[:, 0], (len(options[-1]), nodes))
                      for table, way in zip(options[:-1], chosen, strict=False)]
            counts = np.stack([*before, np.diff(options[-1])[..., 0]], 1)
            longest = np.where(room.allows(counts), longest, np.inf)
        way = int(np.lexsort((cuts, longest))[0])
        if (longest[way], cuts[way]) < least:
            best, least = (*chosen, way), (float(longest[way]), float(cuts[way]))
    if best is None or not np.isfinite(least[0]):
        return None
    return np.stack([table[way] for table, way in zip(options, best, strict=True)])


def _all_segments(groups: int, nodes: int) -> Iterator[np.ndarray]:
    """Every way to cut a layer: (nodes, 2) each."""
    for cores in range(1, min(groups, nodes) + 1):
        for which in itertools.permutations(range(nodes), cores):
            for inner in itertools.combinations(range(1, groups), cores - 1):
                ends = (0, *inner, groups)
                table = np.zeros((nodes, 2), np.int64)
                for core, first, last in zip(which, ends, ends[1:], strict=False):
                    table[core] = first, last
                yield table


def balanced(network: Network, costs: list[Costs], nodes: int, room: Room, progress: Progress | None) -> np.ndarray:
    """Counts (layers, nodes) of the best of some starts, each improved by moves of groups from core to core."""
    starts = [_greedy(costs, nodes, room)]
    if nodes >= len(costs):
        starts.append(pipeline(network, costs, nodes))
    even = np.array([[(cost.layer.groups * (core + 1)) // nodes - (cost.layer.groups * core) // nodes
                      for core in range(nodes)] for cost in costs])
    starts.append(even)
    found = []
    for number, counts in enumerate(starts):
        if progress is not None:
            progress("partition", number / len(starts))
        if counts is not None and room.allows(counts):
            found.append(_improved(counts, costs, room))
    if not found:
        raise crowded(network, nodes, room.most)
    return min(found, key=lambda counts: _rank(counts[None], costs)[0][0])


def _times(counts: np.ndarray, costs: list[Costs]) -> np.ndarray:
    """Cycles (…, nodes) of cores from counts (…, layers, nodes)."""
    segments = segments_of(counts)
    return together(sum((cost.of(segments[..., index, :, :]) for index, cost in enumerate(costs)),
                         np.zeros((4, *counts.shape[:-2], counts.shape[-1]))))


def _rank(counts: np.ndarray, costs: list[Costs]) -> tuple[np.ndarray, np.ndarray]:
    """Of each of counts (ways, layers, nodes) the longest core, and the sum of squares for those that are equal."""
    times = _times(counts, costs)
    return times.max(-1), (times**2).sum(-1)


def _greedy(costs: list[Costs], nodes: int, room: Room) -> np.ndarray | None:
    """Groups one by one, of the layer with the most work each first, to the core that is shortest with it."""
    counts = np.zeros((len(costs), nodes), np.int64)
    weight = [float(together(cost.least(cost.layer.groups))) / cost.layer.groups for cost in costs]
    ways = np.arange(nodes)
    for index in sorted(range(len(costs)), key=lambda index: -weight[index]):
        for _ in range(costs[index].layer.groups):
            tries = np.repeat(counts[None], nodes, 0)
            tries[ways, index, ways] += 1
            here = _times(tries, costs)[ways, ways]
            fits = room.allows(tries)
            if not fits.any():
                return None
            counts[index, int(np.argmin(np.where(fits, here, np.inf)))] += 1
    return counts


def _improved(counts: np.ndarray, costs: list[Costs], room: Room, *, rounds: int = 400) -> np.ndarray:
    """Moves groups off the longest core while that helps: one, half, or all of a layer's to any other core."""
    nodes = counts.shape[1]
    (longest,), (squares,) = _rank(counts[None], costs)
    for _ in range(rounds):
        times = _times(counts, costs)
        tries = []
        for source in np.flatnonzero(times >= longest - 1e-9)[:2]:
            for index in range(len(costs)):
                there = counts[index, source]
                for size in sorted({1, there // 2, there} & set(range(1, there + 1))):
                    for target in range(nodes):
                        if target != source:
                            moved = counts.copy()
                            moved[index, source] -= size
                            moved[index, target] += size
                            tries.append(moved)
        if not tries:
            break
        table = np.array(tries)
        table = table[room.allows(table)]
        if not len(table):
            break
        tops, sums = _rank(table, costs)
        best = int(np.lexsort((sums, tops))[0])
        if tops[best] > longest - 1e-9 and (tops[best] > longest + 1e-9 or sums[best] > squares - 1e-6):
            break
        counts, longest, squares = table[best], tops[best], sums[best]
    return counts
