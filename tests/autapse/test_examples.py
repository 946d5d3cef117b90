"""The examples run, and the public names are there."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import autapse as ap
from autapse.cli.options import network_of

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_public_names_exist():
    assert sorted(ap.__all__) == sorted(set(ap.__all__)) and all(hasattr(ap, name) for name in ap.__all__)


def test_own_spikes(capsys):
    pytest.importorskip("torch", reason="the example trains on the golden model")
    runpy.run_path(str(EXAMPLES / "own_spikes.py"))
    words = capsys.readouterr().out.split()
    assert words[-3:] == ["after", "5", "epochs"] and float(words[1]) > 90


def test_digits(capsys, monkeypatch):
    for package in ("torch", "sklearn"):
        pytest.importorskip(package, reason="the example trains on the golden model with scikit-learn's digits")
    monkeypatch.setattr(sys, "argv", ["digits.py"])
    runpy.run_path(str(EXAMPLES / "digits.py"))
    assert float(capsys.readouterr().out.split()[-2]) > 80


def test_autapse_tradeoff(capsys, monkeypatch, tmp_path):
    for package in ("torch", "sklearn", "matplotlib"):
        pytest.importorskip(package, reason="the example trains on the golden model and draws")
    plot = tmp_path / "plot.svg"
    monkeypatch.setattr(sys, "argv", ["autapse_tradeoff.py", str(plot)])
    monkeypatch.setattr(ap.Trainer, "fit", _short_fit(ap.Trainer.fit))
    runpy.run_path(str(EXAMPLES / "autapse_tradeoff.py"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 17 and plot.read_text().count("<svg") == 1


def _short_fit(fit):
    return lambda trainer, data, *, epochs, progress: fit(trainer, data.first(200), epochs=1, progress=progress)


def test_network_file():
    net = network_of(str(EXAMPLES / "network.toml"), steps=None, decay=0.5, data=None)
    assert (str(net), net.steps, net.layers[1].bias, net.layers[1].spiking) == ("64-96-10", 8, False, False)


def test_importing_needs_neither_torch_nor_amaranth():
    """The driver must run on a Raspberry Pi with NumPy, and without the packages of the golden model and the chip."""
    heavy = ("torch", "amaranth", "matplotlib", "jinja2", "sklearn")
    program = ("import sys, autapse, autapse.cli, autapse.sw_driver.report, autapse.sw_driver.trace\n"
               f"print([name for name in {heavy} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
