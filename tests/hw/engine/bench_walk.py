"""Bench of Walker and the Looker in it: which groups are visited, with which events, without a bubble."""

import random
from collections import deque

import cocotb

from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.memory import SynapseMemory
from autapse.hw.engine.scan import work_layout
from bench import bench_parameters
from engine_cycles import Memory, Ports, Sink, Source, faulty, reset, run, values
from engine_items import item, random_layer
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("events")
PARTS = BANK.components
WALKS = [name for name in PARTS if name.startswith("walk")]
ADDRESSES = 1 << 24
JOBS = 4  # places between Looker and the visits


class Works(Source):
    """Offers work whose list is not still in use."""

    busy = ()

    def drive(self, cycle: int):
        if not self.done and self.payloads[len(self.taken)].buffer in self.busy:
            self._ports.put("i__valid", 0)
        else:
            super().drive(cycle)


class Walks:
    """Model of a Walker to the cycle: groups looked at, four jobs waiting, one visit per cycle, lanes behind it."""

    lag = 1 + SynapseMemory.latency

    def __init__(self, ports: Ports, unit, plans, source: Works, *, steps: int, rng: random.Random, delay: float):
        self._ports, self._unit, self._plans, self._source = ports, unit, plans, source
        self._steps, self._rng, self._delay = steps, rng, delay
        self._state, self._number, self._group, self._event = "idle", -1, 0, 0
        self._jobs, self._busy, self._answer = deque(), set(), None
        self._flying = deque([None] * self.lag)
        self._waiting = self._out = self._blocked = self._begin = 0
        self.released, self.visits, self.full = [], [], 0

    @property
    def done(self) -> bool:
        return (self._number == len(self._plans) - 1 and self._state == "idle" and not self._jobs
                and not any(self._flying))

    def drive(self, cycle: int):
        self._back = self._waiting > 0 and self._rng.random() >= self._delay
        self._waiting -= self._back
        self._source.busy = frozenset(self._busy)
        self._ports.put("i_done", self._back)
        self._ports.put("r_event", self._rng.getrandbits(self._unit.event_bits) if self._answer is None
                        else self._answer)
        if self._unit.backward:
            self._ports.put("i_steps", self._steps)

    def observe(self, cycle: int):
        place = len(self._jobs) < JOBS  # one that a visit frees now can be taken from the next cycle on
        visit = self._visit(cycle)
        self._lanes(cycle)
        self._answer = visit and visit["event"]
        self._flying.append(visit)
        self._look(cycle, place=place)
        self._out += bool(visit and visit["last"]) - self._back

    def _visit(self, cycle: int):
        get, job, visit = self._ports.get, self._jobs[0] if self._jobs else None, None
        assert get("o_release") == bool(job and not job["events"]), f"o_release in cycle {cycle}"
        if job and not job["events"]:
            self._jobs.popleft()
            self._busy.discard(job["buffer"])
            self.released.append(cycle)
        elif job:
            last = self._event == len(job["events"]) - 1
            self.full += last and self._out == Lanes.credits
            if not last or self._out < Lanes.credits:
                found = get("r_buffer"), get("r_index")
                assert found == (job["buffer"], self._event), f"visit of {found} in cycle {cycle}"
                visit = {"event": job["events"][self._event], "base": job["base"], "first": int(self._event == 0),
                         "last": int(last)}
                self.visits.append(cycle)
                self._event = 0 if last else self._event + 1
                if last:
                    self._jobs.popleft()
        assert get("o_visit") == bool(visit), f"o_visit in cycle {cycle}, job {job}"
        return visit

    def _lanes(self, cycle: int):
        get, addressed, arriving = self._ports.get, self._flying[-1], self._flying.popleft()
        shift = 16 if self._unit.backward else 0
        if addressed:
            wanted = (addressed["base"] + (addressed["event"] >> shift)) % ADDRESSES
            assert get("o_address") == wanted, f"o_address in cycle {cycle} is not {wanted}"
        marks = get("o_valid"), get("o_first"), get("o_last")
        wanted = (1, arriving["first"], arriving["last"]) if arriving else (0, 0, 0)
        assert marks == wanted, f"marks {marks} in cycle {cycle}, model {wanted}"
        if arriving and self._unit.backward:
            assert get("o_factor") == arriving["event"] & 0xFFFF, f"o_factor in cycle {cycle}"
        self._waiting += wanted[2]

    def _look(self, cycle: int, *, place: bool):
        get, saved = self._ports.get, 0
        plan = self._plans[self._number]
        looking, token = self._state == "look", get("o_token__valid")
        assert get("o_item__valid") == (self._state == "idle" and get("i__valid")), f"o_item in cycle {cycle}"
        assert get("i__ready") == (self._state == "idle" and get("o_item__ready")), f"i.ready in cycle {cycle}"
        wanted = looking and plan["groups"][self._group]
        assert token == bool(looking and (place or not wanted["sum"])), f"o_token in cycle {cycle}"
        if self._state == "idle":
            if get("i__valid") and get("o_item__ready"):
                self._number, self._group, self._begin, self._blocked = self._number + 1, 0, cycle, 0
                plan = self._plans[self._number]
                assert get("o_item__payload").as_bits() == plan["work"].item.as_bits(), f"item {self._number}"
                if plan["work"].listed:
                    self._busy.add(int(plan["work"].buffer))
                self._state = "look" if plan["work"].item.active else "idle"
        elif looking and token and get("o_token__ready"):
            found = values(get("o_token__payload"))
            assert found == {name: wanted[name] for name in found}, f"group {self._group} of item {self._number}"
            saved = plan["inputs"] - (wanted["sum"] and len(plan["events"]))
            if wanted["sum"]:
                self._jobs.append({"events": plan["events"], "base": wanted["base"],
                                   "buffer": int(plan["work"].buffer)})
            self._group += 1
            if wanted["end"]:
                self._state = "release" if plan["work"].listed else "idle"
                # To give the list back is one more, in the state after.
                assert cycle - self._begin + 1 - self._blocked == len(plan["groups"]) + 1
        elif self._state == "release" and place:
            self._jobs.append({"events": [], "buffer": int(plan["work"].buffer)})
            self._state = "idle"
        else:
            self._blocked += 1
        assert get("o_saved") == saved % (1 << 32), f"o_saved in cycle {cycle} is not {saved}"


def walk_plan(unit, work, events, memories, *, steps: int) -> dict:
    """What a walker makes of one work: tokens of its groups, bases of the visits, inputs of a group."""
    layer, step = work.item.layer, int(work.item.step)
    groups = []
    for k in range(int(layer.groups)):
        spikes = masks = 0
        base, visited = int(layer.weights) + k * int(layer.row_step), bool(events)
        if unit.backward:
            spikes, masks = (memories[name][int(first) + step + k * steps]
                             for name, first in (("spikes", layer.spikes_out), ("masks", layer.masks)))
            base, visited = k * unit.lanes, bool(events and masks and layer.spiking)
        groups.append({"sum": int(visited), "end": int(k == int(layer.groups) - 1), "spikes": spikes, "masks": masks,
                       "base": base % ADDRESSES})
    inputs = int(layer.next_outputs) if unit.backward else int(layer.inputs) + int(layer.bias)
    return {"work": work, "events": events, "groups": groups, "inputs": inputs}


async def walked(dut, name: str, rng: random.Random, *, stall: float, least: int = 0, count: int = 120):
    unit, ports = PARTS[name], Ports(dut, name, PARTS[name])
    steps, rows, plans, buffer = rng.randrange(2, 7), 24, [], 0
    memories = {kind: [rng.getrandbits(unit.lanes) * (rng.random() < 0.6) for _ in range(rows)]
                for kind in ("spikes", "masks")}
    if least:
        memories["masks"] = [row | 1 for row in memories["masks"]]
    for _ in range(count):
        groups, step = rng.randint(2 if least else 1, 4 if unit.backward else 6), rng.randrange(steps)
        active = int(least > 0 or rng.random() < 0.8)
        listed = int(active and (least > 0 or rng.random() < 0.8))
        events = [rng.getrandbits(unit.event_bits) for _ in range(listed * rng.randint(least, unit.events))]
        most = rows - steps * groups
        layer = random_layer(rng, groups=groups, inputs=rng.randrange(1 << 14), next_outputs=rng.randrange(1 << 14),
                             spikes_out=rng.randrange(max(most, 1)), masks=rng.randrange(max(most, 1)),
                             spiking=int(least > 0 or rng.random() < 0.8))
        work = work_layout(unit.events).const({
            "item": item(layer, active=active, step=step), "count": len(events), "buffer": buffer, "listed": listed})
        buffer ^= listed
        plans.append(walk_plan(unit, work, events, memories, steps=steps))
    source = Works(ports, "i", [plan["work"] for plan in plans], rng=rng, gap=stall / 2)
    walks = Walks(ports, unit, plans, source, steps=steps, rng=rng, delay=0.9 if stall else 0.0)
    agents = [source, Sink(ports, "o_item", rng=rng, stall=stall / 2), Sink(ports, "o_token", rng=rng, stall=stall / 2)]
    agents += [Memory(ports, f"{kind}__", table, width=unit.lanes, rng=rng)
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
