"""How long the cores of a plan are at work, beside what no plan can be below."""

from dataclasses import dataclass

import numpy as np

from .plan import Plan
from .work import LayerWork, Work


@dataclass(frozen=True, kw_only=True)
class Balance:
    """How even a plan is, in cycles per sample.

    Fields
    ------
    cores : float (nodes,), max(forward, backward and history) + update of each core
    bound : no plan has a longest core below this
    """

    cores: np.ndarray
    bound: float

    @property
    def longest(self) -> float:
        """Of the core with the most work."""
        return float(self.cores.max())

    @property
    def mean(self) -> float:
        """Over all cores, empty ones too."""
        return float(self.cores.mean())


class Costs:
    """Forward, backward, history and update of a segment of a layer, by sums over its groups."""

    def __init__(self, layer: LayerWork):
        self.layer = layer
        self._sums = [np.concatenate([[0.0], np.cumsum(part)])
                      for part in (layer.forward, layer.backward, layer.update)]

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


def together(parts: np.ndarray) -> np.ndarray:
    """Cycles of cores from (4, …): forward beside backward and history, then the update."""
    return np.maximum(parts[0], np.maximum(parts[1], parts[2])) + parts[3]


def segments_of(counts: np.ndarray) -> np.ndarray:
    """Segments in the order of the cores from counts (…, nodes)."""
    last = np.cumsum(counts, -1)
    return np.stack([last - counts, last], -1)


def bound_of(costs: list[Costs], nodes: int) -> float:
    """What no plan can be below: the work of all cores over their number, and the core with most of a layer."""
    whole = sum(cost.least(cost.layer.groups) for cost in costs)
    each = max(float(together(cost.least(-(-cost.layer.groups // nodes)))) for cost in costs)
    return max(float(together(np.asarray(whole))) / nodes, each)


def balance(plan: Plan, work: Work) -> Balance:
    """How even a plan is."""
    costs = [Costs(layer) for layer in work.layers]
    parts = np.zeros((4, plan.nodes))
    for cut in plan.cuts:
        segment = np.array([cut.first // work.lanes, -(-cut.last // work.lanes)])
        parts[:, cut.core] += costs[cut.layer].of(segment)
    return Balance(cores=together(parts), bound=bound_of(costs, plan.nodes))


