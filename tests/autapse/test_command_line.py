"""The command line as a user meets it: exit codes, one line per error, files that are whole or absent."""

import json

import numpy as np
import pytest

import autapse as ap
from autapse.cli import run
from autapse.sw_driver import device as device_module
from autapse.sw_driver.devices import golden

pytest.importorskip("sklearn", reason="the default data set is embedded in scikit-learn")
SMALL = ["--limit", "40", "--net", "64-12-10", "--epochs", "2", "--batch", "16"]


def call(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_train_leaves_everything(tmp_path, capsys):
    out, trace, result = tmp_path / "out", tmp_path / "trace", tmp_path / "result.json"
    code, text, errors = call(capsys, "train", *SMALL, "--out", out, "--trace", trace, "--json", result, "--seed", 3)
    assert code == 0
    assert "64-12-10 on digits, golden: test accuracy" in text and "epoch 2/2" in errors
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.safetensors", "report.html"]
    assert sorted(p.name for p in trace.iterdir()) == ["config.json", "final.npz", "initial.npz", "samples.npz"]
    made = json.loads(result.read_text())
    assert (made["command"], made["device"], made["epochs"], made["train_samples"]) == ("train", "golden", 2, 40)
    assert [entry["epoch"] for entry in made["history"]] == [1, 2] and made["history"][0]["seconds"] > 0
    kept = ap.load_checkpoint(out / "checkpoint.safetensors")
    assert kept.epoch == 2 and made["test_accuracy"] == kept.history[-1]["test_accuracy"]
    final = np.load(trace / "final.npz")
    assert np.array_equal(final["w1"].view(np.uint16), kept.state[1].weight.view(np.uint16))


def test_quiet_is_quiet_and_resuming_gives_the_same_bits(tmp_path, capsys):
    for name, epochs in (("a", 4), ("b", 2)):
        arguments = [*SMALL, "--quiet", "--out", tmp_path / name, "--epochs", epochs]
        assert call(capsys, "train", *arguments) == (0, "", "")
    code, *texts = call(capsys, "train", *SMALL, "--quiet", "--resume", tmp_path / "b" / "checkpoint.safetensors",
                        "--out", tmp_path / "c", "--epochs", 2)
    assert (code, texts) == (0, ["", ""])
    a, b, c = ((tmp_path / name / "checkpoint.safetensors").read_bytes() for name in "abc")
    assert a == c != b


@pytest.mark.parametrize(("text", "layers"), [
    (("steps = 3\n[[layers]]\ninputs = 64\noutputs = 9\ndecay = 0.25\nreset = 'soft'\n"
      "[[layers]]\ninputs = 9\noutputs = 10\nspiking = false\nbias = false\n"),
     [(9, "soft", True), (10, "hard", False)]),
    ("import autapse as ap\nnetwork = ap.Network([ap.Linear(64, 10), ap.LIF(threshold=2)], steps=5)\n",
     [(10, "hard", True)]),
])
def test_network_files(tmp_path, capsys, text, layers):
    path = tmp_path / f"net.{'py' if 'import' in text else 'toml'}"
    path.write_text(text)
    result = tmp_path / "r.json"
    assert call(capsys, "train", "--net", path, "--steps", 4, "--limit", 10, "--epochs", 1, "--quiet", "--json",
                result)[0] == 0
    network = json.loads(result.read_text())["network"]
    assert network["steps"] == 4
    assert [(layer["outputs"], layer["reset"], layer["spiking"]) for layer in network["layers"]] == layers


def test_without_net_the_data_decides(tmp_path, capsys):
    np.savez(tmp_path / "d.npz", spikes=np.ones((5, 3, 6), np.uint8), labels=[0, 1, 2, 3, 4])
    code, text, _ = call(capsys, "train", "--data", f"npz:{tmp_path / 'd.npz'}", "--steps", 3, "--epochs", 1)
    assert code == 0 and "6-128-5" in text and "no test set" in text


@pytest.mark.parametrize(("arguments", "part"), [
    (["train", "--learning-rate", "nan"], "learning rate must be finite, not nan"),
    (["train", "--learning-rate", "1e6"], "learning rate must be within ±65504, not 1e+06"),
    (["train", "--momentum", "1"], "momentum must be from 0 to below 1"),
    (["train", "--batch", "0"], "batch must be from 1 to 65536, not 0"),
    (["train", "--batch", "many"], "'--batch'"),
    (["train", "--epochs", "0"], "epochs must be at least 1, not 0"),
    (["train", "--limit", "0"], "limit must be at least 1, not 0"),
    (["train", "--seed", "-1"], "seed must be at least 0, not -1"),
    (["train", "--steps", "0"], "steps must be from 1 to 8192, not 0"),
    (["train", "--loss", "hinge"], "loss must be 'mse', 'cross_entropy' or 'prototype', not 'hinge'"),
    (["train", "--loss-scale", "100"], "loss scale must be a power of two"),
    (["train", "--net", "64"], "--net must be sizes such as 64-128-10"),
    (["train", "--net", "64-0-10"], "outputs of Linear must be at least 1, not 0"),
    (["train", "--net", "32-8-10"], "training data has 64 inputs, the network 32"),
    (["train", "--net", "64-8-9"], "label 9, but the network has classes 0 to 8"),
    (["train", "--net", "none.toml"], "cannot read --net none.toml: No such file or directory"),
    (["train", "--net", "none.py"], "there is no --net file none.py"),
    (["train", "--data", "mnist:nowhere"], "there is no directory nowhere"),
    (["train", "--data", "imagenet"], "there is no data set 'imagenet'"),
    (["train", "--encoder", "morse"], "there is no encoder 'morse'"),
    (["train", "--device", "toaster"], "there is no device 'toaster'"),
    (["train", "--resume", "none"], "cannot read checkpoint none"),
    (["train", "--resume", "none", "--trace", "t"], "--trace is for a run from the start"),
    (["train", "--frobnicate"], "No such option: --frobnicate"),
    (["train", "surplus"], "unexpected extra argument"),
    (["verify", "--devices", "golden"], "--devices must name two devices"),
    (["verify", "--devices", "golden,golden", "--epochs", "0"], "epochs must be at least 1, not 0"),
    (["train", "--device", "sim", "--mesh", "0x3"], "a mesh has from 1 to 20 cores, 0x3 is 0"),
    (["train", "--device", "sim", "--mesh", "7x3"], "a mesh has from 1 to 20 cores, 7x3 is 21"),
    (["verify", "--mesh", "many"], "a mesh is columns x rows, such as 5x4, not 'many'"),
    (["verify", "--mesh", "2x1", "--place", "best"], "there is no placement 'best'; there are even"),
    (["verify", "--place", "even"], "place is for a mesh of cores; give mesh too, such as mesh=5x4"),
    (["train", "--mesh", "2x1"], "--mesh is for the simulated chip, not for golden; name the device sim"),
    (["verify", "--devices", "golden,golden", "--lanes", "4"], "--lanes is for the simulated chip, not for golden"),
    (["train", "--device", "sim:mesh=2x1", "--mesh", "3x1"], ("--mesh is given twice: the device sim:mesh=2x1 has "
     "mesh=2x1 already")),
    (["verify", "--mesh", "2x1", "--lanes", "3"], "lanes must be a power of two from 1 to 32, not 3"),
    (["verify", "--mesh", "2x1", "--steps", "300", "--net", "64-4-10"], ("a mesh takes at most 256 steps per sample, "
     "64-4-10 has 300; use fewer")),
    (["info", "--checkpoint", "none"], "cannot read checkpoint none"),
    (["dance"], "No such command 'dance'"),
    ([], ("say what to do: autapse train, verify, info, bench, map, boards, build, program, estimate, federate, "
          "sim-board or doctor (autapse --help has more)")),
])
def test_bad_input_is_one_line_and_code_two(tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    code, out, errors = call(capsys, *arguments)
    assert (code, out) == (2, "")
    lines = errors.splitlines()
    assert len(lines) == 1 and lines[0].startswith("autapse: ") and part in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_mesh_extend_the_simulated_device():
    from autapse.cli.options import on_mesh
    assert on_mesh("sim", mesh="3x2", lanes=4, place="even") == "sim:mesh=3x2,lanes=4,place=even"
    assert on_mesh("sim:units=1", mesh=None, lanes=4, place=None) == "sim:units=1,lanes=4"
    assert on_mesh("golden", mesh=None, lanes=None, place=None) == "golden"
    with ap.open(on_mesh("sim:units=1", mesh="3x2", lanes=4, place="even")) as device:
        config = device._choose(ap.Network([ap.Linear(5, 9), ap.LIF()], steps=2), None)
    assert (config.mesh_width, config.mesh_height, config.lanes, config.units) == (3, 2, 4, 1)


def test_a_place_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    code, _, errors = call(capsys, "train", *SMALL, "--out", tmp_path / "file", "--quiet")
    assert code == 2 and errors == f"autapse: File exists: {tmp_path / 'file'}\n"
    code, _, errors = call(capsys, "train", *SMALL, "--json", tmp_path / "file" / "r.json", "--quiet")
    assert code == 2 and errors.startswith("autapse: ") and len(errors.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "in the way"


class Interrupting(golden.GoldenDevice):
    """Ctrl-C in the given call of update."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def update(self, **options):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().update(**options)


@pytest.mark.parametrize(("at", "kept"), [(2, 0), (5, 1)])
def test_an_interrupted_run(tmp_path, monkeypatch, capsys, at, kept):
    monkeypatch.setattr(golden, "open_golden", lambda argument: Interrupting(at))
    out = tmp_path / "out"
    code, text, errors = call(capsys, "train", *SMALL, "--out", out, "--trace", out, "--json", out / "r.json",
                              "--quiet")
    assert (code, text) == (2, "")
    if kept:
        where = out / "checkpoint.safetensors"
        assert errors == f"autapse: interrupted in epoch 2; 1 complete epoch is kept in {where}\n"
        assert ap.load_checkpoint(where).epoch == 1
    else:
        assert errors == "autapse: interrupted in epoch 1; 0 complete epochs are kept\n"
    assert [path.name for path in out.iterdir()] == ["checkpoint.safetensors"] * kept


class Wrong(golden.GoldenDevice):
    """Adds one to the lowest bit of a weight after the second update."""

    def read_state(self):
        state = super().read_state()
        self.reads = getattr(self, "reads", 0) + 1
        if self.reads == 3:
            state[1].weight.view(np.uint16)[7, 4] ^= 1
        return state


def test_verify_equal(tmp_path, capsys):
    code, text, errors = call(capsys, "verify", "--devices", "golden,golden", *SMALL, "--json", tmp_path / "r.json")
    assert (code, errors.replace("\n", "").strip()) == (0, "")
    made = json.loads((tmp_path / "r.json").read_text())
    assert made["equal"] and made["first"] is None and made["differences"] == 0
    assert f"{made['words']:,} words compared" in text and made["words"] == sum(made["compared"].values()) > 10_000


def test_verify_different_is_code_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(device_module.KINDS, "wrong", (".devices.golden", "open_wrong", "", ""))
    monkeypatch.setattr(golden, "open_wrong", lambda argument: Wrong(), raising=False)
    code, text, errors = call(capsys, "verify", "--devices", "golden,wrong", *SMALL, "--quiet", "--json",
                              tmp_path / "r.json")
    made = json.loads((tmp_path / "r.json").read_text())
    assert (code, text, made["differences"], made["equal"]) == (1, "", 1, False)
    assert len(errors.splitlines()) == 1
    assert errors.startswith("autapse: golden and wrong differ in 1 of ")
    assert "the first is weight: layer 1, neuron 4, from input 7, batch 1: " in errors
    assert made["first"]["values"][0] != made["first"]["values"][1]


def test_info(tmp_path, capsys):
    assert call(capsys, "train", *SMALL, "--quiet", "--out", tmp_path)[0] == 0
    code, text, _ = call(capsys, "info", "--net", "7-5-3", "--steps", 6, "--device", "golden", "--checkpoint",
                         tmp_path / "checkpoint.safetensors", "--json", tmp_path / "r.json")
    assert code == 0
    assert "network 7-5-3: 6 steps, 8 neurons, 58 synapses, 116 bytes of weights, 348 to train" in text
    assert "checkpoint after epoch 2" in text and "7-5-3 fits on it" in text
    made = json.loads((tmp_path / "r.json").read_text())
    assert made["versions"]["numpy"] == np.__version__ and made["checkpoint"]["epoch"] == 2


def test_help_names_the_commands(capsys):
    code, text, _ = call(capsys, "--help")
    assert code == 0 and all(name in text for name in ("train", "verify", "info"))
