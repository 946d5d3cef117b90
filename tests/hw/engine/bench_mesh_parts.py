"""Bench of Conductor and Follower: cores that end their parts when they like, and parts that end with the last one."""

import random
from collections import Counter, deque

import cocotb

from autapse.hw.contract.program import Run
from autapse.hw.engine.parts import Conductor
from autapse.hw.engine.sequence import Command, Sequencer
from bench import bench_parameters
from engine_cycles import Ports, Source, faulty, reset, run
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("mesh_cores")
PARTS = BANK.components
NAMES = [name for name in PARTS if name.startswith("cores")]
MASKS = {"forward": Run.FORWARD, "loss": Run.LOSS, "backward": Run.BACKWARD, "update": Run.UPDATE}
FRONT = ("forward", "loss")
HEARD = 2       # cycles from a core's counters being cleared to no run being taken
LATE = 3        # cycles from the last core's rest to the mesh's


class Held(Source):
    """Runs; none is offered until the mesh can know that a core clears its counters."""

    def __init__(self, *arguments, cores: "Cores", **options):
        super().__init__(*arguments, **options)
        self._cores, self._patience = cores, 0

    def drive(self, cycle: int):
        early = self._cores.counted + HEARD > cycle or self._cores.quiet < self._patience
        if early and not self._offered:
            self._ports.put(f"{self._port}__valid", 0)
        else:
            super().drive(cycle)

    def observe(self, cycle: int):
        taken = len(self.taken)
        super().observe(cycle)
        if len(self.taken) > taken:
            # The next one comes at once, or only when all has been at rest for a while.
            self._patience = self._rng.choice((0, 0, 8))


class Cores:
    """Stand for all cores. Each does a part in as many cycles as it likes, and says so by a strobe or a level."""

    def __init__(self, ports: Ports, commands, *, count: int, slots: int, rng: random.Random, longest: int,
                 clear: int, counting: float):
        self._ports, self._commands, self._count, self._rng = ports, commands, count, rng
        self._slots, self._longest, self._clear, self._chance = slots, longest, clear, counting
        self.source = None
        self._ends = {part: [None] * count for part in Sequencer.parts}     # cycle in which a core is done
        self._levels = {part: [False] * count for part in Sequencer.parts}  # done is held until the next start
        self._active = dict.fromkeys(Sequencer.parts, False)
        self._fall = {}
        self._clearing, self._settling = [range(0)] * count, [0] * count
        self._counting, self.counted, self._taken, self._was_busy = [0] * count, -9, 0, False
        self._order = {part: deque(at for at, command in enumerate(commands) if int(command.mask) & MASKS[part])
                       for part in MASKS}
        self._clears = sum(bool(int(command.mask) & Run.CLEAR) for command in commands)
        self.starts, self.follow, self.at_once, self.held, self.overlapped = Counter(), 0, 0, 0, 0
        self._ended, self._rest, self.quiet = {}, 0, 0

    @property
    def done(self) -> bool:
        return self.source.done and self.quiet > 20

    def drive(self, cycle: int):
        put, rng = self._ports.put, self._rng
        for core in range(self._count):
            at = f"cores__{core}"
            for part in Sequencer.parts:
                end = self._ends[part][core]
                if end is None:
                    done = rng.getrandbits(1) if not self._active[part] else self._levels[part][core]
                else:
                    done = cycle == end or (self._levels[part][core] and cycle > end)
                put(f"{at}__i_{part}_done", done)
            put(f"{at}__i_clearing", cycle in self._clearing[core])
            put(f"{at}__i_counting", self._counting[core] > 0)
            put(f"{at}__i_busy", bool(self._settling[core]) or bool(self._was_busy))

    def observe(self, cycle: int):
        get = self._ports.get
        for part in Sequencer.parts:
            self._part(part, cycle)
        clear = self._same("o_clear", cycle)
        if clear:
            assert self._clears, f"o_clear in cycle {cycle}, where no run clears"
            self._clears -= 1
            assert not (self._active["backward"] or self._active["update"]), f"o_clear beside backward, cycle {cycle}"
        if self._active["backward"] or self._active["update"]:
            # Also where a core begins to clear late.
            assert all(cycle >= span.stop for span in self._clearing), f"backward beside clearing in cycle {cycle}"
        if clear:
            late = [cycle + 1 + self._rng.choice((0, 0, 1, 2)) for _ in range(self._count)]
            self._clearing = [range(first, first + self._rng.choice((1, self._rng.randrange(1, self._clear))))
                              for first in late]
        self._busy(cycle)
        self._ports_of_runs(cycle)
        if self._active["backward"] and (self._active["forward"] or self._active["loss"]):
            self.overlapped += 1
        if any(self._counting):
            assert not any(get(f"cores__0__o_{part}") for part in Sequencer.parts), f"a run while cleared, {cycle}"
            self.held += bool(self.source._offered)
        self._counting = [left - (left > 0) for left in self._counting]
        # Counters are cleared between runs only, from the next cycle on.
        between = self.quiet > 4 and self.source.taken and not self.source._offered and not any(self._counting)
        if between and self._rng.random() < self._chance:
            self._counting = [self._rng.choice((0, self._rng.randrange(12))) for _ in range(self._count)]
            self.counted = cycle + 1

    def _same(self, port: str, cycle: int) -> int:
        """What all cores hear, which must be one thing."""
        heard = {self._ports.get(f"cores__{core}__{port}") for core in range(self._count)}
        assert len(heard) == 1, f"cores hear different things on {port} in cycle {cycle}"
        return heard.pop()

    def _part(self, part: str, cycle: int):
        now, start = self._same(f"o_{part}", cycle), self._same(f"o_{part}_start", cycle)
        if self._active[part]:
            fall = max(end or cycle for end in self._ends[part]) + Conductor.round_trip
            over = None not in self._ends[part] and cycle >= fall
            if over:
                assert cycle == fall and (not now or start), f"{part} goes on in cycle {cycle}, not to {fall - 1}"
                self._active[part] = False
                self._ends[part] = [None] * self._count
                self._ended[part] = cycle
            else:
                assert now and not start, f"{part} ended in cycle {cycle}, before {fall}"
        if start:
            assert now and not self._active[part], f"{part} starts twice, in cycle {cycle}"
            self._active[part] = True
            self.starts[part] += 1
            self.follow += self._ended.get(part, -99) + 6 > cycle
            lengths = [self._rng.choice((1, 1, self._rng.randrange(1, self._longest))) for _ in range(self._count)]
            if self._rng.random() < 0.3:
                lengths = [1] * self._count
            self.at_once += max(lengths) == 1
            self._ends[part] = [cycle + length for length in lengths]
            # A level of the part before stands until the start is over.
            self._levels[part] = [self._rng.random() < 0.5 for _ in range(self._count)]
            self._number(part, cycle)
        assert bool(now) == self._active[part], f"o_{part} is {now} in cycle {cycle}"

    def _number(self, part: str, cycle: int):
        """Whose part it is: those of the front come in order, those of the rear by their sample."""
        order = self._order[part]
        assert order, f"one {part} too many, in cycle {cycle}"
        if part in FRONT:
            number, slot = order.popleft(), self._same("o_front_slot", cycle)
        else:
            number, slot = self._same("o_offset", cycle), self._same("o_rear_slot", cycle)
            assert number in order, f"{part} of run {number} in cycle {cycle}"
            order.remove(number)
        wanted = bool(int(self._commands[number].mask) & Run.SLOT) if self._slots > 1 else 0
        assert slot == wanted, f"{part} of run {number} in slot {slot}, in cycle {cycle}"
        assert self._same("o_slots", cycle) >> wanted & 1, f"slot {wanted} at rest in cycle {cycle}"

    def _busy(self, cycle: int):
        heard = self._same("o_busy", cycle)
        if any(self._active.values()):
            assert heard, f"not busy in cycle {cycle}"
        assert bool(heard) == bool(self._same("o_slots", cycle)), f"busy is {heard} in cycle {cycle}"
        self._settling = [self._rng.randrange(9) if heard else left - (left > 0) for left in self._settling]
        self._was_busy = heard

    def _ports_of_runs(self, cycle: int):
        """From the cycle after a run is taken the mesh is busy until the last core rests, and little longer."""
        busy, taken = self._ports.get("o_busy"), len(self.source.taken)
        if self._at_work(taken):
            assert busy, f"o_busy is low in cycle {cycle}, while a core is at work"
            self._rest = cycle
        else:
            assert not busy or cycle <= self._rest + LATE, f"o_busy still in cycle {cycle}"
        self.quiet = 0 if busy or self._fresh else self.quiet + 1

    def _at_work(self, taken: int) -> bool:
        # A run taken in this very cycle shows in the next; what it does is heard a cycle later than that.
        before, self._fresh = self._taken, taken > self._taken
        self._taken = taken
        self._pipe = [taken > before, *self._pipe][:3]
        return any(self._pipe[1:]) or any(self._settling) or bool(self._was_busy)

    _pipe = (False,) * 3
    _fresh = False


def command(rng: random.Random, number: int, before: int):
    """A run, now and then as the one before, so that parts of one kind follow each other."""
    whole = Run.FORWARD | Run.LOSS | Run.BACKWARD
    mask = rng.choice((whole, whole | Run.CLEAR, Run.FORWARD, Run.FORWARD, Run.LOSS, Run.CLEAR, Run.BACKWARD,
                       Run.CLEAR | Run.BACKWARD, before, before, before, Run.UPDATE, whole | Run.UPDATE,
                       rng.getrandbits(5), 0))
    return Command.const({"mask": mask & ~Run.SLOT | Run.SLOT * rng.getrandbits(1), "sample": number})


async def conducted(dut, name: str, rng: random.Random, *, longest: int, gap: float, count: int, clear: int = 25,
                    counting: float = 0.1):
    unit = PARTS[name]
    ports = Ports(dut, name, unit)
    commands = []
    for number in range(count):
        commands.append(command(rng, number, int(commands[-1].mask) if commands else 0))
    cores = Cores(ports, commands, count=unit.count, slots=unit.slots, rng=rng, longest=longest, clear=clear,
                  counting=counting)
    cores.source = Held(ports, "i", commands, rng=rng, gap=gap, cores=cores)
    await run(dut, [cores.source, cores], until=lambda: cores.done,
              limit=count * (4 * longest + clear + 80 + int(3 / (1 - gap))))
    assert not any(cores._order.values()) and not cores._clears, f"parts that never came: {cores._order}"
    return cores


@cocotb.test()
@cocotb.parametrize(name=NAMES, longest_gap=[(2, 0.0), (30, 0.0), (9, 0.9)])
async def parts_end_with_the_last_core(dut, name, longest_gap):
    await reset(dut, BANK)
    longest, gap = longest_gap
    count = 40 if PARTS[name].count > 10 else 80
    cores = await conducted(dut, name, random.Random(PARAMETERS["seed"]), longest=longest, gap=gap, count=count)
    assert cores.at_once > 9 and (gap or cores.follow), f"{cores.at_once} at once, {cores.follow} followed at once"
    assert gap or (cores.overlapped > 0) == (PARTS[name].slots > 1), f"{cores.overlapped} cycles of two parts"
    dut._log.info(f"{dict(cores.starts)} parts, {cores.at_once} of one cycle, {cores.follow} right after the same one, "
                  f"{cores.held} cycles a run waited for counters")


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "cores_2", PARTS["cores_2"]).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: conducted(dut, "cores_2", rng, longest=9, gap=0.5, count=40),
                        seed=PARAMETERS["seed"])
