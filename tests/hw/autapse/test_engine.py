"""The node engine, with one unit and with several, in Verilator and Icarus, against integers and its cycle formula."""

from pathlib import Path

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from autapse.hw.autapse.engine import NodeEngine
from autapse.hw.sequenced.arithmetic import ExactMultiplySum, SumRounding
from autapse.hw.sequenced.lists import EventList
from bench import run_bench

BENCH = Path(__file__).with_name("bench_engine.py")
WORDS = 4096


class EngineAlone(wiring.Component):
    """The engine with a memory, a list and arithmetic for its first unit, which the bench fills and looks at.

    With `fault` the words of the last unit have the wrong sign.
    """

    def __init__(self, *, units: int, line: int, fault: bool = False):
        self.units, self.line, self.fault = units, line, fault
        super().__init__({
            "i_give": In(1), "i_at": In(5), "i_data": In(16), "o_busy": Out(1),
            "i_write": In(1), "i_look": In(1), "i_address": In(16), "i_word": In(16), "o_word": Out(16),
            "i_empty": In(1), "i_event": In(1), "i_step": In(16), "o_visits": Out(16),
        })

    def elaborate(self, platform):
        m = Module()
        units, bits = self.units, (self.units - 1).bit_length()
        m.submodules.engine = engine = NodeEngine(units=units, line=self.line)
        m.submodules.list = events = EventList(depth=16)
        m.submodules.sum = exact = ExactMultiplySum(width=92)
        m.submodules.rounding = rounding = SumRounding(width=92)
        asked, answer = engine.o_lent, engine.i_lent
        m.d.comb += [
            engine.i_give.eq(self.i_give), engine.i_at.eq(self.i_at), engine.i_data.eq(self.i_data),
            self.o_busy.eq(engine.o_busy), self.o_visits.eq(engine.o_visits),
            events.i_empty.eq(self.i_empty), events.i_pass.eq(self.i_event), events.i_word.eq(self.i_word),
            events.i_step.eq(self.i_step), events.i_first.eq(engine.o_list_first),
            events.i_next.eq(engine.o_list_next), engine.i_list_offset.eq(events.o_offset),
            engine.i_list_end.eq(events.o_end),
            exact.i_valid.eq(asked.valid), exact.i_a.eq(asked.a), exact.i_b.eq(asked.b), exact.i_minus.eq(asked.minus),
            exact.i_forget.eq(asked.forget), rounding.i.eq(exact.o), rounding.i_floor.eq(asked.floor),
            answer.busy.eq(exact.o_busy), answer.negative.eq(exact.o[-1]), answer.word.eq(rounding.o_word),
            answer.overflow.eq(rounding.o_overflow),
        ]
        address, lane, words = Signal(16), Signal(max(bits, 1)), []
        reads = self.i_look | engine.o_read
        m.d.comb += address.eq(Mux(self.i_write | self.i_look, self.i_address, engine.o_address))
        with m.If(reads):
            m.d.sync += lane.eq(address[:bits] if bits else 0)
        for index in range(units):
            m.submodules[f"bank_{index}"] = bank = Memory(shape=unsigned(16), depth=WORDS // units, init=[])
            writer, reader = bank.write_port(), bank.read_port()
            mine = (address[:bits] == index) if bits else True
            m.d.comb += [
                writer.addr.eq(address[bits:]), reader.addr.eq(address[bits:]), reader.en.eq(reads),
                writer.data.eq(Mux(self.i_write, self.i_word, engine.o_row.word_select(index, 16))),
                writer.en.eq((self.i_write & mine) | (engine.o_write & (~engine.o_one | mine))),
            ]
            words.append(reader.data)
        row = Cat(words)
        m.d.comb += [
            self.o_word.eq(row.word_select(lane, 16)), engine.i_lane.eq(lane),
            engine.i_row.eq(Cat(*words[:-1], words[-1] ^ 0x8000) if self.fault else row),
        ]
        return m


def taken(sim: str, *, units: int, line: int, segments: int, fault: bool = False):
    run_bench(EngineAlone(units=units, line=line, fault=fault), name=f"engine_{units}_{line}{'_wrong' * fault}",
              module=BENCH, sim=sim, parameters={"units": units, "line": line, "segments": segments, "seed": 603})


@pytest.mark.parametrize(("sim", "units", "line", "segments"), [
    ("verilator", 1, 48, 30), ("icarus", 4, 32, 16)])
def test_segments_are_those_of_the_rules(sim, units, line, segments):
    taken(sim, units=units, line=line, segments=segments)


def test_bench_sees_a_wrong_lane():
    with pytest.raises(AssertionError, match="word .* of .* nodes is"):
        taken("icarus", units=4, line=32, segments=16, fault=True)
