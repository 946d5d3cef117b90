"""Bench of Walker and the Looker in it: which groups are visited, with which events, without a bubble."""

import random
from collections import deque

import cocotb

from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.look import ROWS
from autapse.hw.engine.memory import ROW_LATENCY
from autapse.hw.engine.scan import EventList, work_layout
from autapse.hw.engine.table import Widths, layer_view
from autapse.hw.engine.walk import JOBS
from bench import bench_parameters
from engine_cycles import Memory, Ports, Sink, Source, faulty, reset, run, values
from engine_items import item, load_layers, random_layers
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("walk")
PARTS = BANK.components
WALKS = [name for name in PARTS if name.startswith("walk")]
FIELDS = {False: ("weights", "row_step", "groups", "inputs", "bias"),
          True: ("groups", "spiking", "next_outputs", "spikes_out", "masks")}
FETCH = 3  # cycles from the first look at a row's address to where a group can be decided


class Works(Source):
    """Offers work whose list is not still in use."""

    busy = ()

    def drive(self, cycle: int):
        if not self.done and self.payloads[len(self.taken)].buffer in self.busy:
            self._ports.put("i__valid", 0)
        else:
            super().drive(cycle)


class Rows:
    """Model of the reader of masks to the cycle: which group's row is there to be looked at."""

    def __init__(self):
        self._way, self.there = deque([0] * (FETCH - 1)), 0
        self._left = self._wait = 0

    def begin(self, groups: int):
        """An item was taken in this cycle: its first row's address is there two cycles later."""
        self._left, self._wait = groups, 2

    @property
    def idle(self) -> bool:
        return not self._left

    def step(self, *, taken: bool):
        """The end of a cycle in which a group was decided, or not."""
        room = self.there <= ROWS - FETCH - 1
        self.there += self._way.popleft() - taken
        issue = self._left > 0 and not self._wait and room
        self._way.append(int(issue))
        self._left -= issue
        self._wait -= self._wait > 0


class Walks:
    """Model of a Walker to the cycle: groups looked at, jobs waiting, one visit per cycle, lanes behind it."""

    def __init__(self, ports: Ports, unit, plans, source: Works, *, steps: int, rng: random.Random, delay: float):
        self._ports, self._unit, self._plans, self._source = ports, unit, plans, source
        self._steps, self._rng, self._delay, self.lag = steps, rng, delay, unit.lag
        self._state, self._number, self._group, self._event = "idle", -1, 0, 0
        self._rows = Rows()
        self._jobs, self._job, self._busy = deque(), None, set()
        self._answers = deque([None] * EventList.latency)
        self._flying = deque([None] * self.lag)
        self._waiting = self._out = self._blocked = self._begin = self._saved = 0
        self._apart = self._unit.config.beats   # cycles since the last row of a sum
        self.released, self.visits, self.full = [], [], 0

    @property
    def done(self) -> bool:
        return (self._number == len(self._plans) - 1 and self._state == "idle" and not self._jobs and not self._job
                and not any(self._flying))

    def drive(self, cycle: int):
        self._back = self._waiting > 0 and self._rng.random() >= self._delay
        self._waiting -= self._back
        self._source.busy = frozenset(self._busy)
        self._ports.put("i_done", self._back)
        answer = self._answers[0]
        self._ports.put("r_event", self._rng.getrandbits(self._unit.event.size) if answer is None else answer)
        if self._unit.backward:
            self._ports.put("i_steps", self._steps)

    def observe(self, cycle: int):
        place, waiting = len(self._jobs) < JOBS, bool(self._jobs)
        visit, free = self._visit(cycle)
        self._lanes(cycle)
        self._answers = deque([*self._answers, visit and visit["event"]], EventList.latency)
        self._flying.append(visit)
        # Looked at in this cycle, a job waits from the next one on, and is in hand from the one after.
        following = self._jobs.popleft() if free and waiting else None
        self._look(cycle, place=place)
        if free:
            self._job = following
        self._out += bool(visit and visit["last"]) - self._back

    def _visit(self, cycle: int):
        """The visit of this cycle, and whether the job in hand is done with it."""
        get, job, visit = self._ports.get, self._job, None
        release = bool(job and not job["events"])
        assert get("o_release") == release, f"o_release in cycle {cycle}"
        if release:
            self._busy.discard(job["buffer"])
            self.released.append(cycle)
        elif job:
            last = self._event == len(job["events"]) - 1
            self.full += last and self._out == Lanes.credits
            if not last or (self._out < Lanes.credits and self._apart >= self._unit.config.beats):
                found = get("r_buffer"), get("r_index")
                assert found == (job["buffer"], self._event), f"visit of {found} in cycle {cycle}"
                visit = {"event": job["events"][self._event], "base": job["base"], "first": int(self._event == 0),
                         "last": int(last)}
                self.visits.append(cycle)
                self._event = 0 if last else self._event + 1
        self._apart = 1 if visit and visit["last"] else self._apart + 1
        assert get("o_visit") == bool(visit), f"o_visit in cycle {cycle}, job {job}"
        return visit, not job or release or bool(visit and visit["last"])

    def _lanes(self, cycle: int):
        # An event's address in memory is there a cycle after the list has answered.
        get, addressed, arriving = self._ports.get, self._flying[-1 - EventList.latency], self._flying.popleft()
        if addressed:
            event = self._unit.event.from_bits(addressed["event"])
            wanted = (addressed["base"] + int(event.address)) % (1 << self._unit.widths.synapse)
            assert get("o_address") == wanted, f"o_address in cycle {cycle} is not {wanted}"
        marks = get("o_valid"), get("o_first"), get("o_last")
        wanted = (1, arriving["first"], arriving["last"]) if arriving else (0, 0, 0)
        assert marks == wanted, f"marks {marks} in cycle {cycle}, model {wanted}"
        if arriving and self._unit.backward:
            factor = int(self._unit.event.from_bits(arriving["event"]).factor)
            assert get("o_factor") == factor, f"o_factor in cycle {cycle} is not {factor:#x}"
        self._waiting += wanted[2]

    def _look(self, cycle: int, *, place: bool):
        get, saved, backward = self._ports.get, 0, self._unit.backward
        plan = self._plans[self._number]
        idle = self._state == "idle" and self._rows.idle
        looking, token, taken = self._state == "look", get("o_token__valid"), False
        assert get("o_item__valid") == (idle and get("i__valid")), f"o_item in cycle {cycle}"
        assert get("i__ready") == (idle and get("o_item__ready")), f"i.ready in cycle {cycle}"
        wanted, there = looking and plan["groups"][self._group], not backward or self._rows.there > 0
        assert token == bool(looking and there and (place or not wanted["sum"])), f"o_token in cycle {cycle}"
        assert get("o_saved") == self._saved, f"o_saved in cycle {cycle} is not {self._saved}"
        if self._state == "idle":
            if get("i__valid") and get("o_item__ready") and idle:
                self._number, self._group, self._begin, self._blocked = self._number + 1, 0, cycle, 0
                plan = self._plans[self._number]
                assert get("o_item__payload").as_bits() == plan["work"].item.as_bits(), f"item {self._number}"
                if plan["work"].listed:
                    self._busy.add(int(plan["work"].buffer))
                if plan["work"].item.active:
                    self._state = "load"
                    if backward:
                        self._rows.begin(len(plan["groups"]))
        elif self._state == "load":
            self._state = "look"
        elif looking and token and get("o_token__ready"):
            taken = True
            found = values(get("o_token__payload"))
            assert found == {name: wanted[name] for name in found}, f"group {self._group} of item {self._number}"
            saved = plan["inputs"] - (wanted["sum"] and len(plan["events"]))
            if wanted["sum"]:
                self._jobs.append({"events": plan["events"], "base": wanted["base"],
                                   "buffer": int(plan["work"].buffer)})
            self._group += 1
            if wanted["end"]:
                self._state = "release" if plan["work"].listed else "idle"
                # To give the list back is one more, in the state after; backward the first row takes its way first.
                cycles = len(plan["groups"]) + 2 + (FETCH if backward else 0)
                assert cycle - self._begin + 1 - self._blocked == cycles
        elif self._state == "release" and place:
            self._jobs.append({"events": [], "buffer": int(plan["work"].buffer)})
            self._state = "idle"
        elif there:
            self._blocked += 1
        self._saved = saved % (1 << self._unit.widths.neuron + 1)
        self._rows.step(taken=taken)


def walk_plan(unit, work, layer, events, memories, *, steps: int) -> dict:
    """What a walker makes of one work: tokens of its groups, bases of the visits, inputs of a group."""
    step, groups = int(work.item.step), []
    for k in range(layer["groups"]):
        spikes = masks = 0
        if unit.backward:
            spikes, masks = (memories[name][first + step + k * steps]
                             for name, first in (("spikes", layer["spikes_out"]), ("masks", layer["masks"])))
            base, visited = k * unit.config.lanes, bool(events and masks and layer["spiking"])
        else:
            base, visited = layer["weights"] + k * layer["row_step"], bool(events)
        groups.append({"sum": int(visited), "end": int(k == layer["groups"] - 1), "spikes": spikes, "masks": masks,
                       "base": base % (1 << unit.widths.synapse)})
    inputs = layer["next_outputs"] if unit.backward else layer["inputs"] + layer["bias"]
    return {"work": work, "events": events, "groups": groups, "inputs": inputs}


async def walked(dut, name: str, rng: random.Random, *, stall: float, least: int = 0, count: int = 120):
    unit, ports = PARTS[name], Ports(dut, name, PARTS[name])
    config, lanes = unit.config, unit.config.lanes
    steps, plans, buffer = rng.randrange(2, 7), [], 0
    memories = {kind: [rng.getrandbits(lanes) * (rng.random() < 0.6) for _ in range(rows)]
                for kind, rows in (("spikes", config.spike_rows), ("masks", config.mask_rows))}
    if least:
        memories["masks"] = [row | 1 for row in memories["masks"]]
    tables = []
    for layer in random_layers(rng, layer_view(config, *FIELDS[unit.backward]), config.layers):
        groups = rng.randint(2 if least else 1, 4 if unit.backward else min(6, (1 << Widths(config).group) - 1))
        # No more inputs than a list has entries, which is what the widths of counts go by.
        own = {"groups": groups, "inputs": unit.events - 1, "next_outputs": unit.events,
               **{kind: rng.randrange(max(rows - steps * groups, 1)) for kind, rows in (
                   ("spikes_out", config.spike_rows), ("masks", config.mask_rows))},
               "spiking": int(least > 0 or rng.random() < 0.8)}
        tables.append(layer | {field: value for field, value in own.items() if field in layer})
    for _ in range(count):
        active = int(least > 0 or rng.random() < 0.8)
        listed = int(active and (least > 0 or rng.random() < 0.8))
        number = rng.randrange(config.layers)
        most = unit.events if unit.backward else unit.events - 1 + tables[number]["bias"]
        events = [rng.getrandbits(unit.event.size) for _ in range(listed * rng.randint(least, most))]
        entry = item(number, active=active, step=rng.randrange(steps))
        work = work_layout(config).const({"item": entry, "count": len(events), "buffer": buffer, "listed": listed})
        buffer ^= listed
        plans.append(walk_plan(unit, work, tables[number], events, memories, steps=steps))
    await load_layers(dut, ports, "layers", tables)
    source = Works(ports, "i", [plan["work"] for plan in plans], rng=rng, gap=stall / 2)
    walks = Walks(ports, unit, plans, source, steps=steps, rng=rng, delay=0.9 if stall else 0.0)
    agents = [source, Sink(ports, "o_item", rng=rng, stall=stall / 2), Sink(ports, "o_token", rng=rng, stall=stall / 2)]
    agents += [Memory(ports, f"{kind}__", table, width=lanes, rng=rng, latency=ROW_LATENCY)
               for kind, table in memories.items() if unit.backward]
    await run(dut, [*agents, walks], until=lambda: walks.done, limit=400 * count)
    return walks, plans


@cocotb.test()
@cocotb.parametrize(name=WALKS, stall=[0.0, 0.5])
async def groups_are_visited(dut, name, stall):
    await reset(dut, BANK)
    walks, _ = await walked(dut, name, random.Random(PARAMETERS["seed"]), stall=stall)
    assert walks.full or not stall, "no visit ever waited for the lanes"


@cocotb.test()
@cocotb.parametrize(name=WALKS)
async def visits_have_no_bubble(dut, name):
    await reset(dut, BANK)
    walks, plans = await walked(dut, name, random.Random(PARAMETERS["seed"]), stall=0.0, least=5)
    visits = sum(len(plan["groups"]) * len(plan["events"]) for plan in plans)
    assert len(walks.visits) == visits and len(walks.released) == len(plans)
    cycles = walks.released[-1] - walks.visits[0] + 1
    assert cycles == visits + len(plans), f"{cycles} cycles for {visits} visits of {len(plans)} items"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in WALKS:
        outputs = Ports(dut, name, PARTS[name]).outputs
        assert await faulty(dut, BANK, outputs, lambda rng, name=name: walked(dut, name, rng, stall=0.3),
                            seed=PARAMETERS["seed"])
