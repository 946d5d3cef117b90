"""The MNIST comparison on a few made-up images: encoding, loss, files and report. No accuracy here."""

import gzip
import json
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from autapse.verification.compare_mnist import cross_entropy_error, main, rate_code, read_idx


@pytest.mark.parametrize("steps,phase", [(1, 0.0), (4, 0.0), (7, 0.5), (3, 0.9)])
def test_rate_code_spaces_spikes_evenly(steps, phase):
    pixels = np.arange(256, dtype=np.uint8)[None]
    spikes = rate_code(pixels, steps=steps, phase=phase)
    assert spikes.dtype == np.uint8 and spikes.shape == (1, steps, 256)
    offset = Fraction(int(phase * 255), 255)
    for x in range(256):
        p = Fraction(x, 255)
        expected = [floor((t + 1) * p + offset) > floor(t * p + offset) for t in range(steps)]
        assert spikes[0, :, x].tolist() == expected
    assert spikes[0, :, 255].all() and not spikes[0, :, 0].any()


def test_cross_entropy_error_is_softmax_less_label():
    y = np.array([[0, 0], [3 * 2**24, 3 * 2**24]], np.int64)
    assert cross_entropy_error(y, np.array([0, 1]), 64.0).tolist() == [[-32.0, 32.0], [32.0, -32.0]]
    far = cross_entropy_error(np.array([[0, 2000 * 2**24]], np.int64), np.array([0]), 8.0)
    assert far.dtype == np.float16 and far.tolist() == [[-8.0, 8.0]]


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    for stem, count in (("train", 150), ("t10k", 30)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = rng.integers(0, 40, size=(count, 28, 28)).astype(np.uint8)
        images[np.arange(count), 2 * labels] = 255  # a bright line whose height is the label
        write_idx(tmp_path / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{stem}-labels-idx1-ubyte.gz", labels)
    return tmp_path


def test_report_of_both_sides(folder, capsys):
    pytest.importorskip("snntorch")
    report = folder / "report.json"
    arguments = ["--data", str(folder), "--epochs", "2", "--threads", "1", "--quiet", "--json", str(report)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and "golden - snnTorch" in lines[2]
    mse, cross = json.loads(report.read_text())
    assert (mse["setup"]["loss"], cross["setup"]["loss"]) == ("mse", "cross-entropy")
    for part in (mse, cross):
        assert len(part["golden"]["accuracy"]) == len(part["snntorch"]["accuracy"]) == 2
        assert part["difference"] == part["golden"]["accuracy"][-1] - part["snntorch"]["accuracy"][-1]
        assert part["golden"]["skipped"] == 0


def test_one_answer_for_one_seed(folder):
    answers = []
    for number in range(2):
        report = folder / f"{number}.json"
        chosen = ["--only", "golden", "--loss", "mse", "--epochs", "1", "--seed", "3"]
        assert main(["--data", str(folder), *chosen, "--threads", "1", "--quiet", "--json", str(report)]) == 0
        answers.append(json.loads(report.read_text())[0]["golden"]["accuracy"])
    assert answers[0] == answers[1]


def test_missing_and_wrong_files_are_named(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "train-images-idx3-ubyte.gz is missing; --data must name a folder" in capsys.readouterr().err
    wrong = tmp_path / "wrong.gz"
    wrong.write_bytes(gzip.compress(b"\0\0\x0d\x01rest"))
    with pytest.raises(ValueError, match=r"wrong\.gz is not an idx file of bytes$"):
        read_idx(wrong)
