"""Gradient and update at a batch's end on the cores of a chip, event by event."""

from collections.abc import Iterator

import numpy as np

from ...hw.contract.chip import MAP_BITS
from ...hw.contract.rows import packet_flits
from ..network import Network
from . import timing as at
from .engines import Update
from .plan import Plan
from .wires import Clock, Wires
from .work import Activity, hits_of


class UpdateRun:
    """Every core updates its weights, layer by layer, and sends those of inputs that are neurons to where they are.

    Members
    -------
    busy : int (nodes,), cycles with a visit
    """

    def __init__(self, network: Network, plan: Plan, activity: Activity, clock: Clock, wires: Wires, *, lanes: int,
                 units: int, batch: int):
        self._network, self._plan, self._activity, self._batch = network, plan, activity, batch
        self._clock, self._wires, self._lanes, self._beats = clock, wires, lanes, lanes // units
        self._held = [plan.of_core(core) for core in range(plan.nodes)]
        self._meshed = plan.nodes > 1
        self.busy = np.zeros(plan.nodes, np.int64)

    def go(self, ended: int) -> int:
        """From when all samples were through: the cycle in which all weights are where they are read."""
        barrier = at.BARRIER if self._meshed else 0
        start = ended + at.TO_UPDATE
        words = -(-self._batch * self._network.steps // MAP_BITS)
        order = np.arange(self._batch) % self._activity.samples
        activity = Activity(spikes=tuple(bits[order] for bits in self._activity.spikes),
                            masks=(), errors=tuple(bits[order] for bits in self._activity.errors), source="")
        self._hits = [hits_of(activity, layer, self._lanes, bias=spec.bias)
                      for layer, spec in enumerate(self._network.layers)]
        self._owner_of = [np.zeros(spec.outputs, np.int64) for spec in self._network.layers]
        for cut in self._plan.cuts:
            self._owner_of[cut.layer][cut.first:cut.last] = cut.core
        self._updates = [Update(start=start, words=words, beats=self._beats) for _ in range(self._plan.nodes)]
        self._room_from = [0] * self._plan.nodes
        self._inside = [0] * self._plan.nodes        # rows of weights that wait for the network or will
        self._ends = [start]
        self._work = [self._updating(core) for core in range(self._plan.nodes)]
        for core in range(self._plan.nodes):
            self._pump(core)
        self._clock.run()
        return max(*self._ends, *(update.ended for update in self._updates)) + barrier

    def _updating(self, core: int) -> Iterator[tuple[int, int]]:
        """(cycle, core that it goes to) of the core's rows of new weights, as they are written."""
        update = self._updates[core]
        for layer, cut in sorted(self._held[core].items()):
            mine = self._hits[layer][:, cut.first // self._lanes:-(-cut.last // self._lanes)]
            self.busy[core] += int(mine.sum())
            inputs = self._network.layers[layer].inputs
            update.layer()
            for source, counts in enumerate(mine.tolist()):
                for hits in counts:
                    written = update.group(hits, after=self._room_from[core])
                    if self._meshed and layer and source < inputs:
                        yield written, int(self._owner_of[layer - 1][source])

    def _pump(self, core: int) -> None:
        """Updates until no more rows may wait for the network."""
        flits = packet_flits(16 * self._lanes)
        while self._inside[core] < at.OUTBOX:
            row = next(self._work[core], None)
            if row is None:
                return
            self._inside[core] += 1
            self._wires.send(row[0] + at.ROW_OUT, core, (row[1],), flits, self._stored, self._row_left)

    def _row_left(self, when: int, core: int) -> None:
        full = self._inside[core] == at.OUTBOX
        self._inside[core] -= 1
        if full:
            self._room_from[core] = when
            self._pump(core)

    def _stored(self, when: int, core: int) -> None:
        self._ends.append(when + at.ROW_STORED)
