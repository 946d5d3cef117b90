"""Every board: its pins, its clock, and a preset that fits it and trains what its text says."""

import re

import pytest

pytest.importorskip("amaranth_boards")

from autapse.boards import boards
from autapse.boards.board import FIFO_PORTS, LIGHTS
from autapse.gateware.board_top import BoardTop
from autapse.gateware.constraints import lpf, pcf, vivado, xdc
from autapse.gateware.pll import PLLS
from autapse.gateware.room import block_rams, dsp_blocks
from autapse.sw_driver.compile import compile_whole
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

BOARDS = boards()
EXPECTED = {"ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "orangecrab-25f", "orangecrab-85f", "ecpix5-45f",
            "ecpix5-85f", "icepi-zero", "icebreaker", "arty-a7-100", "genesys2"}
# What docs/boards.md says that presets train: (sizes, batch, momentum).
TRAINS = {"small": ((64, 96, 10), 8, 0.9), "medium": ((784, 32, 10), 16, 0.0), "large": ((784, 80, 10), 24, 0.0),
          "icebreaker": ((64, 128, 10), 16, 0.9)}
OF = {"ulx3s-12f": "small", "ulx3s-25f": "small", "orangecrab-25f": "small", "icepi-zero": "small",
      "ulx3s-45f": "medium", "ecpix5-45f": "medium", "ulx3s-85f": "large", "orangecrab-85f": "large",
      "ecpix5-85f": "large", "icebreaker": "icebreaker"}
# Of `openFPGALoader --list-boards`, version 1.1.1.
PROGRAMMABLE = {"arty_a7_100t", "ecpix5", "ecpix5_r03", "genesys2", "ice40_generic", "icepi-zero", "orangeCrab",
                "ulx3s", "ulx3s_dfu", "ulx3s_esp"}


def network(sizes):
    return Network([Linear(sizes[0], sizes[1]), LIF(decay=0.5), Linear(sizes[1], sizes[2]), LI(decay=0.5)], steps=8)


def test_the_boards_are_all_there():
    assert set(BOARDS) == EXPECTED


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_pins_and_clock(name):
    board = BOARDS[name]
    pins = board.pins()
    sites = [pin.site for pin in pins.values()]
    assert len(set(sites)) == len(sites), pins
    assert {"clk", "rx", "tx", "light_0"} <= set(pins)
    assert set(board.lights) == set(LIGHTS)
    text = {"ecp5": lpf, "ice40": pcf, "xilinx": xdc}[board.device.family](pins, board)
    for port, pin in pins.items():
        assert port in text and pin.site in text
    made = PLLS[board.device.family](board.clock_hz, board.preset_hz).compute().output_hz
    assert abs(made - board.preset_hz) <= 0.01 * board.preset_hz
    if board.device.family == "xilinx":
        assert board.device.name in vivado(board)


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_the_programmer_knows_the_board(name):
    option, board = BOARDS[name].programmer
    assert option == "-b" and board in PROGRAMMABLE


def test_devices_have_the_names_that_are_printed_on_them():
    names = {name: board.device.name for name, board in BOARDS.items()}
    assert (names["ulx3s-12f"], names["ulx3s-85f"]) == ("LFE5U-12F", "LFE5U-85F")
    assert (names["ecpix5-45f"], names["ecpix5-85f"]) == ("LFE5UM5G-45F", "LFE5UM5G-85F")


def test_a_board_has_a_bridge_or_pins_for_one():
    for board in BOARDS.values():
        assert bool(board.bridge) != (board.line is not None), board.name


def test_a_fifo_takes_the_place_of_the_serial_line():
    board = BOARDS["genesys2"]
    pins = board.pins(fifo=True)
    sites = [pin.site for pin in pins.values()]
    assert not {"rx", "tx"} & set(pins) and set(FIFO_PORTS) <= set(pins) and len(set(sites)) == len(sites)
    text = xdc(pins, board)
    assert "set_property PACKAGE_PIN AB29 [get_ports rxf]" in text and "IOSTANDARD LVCMOS33 [get_ports rxf]" in text
    inputs, outputs = (re.search(rf"set_false_path {way} \[get_ports {{(.*)}}\]", text)[1].split()
                       for way in ("-from", "-to"))
    data = {f"data_{bit}" for bit in range(8)}
    assert set(inputs) == data | {"rxf", "txe"}
    assert set(outputs) == data | {"rd", "wr", "oe", "siwu"} | {f"light_{light}" for light in range(4)}
    with pytest.raises(ValueError, match="^ULX3S 85F has no FIFO between USB and its device; leave --line out$"):
        BOARDS["ulx3s-85f"].pins(fifo=True)


def test_pins_are_those_of_the_board():
    pins = BOARDS["ulx3s-85f"].pins()
    assert {port: pin.site for port, pin in pins.items()} == {
        "clk": "G2", "rx": "M1", "tx": "L4", "light_0": "B2", "light_1": "C2", "light_2": "C1", "light_3": "D2"}
    assert pins["rx"].attributes == {"IO_TYPE": "LVCMOS33"}
    assert BOARDS["icebreaker"].pins()["light_0"].inverted


@pytest.mark.parametrize("name", sorted(OF))
def test_the_preset_fits_and_trains_what_is_said(name):
    board = BOARDS[name]
    config, (sizes, batch, momentum) = board.preset(), TRAINS[OF[name]]
    assert block_rams(config, board.device) <= board.device.block_ram
    assert dsp_blocks(config) <= board.device.dsp
    compile_whole(network(sizes), TrainingSpec(learning_rate=0.1, momentum=momentum, batch=batch), config)


def test_lights_that_share_a_pin_are_joined():
    top = BoardTop(BOARDS["icebreaker"], BOARDS["icebreaker"].preset(), clock_hz=16.5e6)
    assert [name for name in top.ports if name.startswith("light")] == ["light_0", "light_1"]
