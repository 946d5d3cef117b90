"""The machine that takes everything in turn: a microprogram over one adder, one exact sum and one rounding."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..contract.program import Run
from .arithmetic import ARITHMETIC, ASKED, POWER_BITS, ExactMultiplySum, SumRounding
from .instructions import MINUS, MOVED, PC_BITS, RAW, Carry, Function, Instruction, Op, Source, Taken, When
from .lists import EventList

_LIMB_AT = 24       # bit of the exact sum that weighs 2^-24
_MASKED = ((When.NO_CLEAR, Run.CLEAR), (When.NO_FORWARD, Run.FORWARD), (When.NO_LOSS, Run.LOSS),
           (When.NO_BACKWARD, Run.BACKWARD), (When.NO_UPDATE, Run.UPDATE))


class Sequencer(wiring.Component):
    """Runs the microprogram from its start, once per run.

    ::

        fetch ─ program ─> decode ─ scratch (256 words) ─> execute: R = A ± D ─> X, scratch, memory address
                                                              │ D: scratch, memory, list, result
                          list ─> factor Y ─┐                 │
                          memory, D ────────┴─ exact sum ─ rounding ─> result

    One instruction per cycle; a taken branch costs two more. Those marked in `Op` hold the program: SCAN N + 2 cycles,
    VISIT one per event and 3, HIT one per set bit and 2 (both 1 where there is none), ROUND and FLOOR 3, and like
    FORGET and TAKE up to 2 before that until the last product has arrived.

    Parameters
    ----------
    words, init : the microprogram and the first contents of the scratch memory (`Program`)
    sample : scratch place that is given the run's sample number
    events : greatest number of events of a list
    width : bits of the exact sum

    Members
    -------
    i_run, i_mask, i_sample : a run starts; only while o_busy is low
    o_busy : up from the next cycle on until the run is over
    o_address, o_read, o_write, o_data : the memory's only port; i_data is the word read, from the next cycle on
    i_host_address, i_host_write, i_host_read, i_host_data : the host's view of the scratch memory while o_busy is low;
        o_host_data follows a read by a cycle
    i_clear_counters : the host clears the counters
    o_overflow : strobe, a rounding has saturated
    o_give, o_give_at, o_give_data : strobe, to the machine beside this one; i_given is taken from it, i_hold up while
        it works (from the cycle after a strobe on)
    i_lent, o_lent : exact sum and rounding for that machine while the program waits for it
    i_list_first, i_list_next, o_list_offset, o_list_end : and the list of events
    i_saturated : strobe, a rounding of that machine's has saturated
    o_counters_clear : they count as zero, whatever the scratch memory holds
    """

    def __init__(self, *, words: list, init: list[int], sample: int, events: int, width: int):
        self._words, self._init, self._sample, self._events, self._width = words, init, sample, events, width
        super().__init__({
            "i_run": In(1), "i_mask": In(16), "i_sample": In(16), "o_busy": Out(1),
            "o_address": Out(16), "o_read": Out(1), "o_write": Out(1), "o_data": Out(16), "i_data": In(16),
            "i_host_address": In(8), "i_host_write": In(1), "i_host_read": In(1), "i_host_data": In(16),
            "o_host_data": Out(16), "i_clear_counters": In(1), "o_counters_clear": Out(1),
            "o_overflow": Out(1),
            "o_give": Out(1), "o_give_at": Out(5), "o_give_data": Out(16), "i_given": In(16), "i_hold": In(1),
            "i_lent": In(ASKED), "o_lent": Out(ARITHMETIC), "i_list_first": In(1), "i_list_next": In(1),
            "o_list_offset": Out(16), "o_list_end": Out(1), "i_saturated": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        busy, stall, branch = Signal(), Signal(), Signal()
        m.d.comb += self.o_busy.eq(busy)

        # Fetch and decode.
        m.submodules.program = program = Memory(shape=Instruction, depth=1 << PC_BITS, init=self._words)
        m.submodules.scratch = scratch = Memory(shape=unsigned(16), depth=len(self._init), init=self._init)
        fetch, operand, store = program.read_port(), scratch.read_port(), scratch.write_port()
        at, back = Signal(PC_BITS), Signal(PC_BITS)
        decoded, execute, started, valid = fetch.data, Signal(Instruction), Signal(), Signal()
        target = Signal(PC_BITS)
        op = execute.op
        m.d.comb += [
            fetch.en.eq(~stall), fetch.addr.eq(Mux(busy, at + 1, 0)),
            operand.en.eq(~stall | self.i_host_read),
            operand.addr.eq(Mux(busy, decoded.place, self.i_host_address)),
        ]
        with m.If(branch):
            m.d.comb += fetch.addr.eq(target)
        with m.If(~stall):
            m.d.sync += [at.eq(fetch.addr), execute.eq(decoded), started.eq(busy & ~branch)]
        # The branch of the instruction before is decided while this one is here, which then was for nothing.
        m.d.comb += valid.eq(started & ~branch)

        # The sum R.
        m.submodules.list = events = EventList(depth=self._events)
        x, hits, result, word, arrived = Signal(16), Signal(16), Signal(16), Signal(16), Signal()
        # A large memory's words are late in a cycle, too late for a sum.
        m.d.sync += arrived.eq(self.o_read)
        with m.If(arrived):
            m.d.sync += word.eq(self.i_data)
        d, total, r, carry = Signal(16), Signal(17), Signal(16), Signal()
        with m.Switch(execute.source):
            with m.Case(Source.SCRATCH):
                m.d.comb += d.eq(operand.data)
            with m.Case(Source.MEMORY):
                m.d.comb += d.eq(word)
            with m.Case(Source.LIST):
                m.d.comb += d.eq(events.o_offset)
            with m.Case(Source.RESULT):
                m.d.comb += d.eq(result)
        lane = Signal(4)
        m.d.comb += lane.eq(_lowest_one(hits))
        hitting = valid & (op == Op.HIT)
        left = ((x & execute.a.replicate(16)) ^ execute.a_not.replicate(16)) | Mux(op == Op.HIT, lane, 0)
        right = (d & execute.d.replicate(16)) ^ execute.d_not.replicate(16)
        carry_in = Mux(execute.carry == Carry.KEPT, carry, execute.carry == Carry.ONE)
        m.d.comb += [
            total.eq((Cat(Const(1, 1), left) + Cat(carry_in, right))[1:]),
            r.eq(total[:16]),
        ]
        with m.Switch(execute.function):
            with m.Case(Function.AND):
                m.d.comb += r.eq(x & d)
            with m.Case(Function.HALF):
                m.d.comb += r.eq(d[1:])

        # What takes more than a cycle.
        m.submodules.sum = exact = ExactMultiplySum(width=self._width)
        m.submodules.rounding = rounding = SumRounding(width=self._width)
        count, step, visits, cycles, cycles_above = Signal(16), Signal(16), Signal(16), Signal(32), Signal(16)
        scan, visit = valid & (op == Op.SCAN), valid & (op == Op.VISIT)
        scanning, scanned = scan & (count != 0), Signal()
        offered, fetching, arrives = Signal(), visit & ~events.o_end, Signal()
        hit = hitting & (hits != 0)
        turn, finished = Signal(2), Signal()
        rounds = valid & ((op == Op.ROUND) | (op == Op.FLOOR))
        settles = rounds | (valid & ((op == Op.FORGET) | (op == Op.TAKE) | (execute.when == When.BELOW)))
        m.d.comb += [
            finished.eq(turn == 2),
            stall.eq((settles & exact.o_busy) | (rounds & ~finished) | scanning | scanned
                     | fetching | offered | arrives | hit | (valid & (op == Op.AWAIT) & self.i_hold)),
        ]
        m.d.sync += [scanned.eq(scanning), offered.eq(fetching), arrives.eq(offered | hit)]
        with m.If(rounds & ~exact.o_busy):
            m.d.sync += turn.eq(Mux(finished, 0, turn + 1))

        done = valid & ~stall
        steps = execute.target[:3]
        y, power = Signal(16), Signal(signed(POWER_BITS))
        multiply = done & (op == Op.MULTIPLY)
        m.d.comb += [
            events.i_pass.eq(scanned), events.i_word.eq(self.i_data), events.i_step.eq(step),
            events.i_empty.eq(done & (op == Op.STEP)),
            events.i_first.eq(self.i_list_first | (done & ((op == Op.FIRST) | (op == Op.VISIT)))),
            events.i_next.eq(self.i_list_next | fetching | (done & (op == Op.NEXT))),
            exact.i_valid.eq(arrives | multiply | self.i_lent.valid),
            exact.i_a.eq(Mux(self.i_lent.valid, self.i_lent.a, Mux(arrives, self.i_data, d))),
            exact.i_b.eq(Mux(self.i_lent.valid, self.i_lent.b, y)),
            exact.i_minus.eq((multiply & steps[MINUS.bit_length() - 1]) | self.i_lent.minus),
            exact.i_raw.eq(multiply & steps[RAW.bit_length() - 1]),
            exact.i_moved.eq(multiply & steps[MOVED.bit_length() - 1]), exact.i_k.eq(power),
            exact.i_forget.eq((done & (op == Op.FORGET)) | self.i_lent.forget),
            rounding.i.eq(exact.o), rounding.i_floor.eq((op == Op.FLOOR) | self.i_lent.floor),
            self.o_lent.busy.eq(exact.o_busy), self.o_lent.negative.eq(exact.o[-1]),
            self.o_lent.word.eq(rounding.o_word), self.o_lent.overflow.eq(rounding.o_overflow),
            self.o_list_offset.eq(events.o_offset), self.o_list_end.eq(events.o_end),
            self.o_give.eq(done & (op == Op.GIVE)), self.o_give_at.eq(execute.target), self.o_give_data.eq(r),
        ]
        with m.If(done):
            with m.Switch(op):
                with m.Case(Op.FACTOR):
                    m.d.sync += y.eq(d)
                with m.Case(Op.POWER):
                    m.d.sync += power.eq(d)
                with m.Case(Op.STEP):
                    m.d.sync += step.eq(r)
                with m.Case(Op.ROUND):
                    m.d.sync += result.eq(rounding.o_word)
                with m.Case(Op.FLOOR):
                    m.d.sync += result.eq(rounding.o_word)
                with m.Case(Op.TAKE):
                    with m.Switch(steps):
                        for k in range(4):
                            with m.Case(Taken.LIMB_0.value + k):
                                m.d.sync += result.eq(exact.o[_LIMB_AT + 16 * k:][:16])
                        with m.Case(Taken.VISITS):
                            m.d.sync += result.eq(visits)
                        with m.Case(Taken.CYCLES_0):
                            m.d.sync += [result.eq(cycles[:16]), cycles_above.eq(cycles[16:])]
                        with m.Case(Taken.BESIDE):
                            m.d.sync += result.eq(self.i_given)
                        with m.Default():
                            m.d.sync += result.eq(cycles_above)
        with m.If(offered):
            m.d.sync += y.eq(events.o_factor)
        with m.If(done & (op == Op.COUNT)):
            m.d.sync += count.eq(r)
        with m.Elif(scanning):
            m.d.sync += count.eq(count - 1)
        with m.If(done & (op == Op.HITS)):
            m.d.sync += hits.eq(r)
        with m.Elif(hit):
            m.d.sync += hits.eq(hits & (hits - 1)[:16])
        with m.If(exact.i_forget):
            m.d.sync += visits.eq(0)
        with m.Elif(arrives):
            m.d.sync += visits.eq(visits + 1)

        # What R does.
        storing = done & execute.store
        with m.If((done & execute.x) | scanning):
            m.d.sync += x.eq(r)
        with m.If(done & execute.a & execute.d & (execute.x | execute.store)):
            m.d.sync += carry.eq(total[16])
        m.d.comb += [
            store.addr.eq(Mux(busy, execute.place, Mux(self.i_run, self._sample, self.i_host_address))),
            store.data.eq(Mux(busy, r, Mux(self.i_run, self.i_sample, self.i_host_data))),
            store.en.eq(storing | self.i_run | self.i_host_write),
            self.o_address.eq(r), self.o_data.eq(x),
            self.o_read.eq((done & execute.read) | scanning | offered | hit), self.o_write.eq(done & execute.write),
            self.o_host_data.eq(operand.data),
        ]

        # Branches, and the run itself.
        mask, exact_so_far, counted = Signal(16), Signal(), Signal(init=1)
        when, last = Signal(When), Signal(16)
        m.d.sync += [
            when.eq(Mux(done, execute.when, When.NEVER)), last.eq(r),
            target.eq(Mux(op == Op.RETURN, back, execute.target)),
        ]
        with m.If(done & (op == Op.CALL)):
            m.d.sync += back.eq(at)
        is_zero = last == 0
        with m.Switch(when):
            for case, condition in (
                    (When.ALWAYS, 1), (When.ZERO, is_zero), (When.NONZERO, ~is_zero), (When.NEGATIVE, last[15]),
                    (When.POSITIVE, ~last[15]), (When.BELOW, exact.o[-1]), (When.END, events.o_end),
                    (When.COUNTED, counted), (When.EXACT, exact_so_far),
                    *((case, ~(mask & bit).any()) for case, bit in _MASKED)):
                with m.Case(case):
                    m.d.comb += branch.eq(condition)
        m.d.comb += self.o_counters_clear.eq(~counted)
        m.d.comb += self.o_overflow.eq((done & (op == Op.ROUND) & rounding.o_overflow) | self.i_saturated)
        with m.If(self.o_overflow):
            m.d.sync += exact_so_far.eq(0)
        with m.If(busy):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(self.i_run):
            m.d.sync += [busy.eq(1), mask.eq(self.i_mask), exact_so_far.eq(1)]
        with m.Elif(done & (op == Op.STOP)):
            m.d.sync += [busy.eq(0), started.eq(0)]
        with m.If(self.i_clear_counters):
            m.d.sync += [counted.eq(0), cycles.eq(0)]
        with m.Elif(done & (op == Op.CLEARED)):
            m.d.sync += counted.eq(1)
        return m


def _lowest_one(value: Value) -> Value:
    """Index of the lowest set bit, all ones where there is none; log depth."""
    if len(value) == 2:
        return ~value[0]
    half = len(value) // 2
    above = ~value[:half].any()
    return Cat(Mux(above, _lowest_one(value[half:]), _lowest_one(value[:half])), above)
