# amaranth: UnusedElaboratable=no
"""Whole meshes in Verilator and Icarus: nothing lost, repeated, changed or out of order, under any traffic."""

from pathlib import Path

import pytest

from bench import run_bench

pytest.importorskip("amaranth")

from autapse.hw.noc import Mesh, MeshShape
from noc_parts import WideMesh

BENCH = Path(__file__).with_name("bench_noc.py")


def run(shape, part, *, sim="verilator", seed=1, **parameters):
    component = WideMesh(Mesh(MeshShape(*shape), counters=True))
    run_bench(component, name=f"mesh_{shape[0]}x{shape[1]}", module=BENCH, sim=sim, seed=seed,
              parameters={"shape": shape, "part": part, **parameters})


@pytest.mark.parametrize("pattern", ["uniform", "transpose", "hot spot", "all to one", "one to all", "all to all",
                                     "some to some"])
@pytest.mark.parametrize("shape, stall_in, stall_out", [((3, 2), 0, 0), ((3, 2), 0.3, 0.5)])
def test_traffic(shape, pattern, stall_in, stall_out):
    run(shape, "traffic", seed=3, pattern=pattern, packets=25, stall_in=stall_in, stall_out=stall_out)


def test_latency():
    run((3, 2), "latency", seed=4)


def test_throughput():
    run((3, 2), "throughput", seed=5, cycles={str(flits): flits for flits in (1, 2, 3, 4, 5, 8)} | {"16": 17})


def test_channels_are_independent():
    run((3, 2), "independence", seed=6)


def test_malformed_packets():
    run((3, 2), "malformed", seed=7)


def test_fairness():
    run((3, 2), "fairness", seed=8, packets=10, most=100)


def test_counters():
    run((3, 2), "counters", seed=9)
