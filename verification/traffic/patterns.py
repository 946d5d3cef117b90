"""Who sends to whom, and what that costs on every link of a mesh."""

from collections.abc import Callable
from dataclasses import dataclass

from ...hw.contract.noc import MeshShape

SIDES = ("north", "east", "south", "west", "core")


@dataclass(frozen=True)
class Traffic:
    """For each node that sends: (mask, weight) of the packets it sends; the weights of a node add up to 1."""

    shape: MeshShape
    masks: dict[int, list[tuple[int, float]]]

    def loads(self) -> dict[tuple[int, str], float]:
        """Flits on each link, named by the router that it leaves and its side, per flit that every sender sends."""
        loads: dict[tuple[int, str], float] = {}
        for source, masks in self.masks.items():
            for mask, weight in masks:
                for link in tree(self.shape, source, mask):
                    loads[link] = loads.get(link, 0.0) + weight
        return loads

    def limit(self) -> float:
        """Flits per cycle that each sender can send at most: no link, and no port of a core, carries more than one."""
        return 1 / max(1.0, *self.loads().values())

    def zero_load(self, flits: int) -> float:
        """Mean cycles, where nothing is in the way, from a packet's first flit handed over to its last one taken."""
        total = count = 0.0
        for source, masks in self.masks.items():
            for mask, weight in masks:
                places = destinations(self.shape, mask)
                total += weight * sum(2 * (flits - 1) + 2 * (self.shape.hops(source, to) + 1) for to in places)
                count += weight * len(places)
        return total / count


def destinations(shape: MeshShape, mask: int) -> list[int]:
    """Nodes of a mask."""
    return [node for node in range(shape.nodes) if mask >> node & 1]


def tree(shape: MeshShape, source: int, mask: int) -> set[tuple[int, str]]:
    """Links that a packet to the nodes of `mask` takes, each once: along the row, then along the columns."""
    links = set()
    for to in destinations(shape, mask):
        (x, y), (u, v) = shape.at(source), shape.at(to)
        while (x, y) != (u, v):
            side = "east" if x < u else "west" if x > u else "south" if y < v else "north"
            links.add((y * shape.width + x, side))
            x, y = x + (side == "east") - (side == "west"), y + (side == "south") - (side == "north")
        links.add((to, "core"))
    return links


def _evenly(masks: list[int]) -> list[tuple[int, float]]:
    return [(mask, 1 / len(masks)) for mask in masks]


def _uniform(shape: MeshShape, source: int):
    return _evenly([1 << to for to in range(shape.nodes) if to != source])


def _transpose(shape: MeshShape, source: int):
    x, y = shape.at(source)
    to = y % shape.width + shape.width * (x % shape.height)
    return [(1 << to, 1.0)] if to != source else []


def _hot_spot(shape: MeshShape, source: int):
    """A quarter to the middle of the mesh, the others to anybody."""
    middle = shape.height // 2 * shape.width + shape.width // 2
    others = [(mask, 0.75 * weight) for mask, weight in _uniform(shape, source)]
    return [(1 << middle, 0.25), *others] if source != middle else _uniform(shape, source)


def _all_to_one(shape: MeshShape, source: int):
    return [(1, 1.0)] if source else []


def _one_to_all(shape: MeshShape, source: int):
    return [((1 << shape.nodes) - 1, 1.0)] if source == 0 else []


def _all_to_all(shape: MeshShape, source: int):
    return [((1 << shape.nodes) - 1, 1.0)]


PATTERNS: dict[str, Callable] = {
    "uniform": _uniform,            # to any other node
    "transpose": _transpose,        # (x, y) to (y, x), folded where the mesh is not square
    "hot spot": _hot_spot,
    "all to one": _all_to_one,
    "one to all": _one_to_all,      # multicast of one node
    "all to all": _all_to_all,      # multicast of every node
}


def traffic_of(shape: MeshShape, pattern: str) -> Traffic:
    """A pattern on a mesh.

    Raises
    ------
    ValueError
        If there is no such pattern, or nobody sends in it on this mesh.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"there is no pattern {pattern!r}; there are {', '.join(PATTERNS)}")
    masks = {source: PATTERNS[pattern](shape, source) for source in range(shape.nodes)}
    masks = {source: list(choices) for source, choices in masks.items() if choices}
    if not masks:
        raise ValueError(f"in pattern {pattern} nobody sends on a {shape} mesh")
    return Traffic(shape, masks)
