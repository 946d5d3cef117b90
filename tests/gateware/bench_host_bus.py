"""Bench of HostBus: every request once at every selected core and in order, whenever each of them takes it."""

import random
from collections import deque
from itertools import pairwise

import cocotb

from autapse.gateware.command import BUS_REQUEST
from autapse.hw.contract.geometry import geometry, host_geometry
from autapse.hw.contract.program import COUNTERS, LINK_COUNTS, LINKS, REGISTERS, TIMELINE_ROWS, Space, words_of
from autapse.hw.engine.registers import identity_words
from bench import bench_parameters
from host_bus_parts import SMALL, host_bank

from engine_cycles import Ports, faulty, reset, run  # isort: skip  (where it lies, host_bus_parts says)

PARAMETERS = bench_parameters()
BANK = host_bank()
PARTS = BANK.components
NAMES = [name for name in PARTS if name.startswith("host_")]
LATENCY = 3     # of a core's answer
SETTLE = 2      # cycles for which the bus is busy after its last request
PACE = 3        # cycles of a request, with bus servers that nothing keeps
READ = 9        # from a read that is taken to its answer, with such servers: their latency, and four on the way


def words_of_spaces(config) -> dict[int, int]:
    """Words that a core has in each of its spaces; from the contract alone."""
    table = {Space.REGISTERS: sum(words_of(bits) for _, bits, _ in REGISTERS), Space.COUNTERS: 2 * len(COUNTERS),
             Space.IDENTITY: len(identity_words(config)), Space.TIMELINE: 2 * TIMELINE_ROWS,
             Space.LINKS: 2 * len(LINKS) * len(LINK_COUNTS)}
    for space, (width, rows) in host_geometry(config).items():
        words = config.lanes if space == Space.SYNAPSES else 1
        while space != Space.SYNAPSES and 16 * words < width:
            words *= 2
        table[space] = max(rows, 2) * words
    return table


class Host:
    """Asks as the command processor does: holds a request, writes after all answers, selects between requests."""

    def __init__(self, ports: Ports, config, *, rng: random.Random, count: int, gap: float, requests=None):
        self._ports, self.config, self._rng, self.left, self._gap = ports, config, rng, count, gap
        self._request, self._select, self._requests = None, (1 << config.nodes) - 1, requests
        self.words = [{} for _ in range(config.nodes)]
        self.orders = [deque() for _ in range(config.nodes)]    # (number, request) that each core has yet to be asked
        self.answers = deque()                                  # (known, word or None) of reads under way
        self.spaces = words_of_spaces(config)
        self.taken, self.answered, self.checked, self.refused, self.nobody = [], [], 0, 0, 0

    @property
    def done(self) -> bool:
        return not self.left and self._request is None and not self.answers and not any(self.orders)

    def known(self, space: int, address: int) -> bool:
        return address < self.spaces.get(space, 0)

    def _ask(self):
        """(space, address, data, write), or none yet; many of the same few words, some beyond the end of a space."""
        if self._requests:
            return self._requests.popleft()
        rng, config = self._rng, self.config
        if rng.random() < 0.25:
            if self.answers:
                return None
            every = (1 << config.nodes) - 1
            self._select = rng.choice((rng.getrandbits(config.nodes), 1 << rng.randrange(config.nodes), every, every,
                                       0))
        space = rng.choice((*self.spaces, *self.spaces, *Space, 77))
        end = self.spaces.get(space, 0)
        address = rng.choice((0, 1, 2, rng.randrange(max(end, 1)), max(end - 1, 0), end, rng.getrandbits(24)))
        write = rng.random() < 0.5
        if self.taken and rng.random() < 0.5:
            # The same word again, most often what was just written.
            (space, address), write = self.taken[-1][1][:2], rng.random() < 0.2
        return space, address, rng.getrandbits(16), write

    def drive(self, cycle: int):
        if self._request is None and self.left and self._rng.random() >= self._gap:
            self._request = self._ask()
            self.left -= self._request is not None
        self._ports.put("i_select", self._select)
        space, address, data, write = self._request or (self._rng.getrandbits(8), self._rng.getrandbits(24), 0, None)
        self._asks = write is not None and not (write and self.answers)
        self._ports.put("i_bus", BUS_REQUEST.const({
            "space": space, "address": address, "write_data": data, "write": bool(self._asks and write),
            "read": bool(self._asks and not write)}))

    def observe(self, cycle: int):
        reply = self._ports.get("o_bus")
        if reply.read_valid:
            assert self.answers, f"an answer in cycle {cycle} to no read"
            there, word = self.answers.popleft()
            self.answered.append(cycle)
            assert reply.error == (not there), f"error of a read in cycle {cycle}: {reply.error}, not {not there}"
            if there and word is not None:
                assert reply.read_data == word, f"{reply.read_data:#x}, not {word:#x}, read in cycle {cycle}"
                self.checked += 1
        if not (self._asks and reply.ready):
            return
        request, self._request = self._request, None
        space, address, data, write = request
        cores = [core for core in range(self.config.nodes) if self._select >> core & 1]
        there = bool(cores) and self.known(space, address)
        self.refused += not there
        self.nobody += not cores
        self.taken.append((cycle, request))
        order = len(self.taken), request
        if write:
            assert reply.error == (not there), f"error of a write in cycle {cycle}: {reply.error}, not {not there}"
            for core in cores:
                self.orders[core].append(order)
                if there:
                    self.words[core][space, address] = self.stored(space, address, data)
        else:
            # With nobody to ask there is an answer all the same.
            self.answers.append((there, self.words[cores[0]].get((space, address)) if there else None))
            if cores:
                self.orders[cores[0]].append(order)

    def stored(self, space: int, address: int, data: int) -> int:
        """What a word of a memory keeps of 16 bits."""
        return data


class Cores:
    """Take what they are asked for in any cycle, each with a will of its own; a read is answered later."""

    def __init__(self, ports: Ports, host: Host, *, rng: random.Random, ready: float):
        self._ports, self._host, self._rng = ports, host, rng
        count = host.config.nodes
        self._rates = [ready if ready == 1 else rng.choice((ready, ready / 6, 0.9)) for _ in range(count)]
        self._words = [{} for _ in range(count)]
        self._due, self._busy_until, self.together = {}, -9, 0

    def drive(self, cycle: int):
        self._replies = []
        for core, rate in enumerate(self._rates):
            valid, data, error = self._due.pop((core, cycle), (0, None, None))
            # Without an answer anything may stand there.
            reply = {"ready": self._rng.random() < rate, "read_valid": valid,
                     "read_data": self._rng.getrandbits(16) if data is None else data,
                     "error": self._rng.getrandbits(1) if error is None else error}
            self._replies.append(reply)
            self._ports.put(f"i_replies__{core}", PARTS[self._ports.name].i_replies[0].shape().const(reply))

    def observe(self, cycle: int):
        get, orders = self._ports.get, self._host.orders
        write, read, request = get("o_write"), get("o_read"), get("o_request")
        # What was taken in this very cycle is not at the cores yet, nor what waits for others to take the one before.
        taken = self._host.taken
        new = len(taken) if taken and taken[-1][0] == cycle else 0
        first = min((order[0][0] for order in orders if order), default=0)
        under_way = [bool(order) and order[0][0] == first != new for order in orders]
        self.together = max(self.together, sum(under_way))
        busy = any(under_way)
        if busy:
            self._busy_until = cycle + SETTLE
        assert get("o_busy") == (cycle <= self._busy_until), f"o_busy is {get('o_busy')} in cycle {cycle}"
        for core, order in enumerate(orders):
            asked = (write >> core & 1, read >> core & 1)
            wanted = (order[0][1][3], not order[0][1][3]) if under_way[core] else (0, 0)
            assert asked == wanted, f"core {core} is asked {asked}, not {wanted}, in cycle {cycle}"
            if not under_way[core]:
                continue
            space, address, data, writes = order[0][1]
            assert (request.space, request.address) == (space, address), f"core {core} in cycle {cycle}"
            assert not writes or request.write_data == data, f"{request.write_data:#x} in cycle {cycle}"
            if not self._replies[core]["ready"]:
                continue
            order.popleft()
            there = self._host.known(space, address)
            if writes and there:
                self._words[core][space, address] = data
            elif not writes:
                self._due[core, cycle + LATENCY] = 1, self._words[core].get((space, address), 0), int(not there)


async def asked(dut, name: str, rng: random.Random, *, gap: float, ready: float, count: int):
    ports = Ports(dut, name, PARTS[name])
    host = Host(ports, PARTS[name].config, rng=rng, count=count, gap=gap)
    cores = Cores(ports, host, rng=rng, ready=ready)
    await run(dut, [host, cores], until=lambda: host.done,
              limit=500 + int(count * (8 / (1 - gap) + 60 / ready + 10)))
    return host, cores


@cocotb.test()
@cocotb.parametrize(name=NAMES, gap=[0.0, 0.7], ready=[0.3, 1])
async def each_core_is_asked_once(dut, name, gap, ready):
    await reset(dut, BANK)
    host, cores = await asked(dut, name, random.Random(PARAMETERS["seed"]), gap=gap, ready=ready, count=250)
    assert host.checked > 3 and host.refused > 20 and host.nobody, f"{host.checked} words, {host.refused} refused"
    assert cores.together == PARTS[name].config.nodes, f"{cores.together} cores asked at once"


class Running:
    """Now and then a core is at work, and its bus waits."""

    def __init__(self, ports: Ports, *, rng: random.Random, busy: float):
        self._ports, self._rng, self._busy, self._now = ports, rng, busy, 0

    def drive(self, cycle: int):
        # A run starts while nothing is asked; here it just begins seldom and lasts.
        if self._rng.random() < 0.08 and not self._ports.get("o_busy"):
            self._now = sum((self._rng.random() < self._busy) << core for core in range(2))
        elif self._rng.random() < 0.1:
            self._now &= self._rng.getrandbits(2)
        self._ports.put("i_running", self._now)

    def observe(self, cycle: int):
        """Nothing answers."""


class ServedHost(Host):
    """Words as memories keep them."""

    def stored(self, space: int, address: int, data: int) -> int:
        width = geometry(self.config).get(space, (16, 0))[0]
        if space == Space.SYNAPSES or width <= 16:
            return data & (1 << min(width, 16)) - 1
        words = 1
        while 16 * words < width:
            words *= 2
        return data & (1 << max(0, min(16, width - 16 * (address % words)))) - 1


async def hosted(dut, rng: random.Random, *, gap: float, busy: float, count: int = 0, requests=None):
    ports = Ports(dut, "hosted", PARTS["hosted"])
    host = ServedHost(ports, SMALL, rng=rng, count=len(requests) if requests else count, gap=gap, requests=requests)
    until = lambda: not host.left and host._request is None and not host.answers  # noqa: E731
    await run(dut, [host, Running(ports, rng=rng, busy=busy)], until=until, limit=2000 + 200 * host.left)
    return host


@cocotb.test()
@cocotb.parametrize(gap=[0.0, 0.7], busy=[0.0, 0.6])
async def servers_do_what_the_host_is_told(dut, gap, busy):
    await reset(dut, BANK)
    host = await hosted(dut, random.Random(PARAMETERS["seed"]), gap=gap, busy=busy, count=500)
    assert host.checked > 40 and host.refused > 50, f"{host.checked} words, {host.refused} refused"


@cocotb.test()
async def spaces_end_where_those_of_a_core_do(dut):
    """A write is refused by HostBus, a read by the core's own server: at both sides of every space's end."""
    await reset(dut, BANK)
    requests = deque()
    spaces = words_of_spaces(SMALL)
    for space in [*Space, 0, 200]:
        end = spaces.get(space, 0)
        for address in {max(end - 1, 0), end, end + 1, 1 << 23}:
            requests += [(space, address, address & 0xFFFF, True), (space, address, 0, False)]
    count = len(requests)
    host = await hosted(dut, random.Random(PARAMETERS["seed"]), gap=0.0, busy=0.0, requests=requests)
    assert len(host.taken) == count and host.refused > 2 * len(Space)


@cocotb.test()
async def a_request_takes_three_cycles(dut):
    await reset(dut, BANK)
    for write in (True, False):
        requests = deque((Space.SYNAPSES, at, at * 77, write) for at in range(30))
        host = await hosted(dut, random.Random(PARAMETERS["seed"]), gap=0.0, busy=0.0, requests=requests)
        cycles = [cycle for cycle, _ in host.taken]
        # The first comes to cores that rest, or have the last writes; each later one waits for three cycles.
        paces = {after - before for before, after in pairwise(cycles[1:])}
        assert paces == {PACE}, f"requests {paces} cycles apart"
        if not write:
            lags = {answer - cycle for answer, cycle in zip(host.answered[1:], cycles[1:], strict=True)}
            assert lags == {READ + PACE}, f"answers {lags} cycles after their reads"


@cocotb.test(skip=not PARAMETERS["faults"])
async def faults_are_found(dut):
    await reset(dut, BANK)
    outputs = Ports(dut, "host_6", PARTS["host_6"]).outputs
    assert await faulty(dut, BANK, outputs, lambda rng: asked(dut, "host_6", rng, gap=0.3, ready=0.5, count=80),
                        seed=PARAMETERS["seed"])
