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
              parameters={"seed": 41, "cycles_per_bit": clock / 3e6, "limit": 1_500_000})


def test_a_clock_that_is_too_slow_is_refused():
    with pytest.raises(ValueError, match="choose another baud"):
        Top(CONFIGS["batch"], clock_hz=9e6, baud=3_000_000)
