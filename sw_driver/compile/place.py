"""Where on the mesh each core's share of the network goes."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..errors import SpecError
from .plan import Plan
from .routes import Mesh
from .traffic import Traffic, link_loads

RANDOM_PLACES = 256     # placements that `random` chooses from
Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a placement costs, per sample.

    Fields
    ------
    flit_hops : flits times links they go over
    mean, maximum : flits over a link, of all links and of the fullest

    `total` = mean + maximum: both are flits over one link, the first for the energy and for waiting everywhere, the
    second for the link that is the bottleneck.
    """

    flit_hops: float
    mean: float
    maximum: float

    @property
    def total(self) -> float:
        return self.mean + self.maximum


def cost_of(traffic: Traffic, mesh: Mesh, places: np.ndarray | None = None) -> Cost:
    """The cost of traffic whose core n is at places[n], at n without `places`."""
    loads = link_loads(traffic if places is None else traffic.moved(places), mesh)
    return cost_of_loads(loads)


def cost_of_loads(loads: np.ndarray) -> Cost:
    """The cost of given flits per link."""
    if not len(loads):
        return Cost(flit_hops=0.0, mean=0.0, maximum=0.0)
    return Cost(flit_hops=float(loads.sum()), mean=float(loads.mean()), maximum=float(loads.max()))


class Placer(Protocol):
    """A method of placement."""

    def place(self, traffic: Traffic, width: int, height: int, *, seed: int,
              progress: Progress | None = None) -> np.ndarray:
        """For each core its place on the mesh, int64 (width * height,), a permutation; the same for the same seed."""
        ...


class RowMajor:
    """Cores in their order, row by row from the top left."""

    def place(self, traffic, width, height, *, seed, progress=None):
        return np.arange(width * height)


class Serpentine:
    """Cores in their order, every second row from the right, so that neighbours in the order are on the mesh."""

    def place(self, traffic, width, height, *, seed, progress=None):
        table = np.arange(width * height).reshape(height, width)
        table[1::2] = table[1::2, ::-1].copy()
        return table.ravel()


class RandomBest:
    """The cheapest of `count` random placements."""

    def __init__(self, count: int = RANDOM_PLACES):
        self.count = count

    def place(self, traffic, width, height, *, seed, progress=None):
        loads = _Loads(traffic, Mesh(width, height))
        draw = np.random.Generator(np.random.PCG64([seed, self.count]))
        best, least = None, np.inf
        for tried in range(self.count):
            places = np.argsort(draw.random(loads.nodes), kind="stable")
            total = loads.total(loads.all(places))
            if total < least:
                best, least = places, total
            if progress is not None and tried % 32 == 0:
                progress("random placement", tried / self.count)
        assert best is not None
        return best


class Annealed:
    """Swaps of two places, taken if cheaper, or with a chance that falls as it cools, from the best of the others on.

    What a swap changes is computed from the flows of its two cores alone. The cheapest placement ever seen is the
    result, so it is never dearer than row-major, serpentine or random of the same seed.

    Parameters
    ----------
    moves : swaps tried; None: 600 per core, from 3000 to 12000
    """

    def __init__(self, *, moves: int | None = None):
        self.moves = moves

    def place(self, traffic, width, height, *, seed, progress=None):
        mesh = Mesh(width, height)
        loads = _Loads(traffic, mesh)
        starts = [other.place(traffic, width, height, seed=seed) for other in (RowMajor(), Serpentine(), RandomBest())]
        places = min(starts, key=lambda start: loads.total(loads.all(start))).copy()
        if loads.nodes == 1 or not traffic.flows:
            return places
        moves = self.moves or min(max(600 * loads.nodes, 3000), 12000)
        draw = np.random.Generator(np.random.PCG64([seed, moves]))
        pairs, chances = draw.integers(loads.nodes, size=(moves, 2)).tolist(), draw.random(moves).tolist()
        now = loads.all(places)
        total = loads.total(now)
        best, least = places.copy(), total
        hot, cold = 0.015 * total, 0.002 * total
        for move, ((one, two), chance) in enumerate(zip(pairs, chances, strict=True)):
            if one == two:
                continue
            heat = hot * (cold / hot) ** (move / moves) if total else 0.0
            after = loads.swapped(now, places, one, two)
            if after is None:
                continue
            change = loads.total(after) - total
            if change <= 0 or (heat and chance < np.exp(-change / heat)):
                places[[one, two]] = places[[two, one]]
                now, total = after, total + change
                if total < least - 1e-9:
                    best, least = places.copy(), total
            if progress is not None and move % 256 == 0:
                progress("annealing", move / moves)
        return min((*starts, best), key=lambda found: cost_of(traffic, mesh, found).total)


class _Loads:
    """Flits per link of a placement, and what a swap of two cores makes of them."""

    def __init__(self, traffic: Traffic, mesh: Mesh):
        self.nodes, self._paths = traffic.nodes, mesh.paths.astype(np.float32)
        many: dict[tuple, float] = {}
        for flow in traffic.flows:
            others = tuple(core for core in flow.destinations if core != flow.source)
            if others:
                many[flow.source, others] = many.get((flow.source, others), 0.0) + flow.flits
        self._sources = np.array([source for source, _ in many], np.int64)
        self._targets = np.zeros((len(many), self.nodes), np.float32)
        for number, (_, others) in enumerate(many):
            self._targets[number, list(others)] = 1
        self._flits = np.array(list(many.values()), np.float64)
        touches = self._targets > 0
        touches[np.arange(len(many)), self._sources] = True
        self._touching = touches

    @staticmethod
    def total(loads: np.ndarray) -> float:
        """As `Cost.total`."""
        return float(loads.mean() + loads.max()) if len(loads) else 0.0

    def _trees(self, which: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Flits per link of some flows together."""
        at = np.empty(self.nodes, np.int64)
        at[places] = np.arange(self.nodes)
        targets = self._targets[which][:, at]
        ways = self._paths[places[self._sources[which]]]
        taken = np.matmul(targets[:, None, :], ways)[:, 0] > 0
        return self._flits[which] @ taken

    def all(self, places: np.ndarray) -> np.ndarray:
        """Flits per link of all flows."""
        if not len(self._flits):
            return np.zeros(self._paths.shape[2])
        return self._trees(np.arange(len(self._flits)), places)

    def swapped(self, now: np.ndarray, places: np.ndarray, one: int, two: int) -> np.ndarray | None:
        """Flits per link if cores `one` and `two` changed places; None if nothing would change."""
        # A flow that has both as destinations, or neither, goes where it went.
        inside = self._targets[:, one] * self._targets[:, two] > 0
        which = np.flatnonzero((self._touching[:, one] | self._touching[:, two]) & ~inside)
        if not len(which):
            return None
        after = places.copy()
        after[[one, two]] = after[[two, one]]
        return now - self._trees(which, places) + self._trees(which, after)


PLACERS: dict[str, Placer] = {"row-major": RowMajor(), "serpentine": Serpentine(), "random": RandomBest(),
                              "annealed": Annealed()}


def placer(name: str) -> Placer:
    """The method of this name.

    Raises
    ------
    SpecError
        If there is none; says which there are and which was meant.
    """
    if name not in PLACERS:
        near = difflib.get_close_matches(name, PLACERS, n=1, cutoff=0.4)
        meant = f", did you mean {near[0]!r}" if near else ""
        raise SpecError(f"there is no placement {name!r}{meant}; there are {', '.join(PLACERS)}")
    return PLACERS[name]


def placed(plan: Plan, places: np.ndarray) -> Plan:
    """The plan with core n at places[n].

    Raises
    ------
    ValueError
        If `places` is no permutation of the cores.
    """
    if sorted(np.asarray(places).tolist()) != list(range(plan.nodes)):
        raise ValueError(f"places must be a permutation of the {plan.nodes} cores, not {places!r}")
    return Plan(mesh_width=plan.mesh_width, mesh_height=plan.mesh_height,
                cuts=tuple(replace(cut, core=int(places[cut.core])) for cut in plan.cuts))
