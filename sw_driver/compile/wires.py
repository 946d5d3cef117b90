"""The network between cores as a sequence of events: which packet waits where, and for what."""

import heapq
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from . import timing as at
from .routes import Mesh

Arrival = Callable[[int, int], None]    # the cycle and the core


class Clock:
    """Events in the order of their cycles; those of one cycle in the order they were added."""

    def __init__(self):
        self._events: list[tuple] = []
        self._count = 0

    def at(self, when: int, what: Callable, *arguments) -> None:
        """Calls `what(when, *arguments)` in its turn."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what, arguments))

    def run(self) -> None:
        """Until nothing is left to happen."""
        events = self._events
        while events:
            when, _, what, arguments = heapq.heappop(events)
            what(when, *arguments)


@lru_cache(maxsize=8192)
def _turns(mesh: Mesh, source: int, destinations: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
    """For the buffer behind each link of a packet's tree, and for that of its core, the ways on from there.

    Link k is way k, and the buffer behind it buffer k; with n links, n + c is the way into core c, and the buffer of
    what comes from it.
    """
    count = len(mesh.links)
    tree = mesh.tree(source, destinations)
    buffers = [count + source, *tree.links]
    turns: dict[int, list[int]] = {buffer: [] for buffer in buffers}
    for link, before in zip(tree.links, tree.before, strict=True):
        turns[buffers[before + 1]].append(link)
    for destination, leaf in zip(destinations, tree.leaves, strict=True):
        turns[buffers[leaf + 1]].append(count + destination)
    return {buffer: tuple(ways) for buffer, ways in turns.items()}


class Wires:
    """Packets over a mesh: a buffer behind every link, and on both ways between a core and its router, in which the
    first packet holds up the others.

    A packet whose last flit a core hands over in cycle t is offered to a core h links away in cycle t + 2 (h + 1), if
    nothing is in its way, and there in full `flits` - 1 cycles later. It leaves a buffer for each way it has to go when
    that carries no other packet and the next buffer has room for all of it, and the buffer when it is on all its ways.
    Who came first goes first. Cores take what comes for them, `PACKET_GAP` cycles apart.
    """

    def __init__(self, clock: Clock, mesh: Mesh):
        self._clock, self._mesh, self._links = clock, mesh, len(mesh.links)
        count = self._links + mesh.nodes
        self._outbox: list[deque] = [deque() for _ in range(mesh.nodes)]
        self._handing = [False] * mesh.nodes
        self._queues: list[deque] = [deque() for _ in range(count)]
        self._room = [at.GRANULES] * count
        self._left = [0] * count
        self._busy = [False] * count
        # Of the buffers on the ways into cores, and from when on each core takes its next packet.
        self._inner, self._taking = [at.GRANULES] * mesh.nodes, [0] * mesh.nodes
        self._waiting: list[deque] = [deque() for _ in range(count)]

    def send(self, when: int, source: int, destinations: tuple[int, ...], flits: int, arrived: Arrival,
             left: Callable[[int, int], None] | None = None) -> None:
        """From cycle `when` on a packet waits at `source`; `left(cycle, source)` when it waits no longer, and
        `arrived(cycle, destination)` when a destination has all of it."""
        need = -(-flits // at.GRANULE_FLITS)
        packet = (_turns(self._mesh, source, destinations), flits, need, arrived, left)
        self._clock.at(when, self._offer, source, packet)

    def _offer(self, when: int, core: int, packet: tuple) -> None:
        self._outbox[core].append(packet)
        if not self._handing[core]:
            self._hand(when, core)

    def _hand(self, when: int, core: int) -> None:
        """Hands the core's next packet over, if its buffer has room."""
        buffer, outbox = self._links + core, self._outbox[core]
        if self._handing[core] or not outbox or self._room[buffer] < outbox[0][2]:
            return
        packet = outbox.popleft()
        _, flits, need, _, left = packet
        self._room[buffer] -= need
        self._handing[core] = True
        self._clock.at(when + flits - 1, self._arrive, buffer, packet)
        self._clock.at(when + flits + at.PACKET_GAP, self._handed, core)
        if left is not None:
            left(when, core)

    def _handed(self, when: int, core: int) -> None:
        self._handing[core] = False
        self._hand(when, core)

    def _arrive(self, when: int, buffer: int, packet: tuple) -> None:
        queue = self._queues[buffer]
        queue.append(packet)
        if len(queue) == 1:
            self._ask(when, buffer, packet)

    def _ask(self, when: int, buffer: int, packet: tuple) -> None:
        """The first packet of a buffer asks for all its ways."""
        ways = packet[0][buffer]
        self._left[buffer] = len(ways)
        for way in ways:
            if self._waiting[way] or not self._go(when, way, buffer):
                self._waiting[way].append(buffer)

    def _go(self, when: int, way: int, buffer: int) -> bool:
        """Sends a buffer's first packet on a way, if that is free."""
        packet = self._queues[buffer][0]
        _, flits, need, arrived, _ = packet
        if self._busy[way]:
            return False
        core = way - self._links
        if core < 0:
            if self._room[way] < need:
                return False
            self._room[way] -= need
            self._clock.at(when + at.HOP, self._arrive, way, packet)
        else:
            if self._inner[core] < need:
                return False
            self._inner[core] -= need
            taken = max(when + at.HOP, self._taking[core]) + flits
            self._taking[core] = taken + at.PACKET_GAP
            self._clock.at(taken - 1, arrived, core)
            self._clock.at(taken, self._taken, core, need)
        self._busy[way] = True
        self._clock.at(when + flits, self._passed, way, buffer)
        return True

    def _taken(self, when: int, core: int, need: int) -> None:
        """A packet has left the buffer on the way into its core."""
        self._inner[core] += need
        self._serve(when, self._links + core)

    def _passed(self, when: int, way: int, buffer: int) -> None:
        self._busy[way] = False
        self._left[buffer] -= 1
        if not self._left[buffer]:
            queue = self._queues[buffer]
            self._room[buffer] += queue.popleft()[2]
            if queue:
                self._ask(when, buffer, queue[0])
            if buffer < self._links:
                self._serve(when, buffer)
            else:
                self._hand(when, buffer - self._links)
        self._serve(when, way)

    def _serve(self, when: int, way: int) -> None:
        """Lets the next who waits for a way go."""
        waiting = self._waiting[way]
        if waiting and self._go(when, way, waiting[0]):
            waiting.popleft()
