"""Block RAM and DSP of chips, told from their configuration, against what Yosys made of them."""

import pytest

pytest.importorskip("amaranth")

from autapse.boards import boards
from autapse.gateware.calibrate import SIZES, fit
from autapse.gateware.room import block_rams, dsp_blocks, features, filled
from autapse.hw.contract.chip import ChipConfig

ECP5 = boards()["ulx3s-85f"].device
LINK = 2    # block RAMs of link and command processor


@pytest.mark.parametrize("name, rams, dsp", [("tile, 4 lanes", 56, 12), ("tile, 8 lanes", 79, 16),
                                             ("tile, 8 lanes, 2 layers", 70, 16)])
def test_a_tile_has_the_rams_that_synthesis_found(name, rams, dsp):
    config = SIZES[name]
    assert block_rams(config, ECP5) == LINK + config.nodes * rams
    assert dsp_blocks(config) == config.nodes * dsp


def test_a_chip_has_the_rams_that_synthesis_found():
    assert (block_rams(SIZES["2 lanes"], ECP5), dsp_blocks(SIZES["2 lanes"])) == (50, 10)
    assert block_rams(boards()["ulx3s-25f"].preset(), ECP5) == 54
    assert block_rams(boards()["icebreaker"].preset(), boards()["icebreaker"].device) == 23


def test_memories_fill_a_board_and_no_more():
    board = boards()["ulx3s-85f"]
    full = filled(board.preset().replace(synapses=1024), board)
    assert block_rams(full, board.device) <= 208
    assert block_rams(full.replace(synapses=2 * full.synapses), board.device) > 208
    with pytest.raises(ValueError, match="block RAMs with 1,024 rows of synapses each, ULX3S 85F has 208"):
        filled(board.preset().replace(lanes=16, mesh_width=2, mesh_height=2, remote_rows=64, routes=128), board)


def test_a_fit_finds_the_parts_again():
    parts = {"training core": 9000.0, "training lane": 1000.0, "link and command processor": 2000.0}
    configs = [ChipConfig(lanes=lanes, units=1, layers=2) for lanes in (1, 2, 8)]
    points = [(features(config), sum(parts[name] * count for name, count in features(config).items()))
              for config in configs]
    points.append(({"training core": 1.0}, 9000.0))
    found = fit(points)
    assert {name: round(found[name]) for name in parts} == parts
