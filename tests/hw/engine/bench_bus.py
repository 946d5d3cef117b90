"""Bench of BusServer: random requests of a host against arrays, while slots run and engines write."""

import random

import cocotb

from autapse.hw.contract.geometry import SLOTTED, host_geometry
from autapse.hw.contract.program import LAYER_ROW, Space
from autapse.hw.engine.bus import ENGINE_TABLES
from autapse.hw.engine.memory import granule, row_words
from bench import bench_parameters
from engine_cycles import Ports, faulty, reset, run
from engine_parts import bank

PARAMETERS = bench_parameters()
BANK = bank("bus")
PARTS = BANK.components
NAMES = [name for name in PARTS if name.startswith("bus")]
INPUTS = (Space.SPIKES, Space.TARGETS, Space.ERROR_INPUTS)  # what may be written beside a run of the other slot


class Spaces:
    """Every word that was written, by space and address, and what lies where."""

    def __init__(self, served):
        self._config, self.table = served.config, {}
        for space, (width, depth) in host_geometry(served.config).items():
            per_row = served.config.lanes if space == Space.SYNAPSES else row_words(width)
            # A memory has two rows at least.
            self.table[space] = 16 if space == Space.SYNAPSES else width, max(depth, 2), per_row
        self.table |= {space: (16, depth, 1) for space, depth in served.small.items()}
        self.words: dict[tuple[Space, int], int] = {}

    def known(self, space: int, address: int) -> bool:
        return space in self.table and address < self.table[space][1] * self.table[space][2]

    def slot(self, space: Space, address: int) -> int:
        return address >= self.table[space][1] * self.table[space][2] // 2 if self._config.slots > 1 else 0

    def write(self, space: Space, address: int, word: int):
        width, _, per_row = self.table[space]
        bits = width - 16 * (address % per_row) if width > 16 else width
        self.words[space, address] = word & (1 << min(bits, 16)) - 1

    def write_row(self, space: Space, row: int, value: int, enable: int):
        width, _, per_row = self.table[space]
        for k in range(per_row):
            if enable >> (k if granule(width) < width else 0) & 1:
                self.write(space, row * per_row + k, value >> 16 * k & 0xFFFF)


class Host:
    """Asks, holds until taken, now and then withdraws; runs come and go; each output is checked in every cycle."""

    def __init__(self, ports: Ports, served, *, rng: random.Random, busy: float, count: int):
        self._ports, self._served, self._rng, self._busy = ports, served, rng, busy
        self._spaces, self._slots = Spaces(served), served.config.slots
        self._writers = [space for space in served.written if space in served.memories]
        self._layers_before, self.left = None, count
        self._request, self._held, self._act = None, None, False    # asked, on its way, and seen to be free
        self._answers: dict[int, tuple] = {}
        self._running, self._wait = 0, 0
        self.checked = self.refused = self.withdrawn = self.waited = self.beside = self.conflicts = 0

    @property
    def done(self) -> bool:
        return not self.left and not self._request and not self._answers and not self._held

    def _ask(self):
        """(space, address, data, write): often at the ends of a space, now and then beyond, or of no space."""
        rng, spaces = self._rng, self._spaces
        space = rng.choice([*spaces.table] * 2 + self._writers * 4 + [Space.LAYERS] * 12 + [99])
        end = spaces.table[space][1] * spaces.table[space][2] if space in spaces.table else 5
        address = rng.choice((rng.randrange(end), rng.randrange(end), rng.randrange(min(end, 4)), end - 1, end,
                              end + rng.randrange(1 << 20)))
        if (space, address) not in spaces.words and space in spaces.table and rng.random() < 0.5:
            address = rng.choice([at for of, at in spaces.words if of == space] or [address])
        # A write's error is told apart from a read's by there being no read unanswered.
        write = not self._answers and rng.random() < 0.5
        return space, address, rng.getrandbits(16), write

    def drive(self, cycle: int):
        rng, put, waited = self._rng, self._ports.put, self._request is not None
        if self._request and rng.random() < 0.02:
            self._request, self._wait = None, rng.randrange(1, 3)
            self.withdrawn += 1
        elif not self._request and self.left and not self._wait and rng.random() < 0.7:
            self._request = self._ask()
            self.left -= 1
        self._wait -= self._wait > 0
        space, address, data, write = self._request or (rng.getrandbits(8), rng.getrandbits(24), 0, 0)
        for port, value in (("space", space), ("address", address), ("write_data", data),
                            ("write", bool(self._request and write)), ("read", bool(self._request and not write))):
            put(port, value)
        if rng.random() < 0.1:
            # Only the host starts runs, so none begins while it waits for something else.
            running = rng.getrandbits(self._slots) if rng.random() < self._busy else 0
            settling = rng.random() < 0.2
            self._running = running & self._running if waited else running
            self._settling = settling and (self._settling or not waited)
        self._at_work = bool(self._running or self._settling)
        put("i_slots", self._running)
        put("i_busy", self._at_work)
        self._drive_engines()

    _settling = False

    def _drive_engines(self):
        """Engines write rows of a slot that runs."""
        self._writes = {}
        for space in self._writers:
            port, (width, depth, _) = f"w_{space.name.lower()}", self._spaces.table[space]
            slots = [slot for slot in range(self._slots) if self._running >> slot & 1]
            enable = 0
            if slots and self._rng.random() < 0.3:
                part = depth // self._slots
                row = self._rng.choice(slots) * part + self._rng.randrange(part)
                enable = self._rng.randrange(1, 1 << -(-width // granule(width)))
                value = self._rng.getrandbits(width)
                self._writes[space] = row, value, enable
                self._ports.put(f"{port}__address", row)
                self._ports.put(f"{port}__data", value)
            self._ports.put(f"{port}__enable", enable)

    def _free(self, request) -> bool:
        space, address, _, write = request
        if not self._at_work:
            return True
        if space not in SLOTTED or not self._spaces.known(space, address):
            return False
        if self._running >> self._spaces.slot(space, address) & 1:
            return False
        return space in INPUTS if write else space == Space.READOUTS

    def observe(self, cycle: int):
        get = self._ports.get
        self._check_layers(cycle)
        # Decoded in the cycle after it was asked, a request is carried out in the one after it was seen to be free.
        held, asked = self._held, self._request
        space, address, _, write = held or (0, 0, 0, 0)
        conflict = bool(held) and write and space in self._writes and space in INPUTS and self._spaces.known(
            space, address)
        ready = self._act and not conflict
        assert get("ready") == ready, f"ready in cycle {cycle} is not {ready}: {held}, {self._running:b}"
        self._check_answer(cycle)
        if ready:
            self._carry_out(held, cycle)
        for space, (row, value, enable) in self._writes.items():
            self._spaces.write_row(space, row, value, enable)
        free = bool(held) and self._free(held)
        self.waited += bool(held) and not self._act and not free
        self.conflicts += self._act and conflict
        self._act = bool(asked and held) and not ready and (self._act or free)
        self._held = None if ready or (held and not asked) else held or asked
        if ready:
            self._request = None

    def _carry_out(self, request, cycle: int):
        """What is taken is done, even if it was withdrawn in this very cycle; nobody waits for the answer then."""
        space, address, data, write = request
        known = self._spaces.known(space, address)
        self.beside += self._running > 0
        self.refused += not known
        if write:
            assert self._ports.get("error") == (not known), f"error of a write of {space} {address}, cycle {cycle}"
            if known:
                self._spaces.write(space, address, data)
            if known and space == Space.LAYERS:
                self._layers_before = address, data
        elif self._request:
            word = self._spaces.words.get((space, address))
            self._answers[cycle + self._served.server.latency] = request, known, word

    def _check_answer(self, cycle: int):
        get, due = self._ports.get, self._answers.pop(cycle, None)
        assert get("read_valid") == (due is not None), f"read_valid in cycle {cycle}"
        if due:
            request, known, word = due
            assert get("error") == (not known), f"error of the read {request}, in cycle {cycle}"
            if known and word is not None:
                assert get("read_data") == word, f"{get('read_data'):#x} of {request}, not {word:#x}, cycle {cycle}"
                self.checked += 1

    def _check_layers(self, cycle: int):
        """Words of descriptors are told to every engine, a cycle after they were written."""
        written, self._layers_before = self._layers_before, None
        for port in ("layers", *(f"layers_{number}" for number in range(ENGINE_TABLES))):
            names = ("layer", "word", "data") if written else ()
            found = [self._ports.get(f"{port}__{name}") for name in ("enable", *names)]
            wanted = [1, written[0] // LAYER_ROW, written[0] % LAYER_ROW, written[1]] if written else [0]
            assert found == wanted, f"{port} in cycle {cycle}: {found}, not {wanted}"


async def served(dut, name: str, rng: random.Random, *, busy: float, count: int):
    host = Host(Ports(dut, name, PARTS[name]), PARTS[name], rng=rng, busy=busy, count=count)
    cycles = await run(dut, [host], until=lambda: host.done, limit=200 * count)
    return host, cycles


@cocotb.test()
@cocotb.parametrize(name=NAMES, busy=[0.0, 0.6])
async def words_are_where_they_belong(dut, name, busy):
    await reset(dut, BANK)
    host, cycles = await served(dut, name, random.Random(PARAMETERS["seed"]), busy=busy, count=1500)
    assert host.checked > 200 and host.refused and host.withdrawn, "an occasion never came"
    assert host.waited, "nothing ever waited"
    # With one slot there is no other that could be at rest.
    assert bool(host.beside) == (busy > 0 and PARTS[name].config.slots > 1), f"{host.beside} requests beside a run"
    assert bool(host.conflicts) == bool(host.beside), "no write ever met an engine's"
    dut._log.info(f"{host.checked} words checked in {cycles} cycles, {host.beside} requests beside a run")


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    for name in NAMES:
        outputs = Ports(dut, name, PARTS[name]).outputs
        assert await faulty(dut, BANK, outputs, lambda rng, name=name: served(dut, name, rng, busy=0.3, count=4000),
                            seed=PARAMETERS["seed"])
