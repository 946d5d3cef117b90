# amaranth: UnusedElaboratable=no
"""Whole meshes in Verilator and Icarus: nothing lost, repeated, changed or out of order, under any traffic."""

from pathlib import Path

import pytest

from bench import run_bench

pytest.importorskip("amaranth")

from autapse.hw.noc import HostPort, Mesh, MeshShape, NocConfig, Router
from autapse.hw.noc.buffer import PacketBuffer
from autapse.verification.traffic.wide import WideMesh

PARTS = ("traffic", "latency", "throughput", "independence", "malformed", "fairness", "counters")


@pytest.mark.parametrize("shape, sim, parts, seed", [
    ((3, 2), "verilator", PARTS, 3),
    ((2, 1), "icarus", PARTS, 4),
    ((1, 5), "icarus", ("traffic", "latency", "malformed"), 5),
])
def test_mesh(shape, sim, parts, seed):
    component = WideMesh(Mesh(MeshShape(*shape), counters="counters" in parts))
    run_bench(component, name=f"mesh_{shape[0]}x{shape[1]}", module=Path(__file__).with_name("bench_noc.py"), sim=sim,
              seed=seed, parameters={"shape": shape, "parts": parts, "packets": 4})


SHAPE = MeshShape(3, 2)


@pytest.mark.parametrize("make, kind, message", [
    (lambda: MeshShape(0, 3), ValueError, "^width of a mesh must be at least 1, not 0$"),
    (lambda: MeshShape(2, 1.5), TypeError, "^height of a mesh must be a whole number, not 1.5$"),
    (lambda: MeshShape(8, 4), ValueError, "^a mesh must have at most 31 nodes, not 8 x 4$"),
    (lambda: NocConfig(mesh=(3, 2)), TypeError, r"^mesh must be a MeshShape, not \(3, 2\)$"),
    (lambda: Router(SHAPE, flit_bits=13), ValueError,
     "^flit_bits must be at least 14 for the header of a 3x2 mesh, not 13$"),
    (lambda: Router(MeshShape(5, 5)), ValueError,
     "^flit_bits must be at least 33 for the header of a 5x5 mesh, not 32$"),
    (lambda: Mesh(SHAPE, packet_flits=12), ValueError, "^packet_flits must be a power of two from 1 to 64, not 12$"),
    (lambda: HostPort(SHAPE, buffer_flits=8), ValueError,
     r"^buffer_flits must be at least packet_flits \(16\), not 8$"),
    (lambda: Mesh(SHAPE, channels=0), ValueError, "^channels must be from 1 to 8, not 0$"),
    (lambda: Mesh(SHAPE, channels=True), TypeError, "^channels must be a whole number, not True$"),
    (lambda: PacketBuffer(depth=12, width=3), ValueError, "^depth must be a power of two from 2 to 256, not 12$"),
])
def test_sizes_are_checked(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
