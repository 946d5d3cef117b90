"""Ways over a mesh: along the row, then along the column; a packet for many goes each link of its tree once."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ...hw.contract.chip import MAX_NODES
from ..errors import SpecError
from ..half import whole

SIDES = ("north", "east", "south", "west")


def check_mesh(width: int, height: int) -> tuple[int, int]:
    """The same two numbers, or a SpecError if they are no mesh that a chip can have."""
    width, height = whole(width, "columns of a mesh", least=1), whole(height, "rows of a mesh", least=1)
    if width * height > MAX_NODES:
        raise SpecError(f"a mesh of {width}x{height} has {width * height} cores, a chip at most {MAX_NODES}; "
                        "choose a smaller one")
    return width, height


@dataclass(frozen=True)
class Tree:
    """A packet's links from its source on: `links` with the place of the one before (-1: the source) in `before`, and
    for each destination the place of its last link (-1: the source itself)."""

    links: tuple[int, ...]
    before: tuple[int, ...]
    leaves: tuple[int, ...]


@dataclass(frozen=True)
class Mesh:
    """Cores side by side and the links between neighbours, one each way.

    Members
    -------
    links : (from, to) of every link
    paths : bool (nodes, nodes, links), whether a packet from one core to another takes a link
    """

    width: int
    height: int

    @property
    def nodes(self) -> int:
        """Core n is at column n mod width, row n // width, counted from the top."""
        return self.width * self.height

    @cached_property
    def links(self) -> tuple[tuple[int, int], ...]:
        pairs = []
        for node in range(self.nodes):
            x, y = node % self.width, node // self.width
            for beside, there in ((node - self.width, y > 0), (node + 1, x + 1 < self.width),
                                  (node + self.width, y + 1 < self.height), (node - 1, x > 0)):
                if there:
                    pairs.append((node, beside))
        return tuple(pairs)

    @cached_property
    def _numbers(self) -> dict[tuple[int, int], int]:
        return {pair: number for number, pair in enumerate(self.links)}

    def path(self, source: int, destination: int) -> list[int]:
        """Links from a core to another, in order."""
        width, found, at = self.width, [], source
        while at != destination:
            side = destination % width - at % width
            step = (1 if side > 0 else -1) if side else (width if destination > at else -width)
            found.append(self._numbers[at, at + step])
            at += step
        return found

    @cached_property
    def paths(self) -> np.ndarray:
        table = np.zeros((self.nodes, self.nodes, len(self.links)), bool)
        for source in range(self.nodes):
            for destination in range(self.nodes):
                table[source, destination, self.path(source, destination)] = True
        return table

    def tree(self, source: int, destinations: tuple[int, ...]) -> Tree:
        """The union of the ways to all destinations."""
        return _tree(self, source, destinations)


@lru_cache(maxsize=4096)
def _tree(mesh: Mesh, source: int, destinations: tuple[int, ...]) -> Tree:
    places: dict[int, int] = {}
    links, before, leaves = [], [], []
    for destination in destinations:
        last = -1
        for link in mesh.path(source, destination):
            if link not in places:
                places[link] = len(links)
                links.append(link)
                before.append(last)
            last = places[link]
        leaves.append(last)
    return Tree(tuple(links), tuple(before), tuple(leaves))
