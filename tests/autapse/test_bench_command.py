"""`autapse bench` as a user meets it: subjects, files, one sentence for bad input."""

import json
import subprocess
import sys
import types

import pytest

from autapse.cli import run
from autapse.verification.bench import SUBJECTS

FOUND = {"title": "Speed of nothing", "tables": [{"title": "t", "rows": [{"what": "one", "cycles": 1234}]}],
         "charts": [{"title": "c", "unit": "cycles", "labels": ["one"], "series": {"cycles": [1234]}}], "notes": []}


@pytest.fixture
def link(monkeypatch):
    """In place of the bench of the link, one that notes what it was asked for."""
    module = types.ModuleType("link")
    module.asked = []

    def measure(*, quick, say, data=None):
        module.asked.append((quick, data))
        say("working")
        say("half done", 0.5)
        return dict(FOUND)

    module.measure = measure
    monkeypatch.setitem(sys.modules, "autapse.verification.bench.link", module)
    return module


def call(capsys, *arguments):
    code = run(["bench", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_without_subject_they_are_explained(capsys):
    code, text, errors = call(capsys)
    assert (code, errors) == (0, "")
    assert [line.split()[0] for line in text.splitlines()] == list(SUBJECTS) \
        == ["engines", "mesh", "golden", "sim", "synth", "link", "serial", "noc"]


def test_table_and_files(link, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    made, drawn = tmp_path / "new" / "r.json", tmp_path / "other" / "r.svg"
    code, text, errors = call(capsys, "link", "--quick", "--data", "mnist", "--json", made, "--plot", drawn)
    assert code == 0
    assert link.asked == [(True, "mnist")]
    assert errors == "working\n"    # no terminal, so no bar
    lines = text.splitlines()
    assert lines[0] == "Speed of nothing" and ["one", "1,234"] in [line.split() for line in lines]
    assert lines[-2:] == [f"written: {made}", f"written: {drawn}"]
    assert lines[-3].endswith(", quick")
    result = json.loads(made.read_text())
    assert {name: result[name] for name in ("command", "subject", "quick", *FOUND)} \
        == {"command": "bench", "subject": "link", "quick": True, **FOUND}
    assert result["seconds"] >= 0 and result["machine"]["processors"] >= 1
    assert b"<svg" in drawn.read_bytes()


def test_quiet_is_quiet(link, tmp_path, capsys):
    made = tmp_path / "r.json"
    assert call(capsys, "link", "--quiet", "--json", made) == (0, "", "")
    assert link.asked == [(False, None)] and json.loads(made.read_text())["quick"] is False


@pytest.mark.parametrize("arguments, sentence", [
    (["speed"], "there is no bench 'speed'; there are engines, mesh, golden, sim, synth, link, serial, noc"),
    (["link", "--only", "lane"], "bench link has no option --only"),
    (["link", "--device", "sim"], "bench link has no option --device"),
    (["link", "--mesh", "2x2"], "bench link has no option --mesh"),
    (["noc", "--mesh", "4"], "--mesh must be columns x rows such as 4x4, not '4'"),
    (["noc", "--mesh", "8x8"], "a mesh must have at most 31 nodes, not 8 x 8"),
    (["link", "--plot", "r.txt"], "--plot must end in .svg, .png, .pdf, not 'r.txt'"),
])
def test_bad_input_is_one_sentence(link, capsys, arguments, sentence):
    assert call(capsys, *arguments) == (2, "", f"autapse: {sentence}\n")
    assert link.asked == []


def test_what_is_not_installed_is_named():
    """In a process of its own: here Amaranth and what needs it may have been imported long ago."""
    program = ("import sys; sys.modules['amaranth'] = None; from autapse.cli import run; "
               "sys.exit(run(['bench', 'sim', '--quick']))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("autapse: bench sim needs amaranth, which is not installed; install autapse with the extras "
                           "golden, sim, data and synth\n")


def test_an_interrupt_ends_it_without_files(link, monkeypatch, tmp_path, capsys):
    def interrupted(*, quick, say):
        raise KeyboardInterrupt
    monkeypatch.setattr(link, "measure", interrupted)
    assert call(capsys, "link", "--json", tmp_path / "r.json") \
        == (2, "", "autapse: bench link interrupted; nothing was written\n")
    assert list(tmp_path.iterdir()) == []
