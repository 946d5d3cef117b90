"""A core's engines as sequences of events: when each item is listed, visited, fed to the neuron units and retired."""

from collections import deque
from collections.abc import Sequence

from . import timing as at


class Sweep:
    """The forward or the backward engine of one core during one part: items in their order, stage behind stage.

    Cycles are those of the chip; `item` is called once per item, in order, and knows only what came before.

    Parameters
    ----------
    start : cycle in which the part starts
    layers : of the network
    beats : per group
    gated : items pass a gate before, where they wait for rows of other cores
    """

    def __init__(self, *, start: int, layers: int, beats: int, backward: bool, gated: bool = False):
        self._layers, self._beats = layers, beats
        self._gate = at.GATE if gated else 0
        self._sum_lag = at.VISIT_LAG + (at.BACKWARD_SUM if backward else at.FORWARD_SUM)
        if beats == 1:
            self._sum_lag -= at.LONE_BEAT
        self._unit = at.BACKWARD_UNIT if backward else at.FORWARD_UNIT
        self._look_lag = at.LOOK_BACKWARD if backward else at.LOOK_FORWARD
        self._offer = start + at.SCHEDULE_START     # of the next item
        self._scanner = self._looker = self._visits = self._fed = self._ended = start
        self._last = start - beats                  # last visit of a sum; the next one's is `beats` later at least
        self._retired: list[int] = []
        self._lists: deque[int] = deque([start - 1] * at.LISTS, at.LISTS)       # when each list was given back
        self._jobs: deque[int] = deque([start - 1] * at.JOBS, at.JOBS)          # when each job was taken
        self._tokens: deque[int] = deque([start - 1] * (at.TOKENS + 1), at.TOKENS + 1)  # when each token was done with
        self._sums: deque[int] = deque([start - 1] * at.SUMS, at.SUMS)          # when each sum had left
        self._issued: list[int] = []                # beats
        self.busy = 0

    def item(self, *, active: bool, scan: int = 0, events: int = 0, wanted: Sequence[bool] = (), listed: bool = True,
             ready: int = 0) -> list[int]:
        """The cycles in which the item's groups of outputs are finished.

        Parameters
        ----------
        active : there is something to do
        scan : cycles from the item to the offer of its list
        events : entries of the list
        wanted : per group, whether it is visited
        listed : a list is made, even if without events
        ready : first cycle in which its gate lets it pass, all rows that it reads having come
        """
        number = len(self._retired)
        take = max(self._offer + (self._gate if active else 0), self._scanner)
        if number > self._layers:
            take = max(take, self._retired[number - self._layers - 1] + at.RETIRED_SEEN)
        take = max(take, self._lists[0] + 1)
        take = max(take, ready)
        listed = listed and active
        self._offer = take + at.SCHEDULE_PERIOD
        sent = take + (scan if listed else at.SCAN_EMPTY)
        looked = max(sent + at.STAGE, self._looker)
        # The stage behind the scanner holds one item until the looker takes it.
        self._scanner = max(sent, looked - at.STAGE) + 1
        if not active:
            self._looker = looked + 1
            passed = max(looked + 1, self._fed + 1)
            self._fed = passed
            self._ended = max(passed + 1, self._ended + 1)
            self._retired.append(self._ended + at.RETIRE)
            return []
        finished = self._groups(looked, events, wanted, free=self._free(number))
        if listed:
            self._visits = max(self._visits, self._look + 1 + at.JOB_LAG) + 1
            self._lists.append(self._visits)
        self._looker = self._look + 1 + listed
        self._ended = finished[-1]
        self._retired.append(self._ended + at.RETIRE)
        return finished

    def _free(self, number: int) -> int:
        """From when on at most `layers` items are unfinished, so that beats flow without looking at those ahead."""
        return self._retired[number - self._layers] + at.RETIRED_SEEN if number >= self._layers else 0

    def _groups(self, looked: int, events: int, wanted: Sequence[bool], *, free: int) -> list[int]:
        beats, limit = self._beats, len(wanted) * self._beats
        waiting = looked + at.ITEM_FRESH > self._fed
        fed = max(looked + at.ITEM_FRESH, self._fed + at.ITEM_LOOKED) if waiting else self._fed + at.ITEM_LOOKED
        look, finished = looked + self._look_lag - 1, []
        for visit in wanted:
            visit = bool(visit and events)
            look = max(look + 1, self._tokens[0] + 1)
            begin = max(fed + 1, look + at.TOKEN_LAG)
            if visit:
                look = max(look, self._jobs[0] + 1)
                first = max(self._visits + 1, look + at.JOB_LAG)
                self._jobs.append(first - 1)
                self._visits = self._last = max(first + events - 1, self._sums[0] + 1, self._last + beats)
                self.busy += events
                begin = max(begin, look + at.TOKEN_LAG, self._visits + self._sum_lag)
            begin = fed = self._feed(begin, limit, free)
            fed = self._issued[-1]
            if visit:
                self._sums.append(fed)
            self._tokens.append(fed)
            finished.append(fed + self._unit)
        self._fed, self._look = fed, look
        return finished

    def _feed(self, begin: int, limit: int, free: int) -> int:
        """Issues a group's beats from `begin` on; the first one's cycle."""
        issued, beats = self._issued, self._beats
        if begin >= free or len(issued) < limit:
            issued.extend(range(begin, begin + beats))
            return begin
        first = None
        for _ in range(beats):
            if begin < free:
                begin = max(begin, min(free, issued[-limit] + self._unit + 1))
            issued.append(begin)
            first = begin if first is None else first
            begin += 1
        assert first is not None
        return first

    @property
    def done(self) -> int:
        """The cycle after the part: its last item has retired."""
        return (self._retired[-1] if self._retired else self._offer) + at.PART_END


class Update:
    """Gradient and update of one core at a batch's end: groups of weights one after the other, layer by layer.

    Parameters
    ----------
    start : cycle in which the part starts
    words : of history per neuron
    beats : per group
    """

    def __init__(self, *, start: int, words: int, beats: int):
        self._words, self._beats = words, beats
        self._sum_lag = at.HIT_LAG + at.FORWARD_SUM - (at.LONE_BEAT if beats == 1 else 0)
        self._ahead = max(at.WORDS // words, 1)     # groups whose words may wait
        self.ended = start + at.UPDATE_START

    def layer(self) -> None:
        """Starts the next layer when the last one has ended."""
        start = self.ended + at.LAYER_START
        self._issued = self._hit = self._fetched = self._fed = start
        self._last = start - self._beats            # last hit of a sum
        self._sums: deque[int] = deque([0] * at.SUMS, at.SUMS)      # when each sum had left
        self._tokens: deque[int] = deque([0] * at.GROUPS_WAITING, at.GROUPS_WAITING)    # when each group was fetched
        self._history: deque[int] = deque([0] * self._ahead, self._ahead)   # when each group's words were done with

    def group(self, hits: int, *, after: int = 0) -> int:
        """The cycle in which the group's new weights are written; `after`: its results have room from there on."""
        beats = self._beats
        self._issued = max(self._issued + self._words, self._history[0] + 1)
        hit = max(self._hit + max(hits, 1), self._issued + at.WORD_LAG, self._tokens[0] + 1)
        if hits:
            hit = self._last = max(hit, self._sums[0] + 1, self._last + beats)
        self._hit = hit
        self._history.append(hit)
        fetch = max(hit + 1, self._fetched)
        self._tokens.append(fetch)
        take = max(fetch + at.FETCH - 1, self._fed, after)
        self._fetched = take + 1
        begin = max(take + 1, hit + self._sum_lag) if hits else take + 1
        last = begin + beats - 1
        if hits:
            self._sums.append(last)
        self._fed = last + at.GROUP_PAUSE
        written = last + at.OPTIMISER_UNIT + at.WRITE_BACK - 1
        self.ended = written + at.LAYER_END
        return written
