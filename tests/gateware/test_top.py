"""The top of every board, over its pins."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("amaranth")

from autapse.gateware.top import Top
from bench import run_bench

sys.path.append(str(Path(__file__).parents[1] / "hw" / "engine"))

from core_training import CONFIGS


@pytest.mark.parametrize("baud", [None, pytest.param(3_000_000, marks=pytest.mark.slow)])
def test_a_board_answers_over_its_pins(baud):
    clock = 18_500_000  # 6.17 cycles per bit, nearly as few as any board has
    run_bench(Top(CONFIGS["batch"], clock_hz=clock, baud=baud), name=f"top_{baud or 'found'}", sim="verilator", seed=41,
              module=Path(__file__).with_name("bench_top.py"),
              parameters={"seed": 41, "fifo": False, "cycles_per_bit": clock / 3e6, "limit": 1_500_000})


def test_a_board_answers_over_its_fifo():
    run_bench(Top(CONFIGS["batch"], clock_hz=80e6, fifo=True), name="top_fifo", sim="verilator", seed=42,
              module=Path(__file__).with_name("bench_top.py"),
              parameters={"seed": 42, "fifo": True, "limit": 1_500_000})


def test_a_clock_that_is_too_slow_is_refused():
    with pytest.raises(ValueError, match="choose another baud"):
        Top(CONFIGS["batch"], clock_hz=9e6, baud=3_000_000)


def test_a_fifo_has_no_rate():
    with pytest.raises(ValueError, match="^a FIFO has no rate; leave baud out, not 3000000$"):
        Top(CONFIGS["batch"], clock_hz=60e6, baud=3_000_000, fifo=True)
