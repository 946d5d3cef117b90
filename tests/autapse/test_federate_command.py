"""`autapse federate` as a user meets it: what it leaves, what it says, what it refuses."""

import json
import re

import pytest

import autapse as ap
from autapse.cli import run
from autapse.sw_driver.federated import flower

for package in ("flwr", "torch", "sklearn", "jinja2", "matplotlib"):
    pytest.importorskip(package, reason="a federation of golden models on scikit-learn's digits, with a report")
SMALL = ["--limit", "60", "--net", "64-12-10", "--workers", "3", "--rounds", "2", "--local-epochs", "1", "--batch", "8"]


def call(capsys, *arguments):
    code = run(["federate", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_it_leaves_everything_and_goes_on(tmp_path, capsys):
    out, result = tmp_path / "out", tmp_path / "r.json"
    code, text, errors = call(capsys, *SMALL, "--out", out, "--json", result, "--compare", "--seed", 3)
    assert code == 0
    assert "64-12-10 on digits, 3 workers, fedavg: test accuracy" in text and "workers alone" in text
    assert "round 2/2" in errors and "Sampled" not in errors, "Flower's own log is not the user's"
    made = json.loads(result.read_text())
    assert [record["round"] for record in made["rounds"]] == [0, 1, 2] and made["incidents"] == []
    assert set(made["rounds"][1]["workers"]) == {"0", "1", "2"} and len(made["compared"]["alone"]) == 3
    assert made["bytes_up"] == sum(sum(record["up"].values()) for record in made["rounds"])
    page = (out / "report.html").read_text()
    for heading in ("Accuracy", "Beside no federation", "Who was there", "Bytes and time", "Workers", "Settings"):
        assert f"<h2>{heading}</h2>" in page
    assert made["digest"] in page and not re.search(r'(src|href)="http', page)
    assert ap.load_checkpoint(out / "checkpoint.safetensors").epoch == 2
    code, text, _ = call(capsys, "--resume", out, "--rounds", 3, "--json", result)
    assert code == 0 and len(json.loads(result.read_text())["rounds"]) == 4
    assert call(capsys, "--resume", out)[2] == f"autapse: {out} has 3 rounds already; name more with --rounds\n"


def test_quiet_and_the_app(tmp_path, capsys):
    assert call(capsys, *SMALL, "--quiet") == (0, "", "")
    code, text, _ = call(capsys, *SMALL, "--write-app", tmp_path / "app", "--out", "state")
    assert code == 0 and "flwr run" in text
    import tomllib
    written = tomllib.loads((tmp_path / "app" / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert json.loads(written["config"]["settings"])["workers"] == 3 and written["config"]["out"] == "state"
    assert sorted(path.name for path in (tmp_path / "app").iterdir()) == ["hub.py", "pyproject.toml", "worker.py"]


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("--strategy", "best"), "there is no strategy 'best'; known are fedavg, fedprox, fedavgm, trimmed, krum"),
    (("--split", "dirichlet:0"), "alpha of the split 'dirichlet:0' must be more than 0"),
    (("--workers", "61"), "61 workers are more than the 60 training samples"),
    (("--split", "speaker"), "the split speaker needs data that names its speakers"),
    (("--device", "nope"), "there is no device 'nope'"),
    (("--device", "golden", "--device", "golden"), "2 devices were named for 3 workers"),
    (("--topk", "2"), "the share of 'topk:2' must be more than 0 and at most 1"),
    (("--topk", "0.1", "--compress", "none"), "contradict each other"),
    (("--engine", "ray"), "there is no engine 'ray'; known are local, processes"),
    (("--secure",), "--secure is for --engine processes"),
    (("--strategy", "krum", "--workers", "2"), "krum with 1 workers that may be false needs at least 5 workers, not 2"),
    (("--strategy", "trimmed"), "a trim of 0.2 cuts no one of 3 workers"),
    (("--topk", "0.1", "--momenta", "travel"), "sends changes of weights only"),
    (("--momenta", "rest"), "momenta must be stay, travel, zero, not 'rest'"),
    (("--min-workers", "4"), "min workers is 4, more than the 3 workers there are"),
    (("--jobs", "0"), "--jobs must be at least 1"),
    (("--resume", "nowhere"), "cannot read nowhere/federation.safetensors"),
    (("--guard", "-1"), "guard must be from 0 to 1e+09, not -1"),
])
def test_refused_in_one_sentence(arguments, sentence, capsys):
    code, text, errors = call(capsys, *SMALL, *arguments)
    assert (code, text) == (2, "")
    assert errors.startswith("autapse: ") and sentence in errors and errors.count("\n") == 1


def test_a_comparison_that_cannot_be_made_is_refused_before_training(tmp_path, capsys):
    import numpy as np
    np.savez(tmp_path / "d.npz", spikes=np.ones((9, 4, 64), np.uint8), labels=np.arange(9) % 3)
    for arguments, sentence in ((("--data", f"npz:{tmp_path / 'd.npz'}"), "has no test set to compare on"),
                                (("--split", "own"), "nobody has all samples in one place")):
        code, _, errors = call(capsys, *SMALL, *arguments, "--compare", "--out", tmp_path / "out")
        assert code == 2 and sentence in errors and "round 1" not in errors and not (tmp_path / "out").exists()


def test_results_are_there_before_the_comparison(tmp_path, capsys, monkeypatch):
    from autapse.cli import federate

    def fails(*_, **__):
        raise ap.DeviceError("the power is gone")

    monkeypatch.setattr(federate, "compare", fails)
    code, _, errors = call(capsys, *SMALL, "--compare", "--out", tmp_path / "o", "--json", tmp_path / "r.json")
    assert code == 2 and "the power is gone" in errors
    assert len(json.loads((tmp_path / "r.json").read_text())["rounds"]) == 3 and (tmp_path / "o/report.html").exists()


def test_without_flower(monkeypatch, capsys):
    monkeypatch.setattr(flower, "find_spec", lambda name: None)
    code, _, errors = call(capsys, *SMALL)
    assert code == 2 and errors == ("autapse: a federation needs flwr, which is not installed; "
                                    "try pip install 'autapse[fl]'\n")


def test_nothing_calls_home(monkeypatch):
    import os
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0" and os.environ["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    from flwr.supercore import telemetry
    assert telemetry.FLWR_TELEMETRY_ENABLED in ("0", False)
