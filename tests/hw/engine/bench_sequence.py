"""Bench of Sequencer: random runs of random lengths; every part once, in order, and beside none it must not meet."""

import random

import cocotb

from autapse.hw.contract.program import Run
from autapse.hw.engine.sequence import Command, Sequencer
from bench import bench_parameters
from engine_cycles import Ports, Source, faulty, reset, run
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("sequence")
PARTS = BANK.components
NAMES = [name for name in PARTS if name.startswith("sequence")]
OVERLAP = {"sequence"}
MASKS = {"forward": Run.FORWARD, "loss": Run.LOSS, "backward": Run.BACKWARD, "update": Run.UPDATE}
FRONT, REAR = ("forward", "loss"), ("backward", "update")
SETTLE = 4   # cycles between one part and the next, and from the last to the end of its run


class Job:
    """A run that was taken: what is left of it."""

    def __init__(self, command, *, slots: int, cycle: int):
        mask = int(command.mask)
        self.slot = bool(mask & Run.SLOT) if slots > 1 else 0
        self.sample, self.since = int(command.sample), cycle
        self.clears = bool(mask & Run.CLEAR)
        self.updates = bool(mask & Run.UPDATE)
        self.in_front = self.clears or any(mask & MASKS[part] for part in FRONT)
        self.parts = [part for part in (*FRONT, *REAR) if mask & MASKS[part]]

    def front_left(self) -> bool:
        return self.clears or any(part in FRONT for part in self.parts)


class Parts:
    """Stands for the engines: each part takes as long as it likes; checks that no run is lost, doubled or disturbed."""

    def __init__(self, ports: Ports, source: Source, *, slots: int, rng: random.Random, lengths: dict[str, range]):
        self._ports, self._source, self._slots, self._rng, self._lengths = ports, source, slots, rng, lengths
        self._taken, self._clearing = 0, 0
        self._front = self._rear = None      # runs there; a run is handed over when its rear part starts
        self._under_way: dict[str, int] = {}  # parts under way, by the cycle in which they end
        self.finished = self.overlapped = 0
        self.cycles = dict.fromkeys(Sequencer.parts, 0)

    @property
    def done(self) -> bool:
        return self._source.done and not self._jobs()

    def _jobs(self) -> list[Job]:
        return [job for job in (self._front, self._rear) if job]

    def drive(self, cycle: int):
        for part in Sequencer.parts:
            # Between parts nobody looks at it.
            end = self._under_way.get(part)
            self._ports.put(f"i_{part}_done", end == cycle if end is not None else self._rng.getrandbits(1))
        self._ports.put("i_clearing", self._clearing > 0)

    def observe(self, cycle: int):
        get = self._ports.get
        starts = [part for part in Sequencer.parts if get(f"o_{part}_start") and part not in self._under_way]
        for part in starts:
            self._start(part, cycle)
        for part in Sequencer.parts:
            assert get(f"o_{part}") == (part in self._under_way), f"o_{part} in cycle {cycle}"
            assert get(f"o_{part}_start") == (part in starts), f"o_{part}_start in cycle {cycle}"
        self._beside(cycle)
        self._clear(cycle)
        ended = [part for part, end in self._under_way.items() if end == cycle]
        for part in ended:
            del self._under_way[part]
            job = self._front if part in FRONT else self._rear
            job.since = cycle
        self._retire(cycle)
        self._take(cycle)

    def _start(self, part: str, cycle: int):
        if part in REAR and (self._rear is None or not self._rear.parts):
            # Handed over by the front, which is done with it.
            assert self._front and not self._front.front_left(), f"{part} of no run in cycle {cycle}"
            self._rear, self._front = self._front, None
        job = self._front if part in FRONT else self._rear
        assert job, f"{part} of no run in cycle {cycle}"
        assert not job.clears, f"{part} before its run cleared, in cycle {cycle}"
        assert job.parts and job.parts[0] == part, f"{part} in cycle {cycle}, the run's next are {job.parts}"
        job.parts.pop(0)
        self._under_way[part] = cycle + self._rng.choice(self._lengths[part])

    def _beside(self, cycle: int):
        """What the parts of this cycle may be, and whose."""
        get, now = self._ports.get, self._under_way
        front, rear = [part for part in FRONT if part in now], [part for part in REAR if part in now]
        assert len(front) <= 1 and len(rear) <= 1, f"{front} and {rear} in cycle {cycle}"
        if front:
            assert get("o_front_slot") == self._front.slot, f"o_front_slot in cycle {cycle}"
        if rear:
            found = get("o_rear_slot"), get("o_offset")
            assert found == (self._rear.slot, self._rear.sample), f"rear slot and offset {found} in cycle {cycle}"
            assert not self._clearing, f"{rear} while histories are cleared, in cycle {cycle}"
        if front and rear:
            assert self._ports.name in OVERLAP, f"{front} beside {rear} in cycle {cycle}"
            assert self._front.slot != self._rear.slot, f"{front} and {rear} of one slot in cycle {cycle}"
            assert "update" not in rear, f"{front} beside an update in cycle {cycle}"
            self.overlapped += 1
        for part in now:
            self.cycles[part] += 1

    def _clear(self, cycle: int):
        clear = self._ports.get("o_clear")
        self._clearing -= self._clearing > 0
        if clear:
            assert self._front and self._front.clears, f"o_clear in cycle {cycle}, where no run clears"
            assert not self._rear or not self._rear.parts, f"o_clear beside a run in the rear, in cycle {cycle}"
            assert not any(part in self._under_way for part in REAR), f"o_clear beside backward in cycle {cycle}"
            self._front.clears = False
            self._front.since = cycle
            self._clearing = self._rng.choice(self._lengths["clear"])

    def _retire(self, cycle: int):
        """A run is over some cycles after its last part, and the outputs say so no later and no earlier."""
        busy, slots = self._ports.get("o_busy"), self._ports.get("o_slots")
        running = [job for job in self._jobs() if job.parts or job.clears or job in self._holders()]
        if running:
            assert busy, f"not busy in cycle {cycle}"
        for job in running:
            assert slots >> job.slot & 1, f"slot {job.slot} is at work in cycle {cycle}"
        if self._front and self._clearing:
            self._front.since = cycle
        for name in ("_front", "_rear"):
            job = getattr(self, name)
            if not job or job in running:
                continue
            late = cycle - job.since
            alone = [other.slot for other in self._jobs() if other is not job]
            if not busy or (not slots >> job.slot & 1 and job.slot not in alone):
                setattr(self, name, None)
                self.finished += 1
            else:
                assert late <= SETTLE, f"a run goes on {late} cycles after its last part"
        assert bool(slots) == bool(busy), f"o_busy {busy} with slots {slots} in cycle {cycle}"

    def _holders(self) -> list[Job]:
        return [self._front if part in FRONT else self._rear for part in self._under_way]

    def _take(self, cycle: int):
        """A run taken in this cycle is under way from the next one on."""
        if len(self._source.taken) == self._taken:
            return
        job = Job(self._source.payloads[self._taken], slots=self._slots, cycle=cycle)
        self._taken += 1
        over = [other for other in self._jobs() if not (other.parts or other.clears or other in self._holders())]
        for other in over:
            # What was about to end may make room in this very cycle.
            if other is (self._front if job.in_front else self._rear):
                setattr(self, "_front" if job.in_front else "_rear", None)
                self.finished += 1
        waiting = self._front and self._front.parts and not self._front.front_left()
        if job.in_front and waiting and "loss" not in self._under_way and "forward" not in self._under_way:
            assert self._rear is None or self._rear in over, f"two runs in the rear, in cycle {cycle}"
            self.finished += self._rear is not None
            self._rear, self._front = self._front, None
        others = [other for other in self._jobs() if other not in over]
        assert all(other.slot != job.slot for other in others), f"a run of a busy slot taken in cycle {cycle}"
        assert not (others and self._ports.name not in OVERLAP), f"two runs at once from cycle {cycle} on"
        assert not any(other.updates for other in others), f"a run taken beside one that updates, in cycle {cycle}"
        assert not (others and job.updates and not job.in_front), f"an update taken beside a run in cycle {cycle}"
        if job.in_front:
            assert self._front is None, f"a second run in front, in cycle {cycle}"
            self._front = job
        else:
            assert self._rear is None, f"a second run in the rear, in cycle {cycle}"
            self._rear = job


def command(rng: random.Random):
    """Whole runs, halves as the driver gives them, and any other mask at all."""
    whole = Run.FORWARD | Run.LOSS | Run.BACKWARD
    mask = rng.choice((whole, whole | Run.CLEAR, Run.FORWARD, Run.FORWARD | Run.CLEAR, Run.BACKWARD, Run.BACKWARD,
                       Run.UPDATE, rng.getrandbits(5), rng.getrandbits(5)))
    return Command.const({"mask": mask | Run.SLOT * rng.getrandbits(1), "sample": rng.getrandbits(16)})


async def sequenced(dut, name: str, rng: random.Random, *, commands, gap: float, lengths: dict[str, range]):
    ports = Ports(dut, name, PARTS[name])
    source = Source(ports, "i", commands, rng=rng, gap=gap)
    parts = Parts(ports, source, slots=len(PARTS[name].o_slots), rng=rng, lengths=lengths)
    longest = sum(max(values) for values in lengths.values()) + 20
    cycles = await run(dut, [source, parts], until=lambda: parts.done, limit=longest * len(commands))
    assert parts.finished == len(commands), f"{parts.finished} runs ended, of {len(commands)}"
    return parts, cycles


def lengths_up_to(most: int, *, clear: int) -> dict[str, range]:
    return dict.fromkeys(Sequencer.parts, range(1, most)) | {"clear": range(clear)}


@cocotb.test()
@cocotb.parametrize(name=NAMES, gap=[0.0, 0.8], clear=[1, 30])
async def runs_keep_apart(dut, name, gap, clear):
    await reset(dut, BANK)
    rng = random.Random(PARAMETERS["seed"])
    commands = [command(rng) for _ in range(150)]
    parts, cycles = await sequenced(dut, name, rng, commands=commands, gap=gap, lengths=lengths_up_to(20, clear=clear))
    assert all(parts.cycles.values()), parts.cycles
    assert (parts.overlapped > 40) == (name in OVERLAP), f"{parts.overlapped} cycles of two runs"
    dut._log.info(f"{len(commands)} runs in {cycles} cycles, {parts.overlapped} of them with two at once")


@cocotb.test()
@cocotb.parametrize(name=NAMES, halves=[False, True])
async def neighbours_overlap(dut, name, halves):
    """A batch in alternating slots takes no longer than its longer half, where both are of fixed length."""
    await reset(dut, BANK)
    count, front, rear = 20, 60, 80
    commands = []
    for at in range(count):
        slot = Run.SLOT * (at % 2)
        whole = (Run.FORWARD | slot, Run.BACKWARD | slot) if halves else (Run.FORWARD | Run.BACKWARD | slot,)
        commands.append([Command.const({"mask": mask, "sample": at}) for mask in whole])
    if halves:
        # As the driver does it: the next sample goes forward before this one goes backward.
        firsts = [commands[0][0]] + [pair for at in range(count - 1) for pair in (commands[at + 1][0], commands[at][1])]
        order = [*firsts, commands[-1][1]] if name in OVERLAP else [each for pair in commands for each in pair]
    else:
        order = [each for pair in commands for each in pair]
    lengths = {"forward": range(front, front + 1), "backward": range(rear, rear + 1), "loss": range(1, 2),
               "update": range(1, 2), "clear": range(1)}
    parts, cycles = await sequenced(dut, name, random.Random(PARAMETERS["seed"]), commands=order, gap=0.0,
                                    lengths=lengths)
    if name in OVERLAP:
        assert cycles <= front + count * (rear + 1 + SETTLE) + SETTLE, f"{cycles} cycles for {count} samples"
        assert parts.overlapped >= (count - 1) * (front - SETTLE)
    else:
        assert cycles >= count * (front + rear) and not parts.overlapped


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in NAMES:
        outputs = Ports(dut, name, PARTS[name]).outputs
        async def scenario(rng, name=name):
            commands = [command(rng) for _ in range(80)]
            await sequenced(dut, name, rng, commands=commands, gap=0.3, lengths=lengths_up_to(12, clear=12))

        assert await faulty(dut, BANK, outputs, scenario, seed=PARAMETERS["seed"])
