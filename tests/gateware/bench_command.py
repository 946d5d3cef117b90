"""cocotb bench of the command processor: packets against a model, on a core side that stalls and answers late."""

import random
import struct
from collections import deque

import cocotb

from autapse.hw.contract.packet import MAX_WRITE_WORDS, Opcode, Reason
from bench import bench_parameters
from stream_agents import Agent, Bench, Sink, Source, known

PARAMETERS = bench_parameters()
SPACE, DEPTH = 3, 300
ROW_BITS = PARAMETERS["row_bits"]
KNOWN = (1, 2, 3, 4, 5, 6, 7) if ROW_BITS < 16 else (1, 2, 3, 4, 5, 6)
OTHERS = [code for code in range(256) if code not in KNOWN]
ALL_CORES = 0xFFFF_FFFF


class Core:
    """A memory in one space that takes requests when it likes and answers reads in order, up to `latency` cycles later.

    Without stalls it answers after exactly as many. Up to two runs are under way at once, and requests are taken
    meanwhile.
    """

    def __init__(self, dut, *, stall):
        self.dut, self.stall = dut, stall
        self.memory = [0] * DEPTH
        self.replies = deque()      # [cycles left, word, error]
        self.runs = []
        self.run_lengths = range(1, 60)
        self.running = []           # cycles left of the runs under way
        self.meanwhile = 0          # requests taken while a run was under way
        self.most_runs = 0
        self.cycle = 0
        self.request_held = None
        self.may_withdraw = False
        self.most_reads = 0
        self.latency = PARAMETERS["latency"]
        self.selected = []          # the cores that each request was for
        self.owing = None           # the cores that the reads under way were asked of

    def drive(self):
        self.cycle += 1
        self.ready = int(random.random() >= self.stall)
        self.run_ready = int(len(self.running) < 2 and random.random() >= self.stall)
        for reply in self.replies:
            reply[0] -= 1
        valid = bool(self.replies) and self.replies[0][0] <= 0
        _, word, error = self.replies.popleft() if valid else (0, random.getrandbits(16), random.getrandbits(1))
        self.valid, self.word, self.error = int(valid), word, error
        # What the bus asks hangs on registers alone, so it can be seen before the reply to it is driven.
        space, address, _, write, _ = self.request()
        if write:
            self.error = int(not (space == SPACE and address < DEPTH))
        self.dut.i_busy.value = int(bool(self.running))
        self.dut.o_run__ready.value = self.run_ready
        self.dut.i_bus.value = self.ready | self.word << 1 | self.valid << 17 | self.error << 18

    def request(self):
        """Space, address, data, write, read of this cycle."""
        word = known(self.dut.o_bus)
        return word & 0xFF, word >> 8 & 0xFFFFFF, word >> 32 & 0xFFFF, word >> 48 & 1, word >> 49 & 1

    def sample(self):
        space, address, data, write, read = self.request()
        assert not (write and read)
        self.meanwhile += bool((write or read) and self.ready and self.running)
        self.running = [left - 1 for left in self.running if left > 1]
        exists = space == SPACE and address < DEPTH
        request = (space, address, data if write else None, write, read) if write or read else None
        held = self.request_held
        assert self.may_withdraw or held in (None, request), f"the bus asked {held}, then {request}"
        self.request_held = request if request and not self.ready else None
        select = int(self.dut.o_select.value)
        self.owing = self.owing if self.replies else None
        assert self.owing in (None, select), f"cores {select:#x} were selected while {self.owing:#x} owed an answer"
        if request and self.ready:
            self.selected.append(select)
            if read:
                self.owing = select
                self.replies.append([random.randint(1, self.latency) if self.stall else self.latency,
                                     self.memory[address] if exists else 0xDEAD, int(not exists)])
                self.most_reads = max(self.most_reads, len(self.replies))
            elif exists:
                self.memory[address] = data
        if known(self.dut.o_run__valid) and self.run_ready:
            run = int(self.dut.o_run__payload.value)
            self.runs.append((run & 0xFFFF, run >> 16))
            self.running.append(random.choice(self.run_lengths))
            self.most_runs = max(self.most_runs, len(self.running))


class Model:
    """What packets do and answer, from docs/link.md."""

    def __init__(self):
        self.memory = [0] * DEPTH
        self.runs = []
        self.answers = []
        self.dropped = 0
        self.select = ALL_CORES
        self.selected = []

    def answer(self, *words):
        self.answers += [word | (place == len(words) - 1) << 16 for place, word in enumerate(words)]

    def fail(self, tag, reason, word):
        self.answer(Opcode.ERROR | tag << 8, reason, word)
        self.dropped += reason != Reason.SPACE

    def write(self, space, address, data):
        known = space == SPACE and address < DEPTH
        self.selected.append(self.select)
        if known:
            self.memory[address] = data
        return known

    def frame(self, content):
        words = list(struct.unpack(f"<{len(content) // 2}H", content[:len(content) // 2 * 2]))
        odd = content[-1] if len(content) % 2 else None
        sizes = {code: (5, 5, 7, 3, 2, 3, 5)[code - 1] for code in KNOWN}
        at = 0
        while at < len(words) or odd is not None:
            head = words[at] if at < len(words) else odd
            tag, size = head >> 8, sizes.get(head & 0xFF, 0)
            if not size:
                return self.fail(tag, Reason.OPCODE, head)
            last = odd if odd is not None else words[-1]
            if at + size > len(words):
                return self.fail(tag, Reason.CUT, last)
            fields = words[at:at + size]
            at += size
            code, space, address = head & 0xFF, fields[1], fields[2] + (fields[3] << 16 if size > 3 else 0) \
                if size > 2 else 0
            space &= 0xFF
            if code == Opcode.WRITE:
                data = words[at:at + fields[4]]
                known = [self.write(space, address + place, word) for place, word in enumerate(data)]
                if len(data) < fields[4]:
                    return self.fail(tag, Reason.CUT, last)
                at += len(data)
                if not all(known):
                    self.fail(tag, Reason.SPACE, fields[1])
            elif code == Opcode.WRITE_ROWS:
                sent = words[at:at - (-fields[4] * ROW_BITS // 16)]
                at += len(sent)
                rows = [word >> low & (1 << ROW_BITS) - 1 for word in sent for low in range(0, 16, ROW_BITS)]
                known = [self.write(space, address + place, row) for place, row in enumerate(rows[:fields[4]])]
                if len(rows) < fields[4]:
                    return self.fail(tag, Reason.CUT, last)
                if not all(known):
                    self.fail(tag, Reason.SPACE, fields[1])
            elif code == Opcode.READ:
                places = range(address, address + fields[4])
                known = [space == SPACE and place < DEPTH for place in places]
                self.selected += [self.select] * len(places)
                data = [self.memory[place] if good else 0xDEAD for place, good in zip(places, known, strict=True)]
                self.answer(Opcode.READ_DATA | tag << 8, fields[1], fields[4], *data,
                            0 if all(known) else Reason.SPACE)
            elif code == Opcode.FILL:
                count = fields[4] | fields[5] << 16
                known = [self.write(space, address + place, fields[6]) for place in range(count)]
                if not all(known):
                    self.fail(tag, Reason.SPACE, fields[1])
            elif code == Opcode.RUN:
                self.runs.append((fields[1], fields[2]))
            elif code == Opcode.SELECT:
                self.select = fields[1] | fields[2] << 16
            else:
                self.answer(head, fields[1])


def packet():
    tag = random.randrange(256) << 8
    space = random.choice((SPACE,) * 9 + (8,))
    address = random.choice((0, random.randrange(DEPTH), random.randrange(DEPTH - 60), DEPTH - 2))
    count = random.choice((0, 1, 2, random.randrange(40), random.randrange(40)))
    kind = random.randrange(len(KNOWN))
    if kind == 0:
        return [Opcode.WRITE | tag, space, address, 0, count, *(random.getrandbits(16) for _ in range(count))]
    if kind == 1:
        return [Opcode.READ | tag, space, address, 0, count]
    if kind == 2:
        return [Opcode.FILL | tag, space, address, random.choice((0, 0, 1)), count, 0, random.getrandbits(16)]
    if kind == 3:
        return [Opcode.RUN | tag, random.getrandbits(16), random.getrandbits(16)]
    if kind == 4:
        return [Opcode.SELECT | tag, random.getrandbits(16), random.getrandbits(16)]
    if kind == 5:
        return [Opcode.ECHO | tag, random.getrandbits(16)]
    words = -(-count * ROW_BITS // 16)
    return [Opcode.WRITE_ROWS | tag, space, address, 0, count, *(random.getrandbits(16) for _ in range(words))]


def frame():
    words, starts = [], []
    while not words or random.random() < 0.7:
        more = packet()
        if len(words) + len(more) > 128:
            break
        starts.append(len(words))
        words += more
    if random.random() < 0.1:
        # Between packets: inside a header it could become the count of a FILL that takes hours.
        words.insert(random.choice(starts), random.choice(OTHERS))
        words = words[:128]
    content = struct.pack(f"<{len(words)}H", *words)
    if random.random() < 0.15:
        content = content[:random.randrange(1, len(content) + 1)]
    return content


def framed(content):
    return [byte | (place == len(content) - 1) << 8 for place, byte in enumerate(content)]


async def made(dut, stall):
    dut.i_session.value = 0
    source, sink = Source(dut, "i_packet", stall=stall), Sink(dut, "o_packet", stall=stall)
    core = Core(dut, stall=stall)
    bench = Bench(dut, source, sink, core)
    await bench.start()
    # Icarus holds what hangs on a state alone at X until the state first changes, and counters would keep that X: so
    # one packet first, then a second reset.
    source.items += framed(struct.pack("<2H", Opcode.ECHO, 0))
    await bench.until(lambda: len(sink.items) == 4, watchdog=200)
    for level in (1, 1, 0):
        bench.agents.append(reset := Agent(drive=lambda level=level: setattr(dut.rst, "value", level)))
        await bench.step()
        bench.agents.remove(reset)
    sink.items.clear()
    return bench, source, sink, core


def words_of(items):
    """Words of the answers, the mark of the last in bit 16; the low bytes carry none."""
    assert len(items) % 2 == 0 and not any(item >> 8 for item in items[::2])
    return [low | high << 8 for low, high in zip(items[::2], items[1::2], strict=True)]


@cocotb.test()
async def packets_do_and_answer_as_the_model_says(dut):
    bench, source, sink, core = await made(dut, PARAMETERS["stall"])
    model = Model()
    for _ in range(250):
        content = frame()
        model.frame(content)
        source.items += framed(content)
    await bench.until(lambda: not source.items and not known(dut.o_busy), watchdog=100000)
    for _ in range(20):
        await bench.step()
    answers = words_of(sink.items)
    for place, (seen, expected) in enumerate(zip(answers, model.answers, strict=False)):
        assert seen == expected, f"word {place} of the answers: {seen:#x}, expected {expected:#x}"
    assert len(answers) == len(model.answers)
    assert core.memory == model.memory
    assert core.runs == model.runs
    assert core.selected == model.selected and len(set(core.selected)) > 20
    assert int(dut.o_dropped.value) == model.dropped > 10
    assert core.most_reads <= PARAMETERS["answers"]
    assert core.meanwhile and core.most_runs == 2, "nothing came while the core ran"


@cocotb.test()
async def only_an_echo_waits_for_the_runs_before_it(dut):
    bench, source, sink, core = await made(dut, PARAMETERS["stall"])
    for runs in (0, 1, 2, 1, 2) * 4:
        # Longer than the packets of a round take on a line that stalls.
        core.run_lengths, word = range(400, 500), random.getrandbits(16)
        ended, written = [], []
        watch = Agent(sample=lambda ended=ended, written=written, word=word: (
            ended.append(bench.cycle) if not core.running else ended.clear(),
            written.append(bool(core.running)) if core.memory[9] == word and not written else None))
        core.memory[9] = word ^ 1
        bench.agents.append(watch)
        for _ in range(runs):
            source.items += framed(struct.pack("<3H", Opcode.RUN, 2, 7))
        source.items += framed(struct.pack("<6H", Opcode.WRITE, SPACE, 9, 0, 1, word))
        source.items += framed(struct.pack("<2H", Opcode.ECHO | 0x3300, word))
        sink.items.clear()
        before = len(core.runs)
        await bench.until(lambda: len(sink.items) == 4, watchdog=3000)
        bench.agents.remove(watch)
        assert words_of(sink.items) == [Opcode.ECHO | 0x3300, word | 1 << 16]
        assert core.runs[before:] == [(2, 7)] * runs
        assert written == [bool(runs)], "a write did not go ahead of the end of the runs"
        assert ended, "an ECHO was answered before the end of the runs"
        if not PARAMETERS["stall"] and runs:
            # Two words of answer, two cycles each, and the way through the FIFO.
            assert len(ended) <= 9, f"an ECHO was answered {len(ended)} cycles after the end of the runs"


@cocotb.test()
async def bulk_transfers_keep_up_with_the_line(dut):
    bench, source, sink, core = await made(dut, 0.0)
    begin = bench.cycle
    data = [random.getrandbits(16) for _ in range(MAX_WRITE_WORDS)]
    for _ in range(10):
        source.items += framed(struct.pack(f"<{5 + len(data)}H", Opcode.WRITE, SPACE, 0, 0, len(data), *data))
    await bench.until(lambda: not source.items, watchdog=10000)
    assert bench.cycle - begin <= 10 * (2 * (5 + len(data)) + 3)
    await bench.until(lambda: not known(dut.o_busy), watchdog=10)
    assert core.memory[:len(data)] == data
    begin = bench.cycle
    source.items += framed(struct.pack("<5H", Opcode.READ, SPACE, 0, 0, 250))
    await bench.until(lambda: len(sink.items) == 2 * 254, watchdog=1000)
    assert bench.cycle - begin <= 2 * 5 + 2 * 254 + 5 + core.latency
    begin = bench.cycle
    source.items += framed(struct.pack("<7H", Opcode.FILL, SPACE, 0, 0, DEPTH, 0, 0x1234))
    await bench.until(lambda: core.memory == [0x1234] * DEPTH and not known(dut.o_busy), watchdog=1000)
    assert bench.cycle - begin <= 2 * 7 + DEPTH + 4
    begin = bench.cycle
    for number in range(10):
        source.items += framed(struct.pack("<3H", Opcode.SELECT, number, 0))
    await bench.until(lambda: known(dut.o_select) == 9 and not known(dut.o_busy), watchdog=1000)
    assert bench.cycle - begin <= 10 * (2 * 3 + 1) + 2     # and the way in


@cocotb.test(skip=ROW_BITS == 16)
async def rows_go_one_per_cycle_and_one_for_each_word(dut):
    bench, source, _, core = await made(dut, 0.0)
    count = min(DEPTH, MAX_WRITE_WORDS * 16 // ROW_BITS) - 1     # the last word is not full
    rows = [random.getrandbits(ROW_BITS) for _ in range(count)]
    per_word = 16 // ROW_BITS
    words = [sum(row << ROW_BITS * place for place, row in enumerate(rows[at:at + per_word]))
             for at in range(0, count, per_word)]
    begin = bench.cycle
    source.items += framed(struct.pack(f"<{5 + len(words)}H", Opcode.WRITE_ROWS, SPACE, 0, 0, count, *words))
    await bench.until(lambda: core.memory[:count] == rows and not known(dut.o_busy), watchdog=1000)
    assert bench.cycle - begin <= 2 * 5 + len(words) * (1 + per_word) + 3


@cocotb.test()
async def a_new_session_voids_what_is_under_way(dut):
    bench, source, sink, core = await made(dut, PARAMETERS["stall"])
    for round in range(60):
        for _ in range(3):
            source.items += framed(frame())
        for _ in range(random.randrange(1, 400)):
            await bench.step()
        source.items.clear()
        source.holding = False
        sink.may_withdraw = True
        core.may_withdraw = True
        strobe = Agent(drive=lambda: setattr(dut.i_session, "value", 1))
        bench.agents.append(strobe)
        await bench.step()
        bench.agents.remove(strobe)
        bench.agents.append(clear := Agent(drive=lambda: setattr(dut.i_session, "value", 0)))
        await bench.step()
        bench.agents.remove(clear)
        sink.items.clear()
        core.may_withdraw = False
        core.selected.clear()
        word = random.getrandbits(16)
        source.items += framed(struct.pack("<6H", Opcode.WRITE, SPACE, 7, 0, 1, word)
                               + struct.pack("<5H", Opcode.READ | 0x5500, SPACE, 7, 0, 1))
        await bench.until(lambda: len(sink.items) >= 10, watchdog=2000)
        for _ in range(20):
            await bench.step()
        sink.may_withdraw = False
        assert words_of(sink.items) == [Opcode.READ_DATA | 0x5500, SPACE, 1, word, 1 << 16], f"round {round}"
        assert core.selected == [ALL_CORES] * 2, f"round {round}: a session started with {core.selected}"
