"""What a build makes of what its tools say; the tools themselves are slow (tests/autapse/test_board_command.py)."""

import re

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("amaranth_boards")

from autapse.boards import boards
from autapse.gateware import flow
from autapse.gateware.build import Progress, build
from autapse.hw.contract.chip import ChipConfig

CONFIG = ChipConfig(lanes=1, units=1, shared=True, slots=1, training=False, layers=2, events=32, synapses=512,
                    parameters=4, neurons=16, spike_rows=128, readouts=8)
COUNTS = {"LUT6": 90, "LUT2": 10, "RAM32M": 2, "RAM32X1S": 3, "RAM64X1D": 1, "FDRE": 70, "FDSE": 5, "DSP48E1": 1,
          "RAMB36E1": 4, "RAMB18E1": 3}


class Yosys:
    origin = "a test"

    def run(self, *arguments, log):
        assert log.parent.is_dir()


@pytest.fixture
def counted(monkeypatch):
    """Yosys finds COUNTS and what this dict adds."""
    more: dict[str, int] = {}
    monkeypatch.setattr(flow, "find", lambda name, choice: Yosys())
    monkeypatch.setattr(flow, "synthesis", lambda *arguments, **options: COUNTS | more)
    return more


def test_a_project_for_vivado(counted, tmp_path):
    board = boards()["arty-a7-100"]
    result = build(board, CONFIG, folder=tmp_path)
    assert result["used"] == {"cells": 100 + 2 * 4 + 3 + 2, "registers": 75, "dsp": 1, "block_ram": 4 + 2}
    assert result["there is"] == {"cells": 63400, "registers": 126800, "dsp": 240, "block_ram": 135}
    assert board.device.name in (tmp_path / "build.tcl").read_text()
    assert "[get_ports clk]" in (tmp_path / "design.xdc").read_text()
    assert (tmp_path / "design.il").stat().st_size and "Fmax (MHz)" not in result


def test_a_project_with_a_fifo(counted, tmp_path):
    result = build(boards()["genesys2"], CONFIG, folder=tmp_path, fifo=True)
    assert result["line"] == "fifo" and result["baud"] is None
    assert "[get_ports rxf]" in (tmp_path / "design.xdc").read_text()
    assert re.search(r"wire width 1 inout \d+ +\\data_7\n", (tmp_path / "design.il").read_text())


def test_a_project_that_is_too_large_is_refused(counted, tmp_path):
    counted["RAMB36E1"] = 140
    with pytest.raises(flow.FlowError, match=r"^the chip does not fit Arty A7-100: it takes 142 block RAMs, 7 more "
                                             r"than the 135 there are; use smaller memories"):
        build(boards()["arty-a7-100"], CONFIG, folder=tmp_path)


def test_progress_goes_from_nothing_to_all():
    said = []
    with Progress(lambda text, fraction: said.append((text, fraction)), cells=1000,
                  parts=["generating", "synthesis"]) as progress:
        progress.start("generating")
        progress.start("synthesis")
    assert said == [("generating", 0.0), ("synthesis", pytest.approx(1 / 8)), ("done", 1.0)]
    assert list(progress.seconds) == ["generating", "synthesis"]
