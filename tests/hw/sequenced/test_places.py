"""Where things lie in the sequenced core, what it refuses, and its preset."""

import re

import pytest

from autapse.hw.contract.chip import ChipConfig
from autapse.hw.contract.program import COUNTERS, REGISTERS, Space, length
from autapse.hw.sequenced.core import SequencedCore
from autapse.hw.sequenced.instructions import MEMORY, PC_BITS, Instruction, Program, When
from autapse.hw.sequenced.places import SCRATCH, WORDS, fits, places
from autapse.hw.sequenced.preset import up5k_config
from autapse.hw.sequenced.program.run import run_program
from autapse.sw_driver.compile import compile_program
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

SMALL = ChipConfig(lanes=1, units=1, shared=True, slots=1, layers=3, events=7, synapses=50, parameters=5, neurons=9,
                   spike_rows=11, mask_rows=13, membrane_rows=17, error_rows=19, history_words=23, active_words=29,
                   readouts=3, error_inputs=31)


OPTIONS = [SMALL, SMALL.replace(training=False), SMALL.replace(membrane_rows=0)]


@pytest.mark.parametrize("config", [*OPTIONS, up5k_config()])
def test_places_do_not_overlap(config):
    where = places(config)
    taken = [range(where.base[space], where.base[space] + size) for space, size in where.size.items()]
    taken += [range(where.state, where.state + config.neurons), range(where.one, where.one + 1),
              range(where.ones, where.ones + 1)]
    words = [word for each in taken for word in each]
    assert sorted(words) == list(range(where.total)) and where.total <= WORDS


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"lanes": 2}, "a sequenced core has one lane and one unit, not 2 and 1; use the pipelined core for more"),
    ({"slots": 2}, "a sequenced core has one sample at a time, not 2 slots; use slots=1"),
    ({"shared": False, "wide_rows": 6}, ("a sequenced core sums the gradient at the batch's end and has no wide rows, "
                                         "not 6; use wide_rows=0")),
    ({"synapses": 1 << 16}, ("the memories of a sequenced core must hold at most 65536 words of 16 bits together, "
                             "not 65959; use smaller depths")),
])
def test_what_does_not_fit_is_refused(changes, sentence):
    config = SMALL.replace(**changes)
    assert fits(SMALL) and not fits(config)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        SequencedCore(config)


def test_the_program_fits_with_every_option():
    for config in OPTIONS:
        program = run_program(config, places(config))
        words = program.words()
        assert len(words) <= 1 << PC_BITS
        assert len(program.init([0] * 64)) == SCRATCH


def test_an_instruction_does_not_read_what_its_neighbour_stores():
    program = Program()
    program.store("first")
    program.load("first")
    program.store("second")
    program.load("first")
    words = [Instruction.from_bits(word.as_bits()) for word in program.words()]
    assert [int(word.store) for word in words] == [1, 0, 0, 1, 0]
    assert [int(word.place) for word in words] == [0, 0, 0, 1, 0]


def test_of_two_reads_the_first_word_comes_first():
    program = Program()
    program.do("LOAD", "one place", read=True)
    program.do("LOAD", "another", read=True)
    program.load(MEMORY)
    program.load(MEMORY)
    program.do("LOAD", "one place", read=True)
    program.load(MEMORY)
    assert [int(word.x) for word in program.words()] == [0, 0, 1, 1, 0, 0, 1]


def test_labels_and_constants():
    program = Program()
    program.load(program.constant(-2))
    program.label("here")
    program.jump("here")
    program.jump("there", When.ZERO)
    program.label("there")
    assert [int(word.target) for word in program.words()] == [0, 1, 3]
    assert program.init([7])[program.place(program.constant(0xFFFE))] == 0xFFFE
    assert program.init([7])[192] == 7


def test_what_the_host_sees_of_the_scratch_memory_is_apart_from_variables():
    program = run_program(SMALL, places(SMALL))
    hosts = {*range(128, 128 + length(REGISTERS)), *range(160, 160 + 2 * len(COUNTERS)), *range(192, SCRATCH)}
    assert not hosts & set(program.variables().values())
    assert program.place("steps") == 128 and program.place("cycles.1") == 160 + 2 * len(COUNTERS) - 1


def test_the_preset_holds_what_it_says():
    config = up5k_config()
    modules = [Linear(64, 128), LIF(decay=0.5), Linear(128, 10), LI(decay=0.5)]
    network = Network(modules, steps=8)
    compile_program(network, TrainingSpec(learning_rate=0.1, momentum=0.9, batch=16), config)
    assert places(config).total <= 4 * (1 << 14)
    assert Space.ERRORS not in places(up5k_config(training=False)).base
