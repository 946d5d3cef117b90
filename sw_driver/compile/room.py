"""Rows of synapses that a core of a mesh needs, and has."""

from dataclasses import dataclass

import numpy as np

from ..errors import Misfit
from ..network import Network, TrainingSpec
from .work import Work


@dataclass(frozen=True, kw_only=True)
class Room:
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


def crowded(network: Network, nodes: int, synapses: int | None) -> Misfit:
    """What to say where no plan was found that fits, and none was ruled out."""
    return Misfit(f"found no way to fit {network} on {nodes} cores of {synapses:,} rows of synapses, although all "
                  "together have enough; use a larger mesh or cores with more synapses")


