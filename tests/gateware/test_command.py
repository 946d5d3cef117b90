"""The command processor in Verilator and Icarus."""

from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench

pytest.importorskip("amaranth")


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("stall, seed, answers, latency, row_bits", [
    (0.0, 11, 8, 8, 16), (0.4, 12, 8, 9, 8), (0.0, 13, 32, 56, 1), (0.0, 14, 8, 8, 4)])
def test_command_processor(stall, seed, answers, latency, row_bits, sim):
    from autapse.gateware.command import CommandProcessor
    run_bench(CommandProcessor(answer_words=answers, row_bits=row_bits), name="command", sim=sim, seed=seed,
              module=Path(__file__).with_name("bench_command.py"),
              parameters={"stall": stall, "answers": answers, "latency": latency, "row_bits": row_bits})


@pytest.mark.parametrize("words", [0, 1, 12, True])
def test_room_for_answers_wrong(words):
    from autapse.gateware.command import CommandProcessor
    with pytest.raises(ValueError, match=rf"^answer words must be a power of two of at least 2, not {words!r}$"):
        CommandProcessor(answer_words=words)


def test_rows_of_another_width():
    from autapse.gateware.command import CommandProcessor
    with pytest.raises(ValueError, match=r"^row bits must be one of 1, 2, 4, 8, 16, not 32$"):
        CommandProcessor(row_bits=32)
