"""Layers cut over cores so that the core with the most work has little: by work, not by number of neurons."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import Misfit, SpecError
from ..network import Network, TrainingSpec
from .plan import Cut, Plan
from .routes import check_mesh
from .work import LayerWork, Work

SPREADS = ("all", "layers")
EXHAUSTIVE = 20_000     # plans that are all tried where there are no more of them
_LAYERS, _LANES = 16, 16    # most that a mesh takes

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Balance:
    """How even a plan is, in cycles per sample.

    Fields
    ------
    cores : float (nodes,), max(forward, backward and history) + update of each core
    bound : no plan has a longest core below this
    exact : every plan was tried
    """

    cores: np.ndarray
    bound: float
    exact: bool

    @property
    def longest(self) -> float:
        """Of the core with the most work."""
        return float(self.cores.max())

    @property
    def mean(self) -> float:
        """Over all cores, empty ones too."""
        return float(self.cores.mean())


class _Costs:
    """Forward, backward, history and update of a segment of a layer, by sums over its groups."""

    def __init__(self, layer: LayerWork):
        self.layer = layer
        self._sums = [np.concatenate([[0.0], np.cumsum(part)]) for part in (layer.forward, layer.backward, layer.update)]

    def of(self, segments: np.ndarray) -> np.ndarray:
        """(4, …) of segments (…, 2)."""
        first, last = segments[..., 0], segments[..., 1]
        layer, there = self.layer, last > first
        forward, backward, update = (sums[last] - sums[first] for sums in self._sums)
        item = layer.item
        return np.stack([(np.maximum(forward, layer.scan_forward) + item) * there,
                         (np.maximum(backward, layer.scan_backward) + item) * there,
                         layer.history * there, update * there])

    def least(self, groups: int) -> np.ndarray:
        """(4,) of the cheapest `groups` groups at one core."""
        layer = self.layer
        forward, backward, update = (float(np.sort(part)[:groups].sum())
                                     for part in (layer.forward, layer.backward, layer.update))
        return np.array([max(forward, layer.scan_forward) + layer.item,
                         max(backward, layer.scan_backward) + layer.item, layer.history, update])


def _together(parts: np.ndarray) -> np.ndarray:
    """Cycles of cores from (4, …): forward beside backward and history, then the update."""
    return np.maximum(parts[0], np.maximum(parts[1], parts[2])) + parts[3]


def _segments(counts: np.ndarray) -> np.ndarray:
    """Segments in the order of the cores from counts (…, nodes)."""
    last = np.cumsum(counts, -1)
    return np.stack([last - counts, last], -1)


def _bound(costs: list[_Costs], nodes: int) -> float:
    """What no plan can be below: the work of all cores over their number, and the core with most of a layer."""
    whole = sum(cost.least(cost.layer.groups) for cost in costs)
    each = max(float(_together(cost.least(-(-cost.layer.groups // nodes)))) for cost in costs)
    return max(float(_together(np.asarray(whole))) / nodes, each)


@dataclass(frozen=True, kw_only=True)
class _Room:
    """Rows of synapses that a core needs by layer: per group of its own, and per group of the layer's widest cut, for
    which every core has a mirror; and those that it has."""

    own: tuple[int, ...]
    mirror: tuple[int, ...]
    most: int | None

    def check(self, network: Network, work: Work, nodes: int) -> None:
        """Refuses what fits in no plan; raises Misfit."""
        if self.most is None:
            return
        groups = [layer.groups for layer in work.layers]
        mirrors = sum(rows * -(-count // nodes) for rows, count in zip(self.mirror, groups, strict=True))
        for index, rows in enumerate(self.own):
            if rows + mirrors > self.most:
                raise Misfit(f"no cut of layer {index} of {network} fits: a core with one group of {work.lanes} of its "
                             f"neurons needs {rows + mirrors:,} rows of synapses, it has {self.most:,}, "
                             f"{rows + mirrors - self.most:,} too few; use fewer inputs or cores with more synapses")
        whole = [rows * count for rows, count in zip(self.own, groups, strict=True)]
        short = sum(whole) + nodes * mirrors - nodes * self.most
        if short > 0:
            index = int(np.argmax(whole))
            raise Misfit(f"{network} needs {sum(whole) + nodes * mirrors:,} rows of synapses, {nodes} cores of "
                         f"{self.most:,} have {short:,} too few; layer {index} alone takes {whole[index]:,}: make it "
                         "smaller, or use a larger mesh or cores with more synapses")

    def allows(self, counts: np.ndarray) -> np.ndarray:
        """Whether counts (…, layers, nodes) fit."""
        if self.most is None:
            return np.ones(counts.shape[:-2], bool)
        used = (counts * np.array(self.own)[:, None]).sum(-2).max(-1)
        return used + (counts.max(-1) * np.array(self.mirror)).sum(-1) <= self.most


def synapse_rows(network: Network, training: TrainingSpec | None, *,
                 lanes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows of synapses that a core has, by layer: per group of its own neurons weights, remainders and momenta; and
    per group of the layer's widest cut the mirror of the next layer's weights."""
    tables = 1 if training is None else 3 if training.momentum else 2
    own = tuple(-(-(layer.inputs + layer.bias) // lanes) * lanes * tables for layer in network.layers)
    mirror = [0] * len(own)
    if training is not None:
        mirror[:-1] = [-(-layer.outputs // lanes) * lanes for layer in network.layers[1:]]
    return own, tuple(mirror)


def partition(network: Network, work: Work, mesh_width: int, mesh_height: int, *,
              training: TrainingSpec | None = None, spread: str = "all", synapses: int | None = None,
              progress: Progress | None = None) -> Plan:
    """Cuts of every layer over the cores of a mesh, in whole groups, so that the longest core is short.

    A core's time per sample is max(forward, backward and history) + its share of the batch's update. Cores are
    virtual: placement (`place.py`) may move them. The same for the same input.

    Parameters
    ----------
    spread : "all": any core may hold a cut of any layer; every plan is tried where there are at most EXHAUSTIVE, and
        else groups go one by one to the core that is then shortest, and are moved while that shortens the longest;
        `balance` says how far from a lower bound the plan is at most. "layers": layers have cores of their own, in
        their order, the best such plan
    synapses : rows of synapses of a core; None for as many as it takes
    training : what the rows are for; None for inference

    Raises
    ------
    SpecError
        If the mesh is none, `spread` is neither, or there are fewer cores than layers for "layers".
    Misfit
        If no plan fits; says which layer and how much too large it is.
    """
    check_mesh(mesh_width, mesh_height)
    nodes = mesh_width * mesh_height
    if spread not in SPREADS:
        raise SpecError(f"spread must be {' or '.join(SPREADS)}, not {spread!r}")
    if len(network.layers) > _LAYERS:
        raise Misfit(f"{network} has {len(network.layers)} layers, a mesh takes at most {_LAYERS}; use fewer layers")
    if work.lanes > _LANES:
        raise Misfit(f"a mesh takes at most {_LANES} lanes, not {work.lanes}; use fewer")
    costs = [_Costs(layer) for layer in work.layers]
    own, mirror = synapse_rows(network, training, lanes=work.lanes)
    room = _Room(own=own, mirror=mirror, most=synapses)
    room.check(network, work, nodes)
    if spread == "layers":
        counts = _pipeline(network, costs, nodes)
        if not room.allows(counts):
            raise Misfit(f"{network} does not fit {nodes} cores of {synapses:,} rows of synapses with layers on cores of "
                         "their own; use spread 'all' or cores with more synapses")
        segments = _segments(counts)
    elif _plans(costs, nodes) <= EXHAUSTIVE:
        segments = _exhaustive(costs, nodes, room)
        if segments is None:
            raise _crowded(network, nodes, synapses)
    else:
        segments = _segments(_balanced(network, costs, nodes, room, progress))
    return _plan_of(network, segments, mesh_width, mesh_height, work.lanes)


def balance(plan: Plan, work: Work) -> Balance:
    """How even a plan is."""
    costs = [_Costs(layer) for layer in work.layers]
    parts = np.zeros((4, plan.nodes))
    for cut in plan.cuts:
        segment = np.array([cut.first // work.lanes, -(-cut.last // work.lanes)])
        parts[:, cut.core] += costs[cut.layer].of(segment)
    return Balance(cores=_together(parts), bound=_bound(costs, plan.nodes),
                   exact=_plans(costs, plan.nodes) <= EXHAUSTIVE)


def _plan_of(network: Network, segments: np.ndarray, width: int, height: int, lanes: int) -> Plan:
    cuts = []
    for index, layer in enumerate(network.layers):
        cuts += [Cut(layer=index, first=int(first) * lanes, last=min(int(last) * lanes, layer.outputs), core=core)
                 for core, (first, last) in enumerate(segments[index]) if last > first]
    return Plan(mesh_width=width, mesh_height=height, cuts=tuple(sorted(cuts)))


def _crowded(network: Network, nodes: int, synapses: int | None) -> Misfit:
    return Misfit(f"found no way to fit {network} on {nodes} cores of {synapses:,} rows of synapses, although all "
                  "together have enough; use a larger mesh or cores with more synapses")


def _pipeline(network: Network, costs: list[_Costs], nodes: int) -> np.ndarray:
    """Counts (layers, nodes): each layer on cores of its own. More cores never hurt a layer, so giving each to the layer
    that is longest then is best."""
    if nodes < len(costs):
        raise SpecError(f"spread 'layers' needs a core per layer, {len(costs)} for {network}, the mesh has {nodes}; use "
                        "spread 'all' or a larger mesh")
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


def _split(cost: _Costs, cores: int) -> tuple[list[int], float]:
    """Sizes of the best contiguous split of a layer, and its longest core; by halving the interval of the longest."""
    groups = cost.layer.groups
    cores = min(cores, groups)

    def fill(most: float) -> list[int] | None:
        sizes, first = [], 0
        for left in range(cores, 0, -1):
            ends = np.arange(first + 1, groups - left + 2)
            times = _together(cost.of(np.stack([np.full_like(ends, first), ends], -1)))
            fits = int(np.searchsorted(times, most, side="right"))
            if not fits:
                return None
            sizes.append(fits)
            first += fits
            if first == groups:
                return sizes
        return None

    def longest(sizes: list[int]) -> float:
        return float(_together(cost.of(_segments(np.array(sizes)))).max())

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


def _plans(costs: list[_Costs], nodes: int) -> int:
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


def _exhaustive(costs: list[_Costs], nodes: int, room: _Room) -> np.ndarray | None:
    """The best of all plans; of equals the one with fewest cuts, then the first."""
    options = [np.array(list(_all_segments(cost.layer.groups, nodes))) for cost in costs]
    parts = [cost.of(table) for cost, table in zip(costs, options, strict=True)]      # (4, ways, nodes)
    best, least = None, (np.inf, np.inf)
    tail = parts[-1]
    for chosen in itertools.product(*(range(len(table)) for table in options[:-1])):
        head = sum((part[:, way] for part, way in zip(parts[:-1], chosen, strict=False)), np.zeros((4, nodes)))
        longest = _together(head[:, None] + tail).max(-1)
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


def _all_segments(groups: int, nodes: int):
    """Every way to cut a layer: (nodes, 2) each."""
    for cores in range(1, min(groups, nodes) + 1):
        for which in itertools.permutations(range(nodes), cores):
            for inner in itertools.combinations(range(1, groups), cores - 1):
                ends = (0, *inner, groups)
                table = np.zeros((nodes, 2), np.int64)
                for core, first, last in zip(which, ends, ends[1:], strict=False):
                    table[core] = first, last
                yield table


def _balanced(network: Network, costs: list[_Costs], nodes: int, room: _Room, progress: Progress | None) -> np.ndarray:
    """Counts (layers, nodes) of the best of some starts, each improved by moves of groups from core to core."""
    starts = [_greedy(costs, nodes, room)]
    if nodes >= len(costs):
        starts.append(_pipeline(network, costs, nodes))
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
        raise _crowded(network, nodes, room.most)
    return min(found, key=lambda counts: _rank(counts[None], costs)[0][0])


def _times(counts: np.ndarray, costs: list[_Costs]) -> np.ndarray:
    """Cycles (…, nodes) of cores from counts (…, layers, nodes)."""
    segments = _segments(counts)
    return _together(sum((cost.of(segments[..., index, :, :]) for index, cost in enumerate(costs)),
                         np.zeros((4, *counts.shape[:-2], counts.shape[-1]))))


def _rank(counts: np.ndarray, costs: list[_Costs]) -> tuple[np.ndarray, np.ndarray]:
    """Of each of counts (ways, layers, nodes) the longest core, and the sum of squares for those that are equal."""
    times = _times(counts, costs)
    return times.max(-1), (times**2).sum(-1)


def _greedy(costs: list[_Costs], nodes: int, room: _Room) -> np.ndarray | None:
    """Groups one by one, of the layer with the most work each first, to the core that is shortest with it."""
    counts = np.zeros((len(costs), nodes), np.int64)
    weight = [float(_together(cost.least(cost.layer.groups))) / cost.layer.groups for cost in costs]
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


def _improved(counts: np.ndarray, costs: list[_Costs], room: _Room, *, rounds: int = 400) -> np.ndarray:
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
