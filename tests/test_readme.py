"""The README keeps its promises: its Python runs, its commands exist, its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from autapse.cli import run

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^ {4}(autapse .*?)(?:  +#.*)?$", TEXT, re.MULTILINE)
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_python_runs_and_learns(tmp_path):
    for package in ("torch", "sklearn"):
        pytest.importorskip(package, reason="the example trains on the golden model with scikit-learn's digits")
    assert len(PYTHON) == 1
    assert len([line for line in PYTHON[0].splitlines() if line.strip()]) <= 10
    done = subprocess.run([sys.executable, "-c", PYTHON[0]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^test accuracy (\d+\.\d) %$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    assert float(found[1]) > 70, "ten classes: chance is 10 %"


@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_command_exist(command, capsys):
    _, name, *arguments = shlex.split(command)
    assert run([name, "--help"]) == 0
    help_text = capsys.readouterr().out
    options = [argument for argument in arguments if argument.startswith("--")]
    assert options
    for option in options:
        assert re.search(rf"{option}\b", help_text), f"autapse {name} has no {option}"


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z]{2,})\b", "".join(re.findall(r"`[^`]*`|^ {4}.*$", TEXT, re.MULTILINE))))
    assert {"demo", "test", "setup"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"Makefile has no {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}, which does not exist"
