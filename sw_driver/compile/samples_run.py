"""The samples of a batch on the cores of a chip, event by event."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ...hw.contract.rows import packet_flits
from ..network import Network
from . import timing as at
from .engines import Sweep
from .plan import Plan
from .wires import Clock, Wires
from .work import Activity, by_group, scan_cycles

Progress = Callable[[str, float], None]
FORWARD, BACKWARD = "forward", "backward"


@dataclass(eq=False)
class _Engine:
    """One core's engine during a part: its sweep, its place in the order, rows that have come."""

    sweep: Sweep
    at: int = 0
    # By (layer, step): how many, and from when on the item may pass.
    rows: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)


@dataclass(eq=False)
class _Part:
    """The forward or backward part of a sample, on all cores."""

    kind: str
    sample: int
    start: int
    cores: list[_Engine]
    left: int


class SamplesRun:
    """Forward of one sample beside backward of the one before, on all cores, until all samples are through.

    Members
    -------
    ended : cycle in which the last one has gone backward
    busy : int (nodes,) by engine, cycles with a visit
    lasted : cycles of every sample's forward and backward part
    """

    def __init__(self, network: Network, plan: Plan, activity: Activity, clock: Clock, wires: Wires, *, lanes: int,
                 units: int, batch: int, clearing: int = 0, progress: Progress | None = None):
        self.network, self.plan, self.batch = network, plan, batch
        self._lanes, self._beats, self._activity, self._progress = lanes, lanes // units, activity, progress
        self._held = [plan.of_core(core) for core in range(plan.nodes)]
        self.busy = {engine: np.zeros(plan.nodes, np.int64) for engine in (FORWARD, BACKWARD)}
        self.lasted: dict[str, list[int]] = {FORWARD: [], BACKWARD: []}
        self.ended = 0
        self._cleared = clearing + at.CLEARED
        self._meshed = plan.nodes > 1
        self._barrier = at.BARRIER if self._meshed else 0
        self._clock, self._wires = clock, wires
        self._owners = [tuple(sorted({cut.core for cut in plan.of_layer(layer)}))
                        for layer in range(len(network.layers))]
        self._tables()

    def _tables(self):
        """Of every layer, sample and step, as plain lists: lengths of scans, events, groups to be visited."""
        layers, activity, lanes = self.network.layers, self._activity, self._lanes
        self._scan: dict[str, list] = {FORWARD: [], BACKWARD: []}
        self._events_of: dict[str, list] = {FORWARD: [], BACKWARD: []}
        self._wanted, self._history = [], []
        for index, layer in enumerate(layers):
            rows = by_group(activity.spikes[index], lanes)
            self._scan[FORWARD].append((scan_cycles(rows) + at.SCAN_LAG + layer.bias).tolist())
            self._events_of[FORWARD].append((activity.spikes[index].sum(-1) + layer.bias).tolist())
            self._history.append((np.maximum(rows, at.HISTORY_ROW).sum(-1) + at.HISTORY_ITEM).sum(1).tolist())
            self._wanted.append((by_group(activity.masks[index], lanes) > 0).tolist())
            if index + 1 < len(layers):
                errors = activity.errors[index + 1]
                self._scan[BACKWARD].append((scan_cycles(by_group(errors, lanes)) + at.SCAN_FAR).tolist())
                self._events_of[BACKWARD].append(errors.sum(-1).tolist())

    def _items(self, kind: str):
        """(layer, step) in the order of the items, or None for a place without work."""
        layers, steps = len(self.network.layers), self.network.steps
        for slot in range(steps + layers - 1):
            for position in range(layers):
                lag = slot - position
                if not 0 <= lag < steps:
                    yield None
                elif kind == FORWARD:
                    yield position, lag
                else:
                    yield layers - 1 - position, steps - 1 - lag

    def go(self) -> None:
        """Takes all samples through."""
        self._order = {kind: list(self._items(kind)) for kind in (FORWARD, BACKWARD)}
        self._loaded = 0                # when the host has loaded the sample that comes next
        self._rear = 0                  # when the rear is at rest
        self._waiting: int | None = None        # when the sample in front was ready for the rear
        self._finished = 0              # samples gone backward
        self._backward: _Part | None = None
        self._start(FORWARD, 0, 1)
        self._clock.run()

    def _start(self, kind: str, sample: int, when: int) -> None:
        cores = [_Engine(Sweep(start=when, layers=len(self.network.layers), beats=self._beats,
                               backward=kind == BACKWARD, gated=self._meshed)) for _ in range(self.plan.nodes)]
        part = _Part(kind=kind, sample=sample, start=when, cores=cores, left=self.plan.nodes)
        if kind == BACKWARD:
            self._backward = part
        if self._progress is not None and kind == FORWARD:
            self._progress("prediction", sample / self.batch)
        for core in range(self.plan.nodes):
            self._advance(part, core)

    def _advance(self, part: _Part, core: int) -> None:
        """Takes the core's items as far as their rows have come."""
        engine, order = part.cores[core], self._order[part.kind]
        while engine.at < len(order):
            entry = order[engine.at]
            if entry is None or entry[0] not in self._held[core]:
                engine.sweep.item(active=False)
                engine.at += 1
                continue
            ready = self._ready(part, engine, *entry)
            if ready is None:
                return
            engine.at += 1
            self._item(part, core, engine, *entry, ready=ready)
        self.busy[part.kind][core] += engine.sweep.busy
        part.left -= 1
        if not part.left:
            self._clock.at(max(other.sweep.done for other in part.cores), self._end, part)

    def _ready(self, part: _Part, engine: _Engine, layer: int, step: int) -> int | None:
        """When an item's rows are all there; 0 if none are waited for, None if some have not come."""
        before = layer - 1 if part.kind == FORWARD else layer + 1
        if not self._meshed or not 0 <= before < len(self.network.layers):
            return 0
        needed = -(-self.network.layers[before].outputs // self._lanes)
        came, last = engine.rows.get((layer, step), (0, 0))
        return last if came == needed else None

    def _item(self, part: _Part, core: int, engine: _Engine, layer: int, step: int, *, ready: int) -> None:
        cut = self._held[core][layer]
        sample = part.sample % self._activity.samples
        first, last = cut.first // self._lanes, -(-cut.last // self._lanes)
        kind, final = part.kind, layer == len(self.network.layers) - 1
        if kind == FORWARD:
            finished = engine.sweep.item(active=True, scan=self._scan[kind][layer][sample][step],
                                         events=self._events_of[kind][layer][sample][step],
                                         wanted=[True] * (last - first), ready=ready)
        elif final:
            finished = engine.sweep.item(active=True, wanted=[False] * (last - first), listed=False)
        else:
            finished = engine.sweep.item(active=True, scan=self._scan[kind][layer][sample][step],
                                         events=self._events_of[kind][layer][sample][step],
                                         wanted=self._wanted[layer][sample][step][first:last], ready=ready)
        after = layer + 1 if kind == FORWARD else layer - 1
        if self._meshed and 0 <= after < len(self.network.layers):
            flits = packet_flits(self._lanes if kind == FORWARD else 16 * self._lanes)
            came = partial(self._came, part=part, layer=after, step=step)
            for when in finished:
                self._wires.send(when + at.ROW_OUT, core, self._owners[after], flits, came)

    def _came(self, when: int, core: int, *, part: _Part, layer: int, step: int) -> None:
        """A row for an item (layer, step) is there in full."""
        engine = part.cores[core]
        count, _ = engine.rows.get((layer, step), (0, 0))
        engine.rows[layer, step] = (count + 1, when + at.ROW_IN)
        if engine.at < len(self._order[part.kind]):
            self._advance(part, core)

    def _end(self, when: int, part: _Part) -> None:
        """A part has ended on all cores."""
        self.lasted[part.kind].append(when - part.start)
        if part.kind == FORWARD:
            classes = max(cut.outputs for cut in self.plan.of_layer(len(self.network.layers) - 1))
            self._waiting = when + self._barrier + at.TO_LOSS + at.LOSS_LATENCY + classes + self._barrier
            self._hand_over()
            return
        sample = part.sample % self._activity.samples
        history = max(sum(self._history[layer][sample] for layer in held) for held in self._held)
        self._rear = max(when, part.start + history) + at.TO_REST + self._barrier
        self.ended = self._rear
        self._finished += 1
        self._backward = None
        self._clock.at(self._rear, self._at_rest)

    def _at_rest(self, when: int) -> None:
        self._hand_over()

    def _hand_over(self) -> None:
        """The sample in front goes backward once the one before it has, and the next one forward beside it."""
        if self._waiting is None or self._backward is not None:
            return
        when = max(self._waiting, self._rear, self._cleared)
        self._waiting = None
        sample = self._finished
        self._start(BACKWARD, sample, when + at.HAND_OVER)
        if sample + 1 < self.batch:
            ready = when + at.HAND_OVER + at.TO_NEXT
            if sample > 0:
                # The slot of the next sample was freed when the sample before this one had gone backward.
                ready = max(ready, self._rear + self._load())
            self._clock.at(ready, lambda cycle: self._start(FORWARD, sample + 1, cycle))

    def _load(self) -> int:
        """Cycles in which the host reads a slot's readouts and writes the next sample into it."""
        lanes, layers = self._lanes, self.network.layers
        classes = -(-self.network.classes // lanes) * lanes
        rows = -(-layers[0].inputs // lanes) * self.network.steps
        if lanes < 16:
            inputs = at.LOAD_ROW * rows + -(-rows * lanes // 16)
        else:
            inputs = at.LOAD_WORD * rows * (lanes // 16)
        cycles = at.LOAD_SAMPLE + inputs + (at.LOAD_WORD + 4 * at.READ_WORD) * classes
        if self.plan.nodes > 1:
            # Inputs go to all cores at once; each core with classes gets its targets and is asked for its readouts.
            readers = len(self.plan.of_layer(len(layers) - 1))
            cycles += at.SELECT * (1 + 2 * readers) + at.HEAD * 2 * (readers - 1)
        return cycles
