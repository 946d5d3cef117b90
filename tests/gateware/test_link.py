"""The whole link in Verilator and Icarus against the driver's end of it."""

from pathlib import Path

import pytest

from bench import SIMULATORS, run_bench

pytest.importorskip("amaranth")


@pytest.mark.parametrize("sim", SIMULATORS)
@pytest.mark.parametrize("harm, stall, packets, seed", [
    ({"flip": 0.0}, 0.0, 120, 21),
    ({"flip": 4e-4}, 0.1, 40, 22),
    ({"flip": 3e-4, "lose": 1e-3, "repeat": 1e-3}, 0.0, 50, 23),
], ids=str)
def test_link_against_the_driver(harm, stall, packets, seed, sim):
    from autapse.gateware.link import Link
    run_bench(Link(receive_ring=1024, send_ring=512, frames=8), name="link", sim=sim, seed=seed,
              module=Path(__file__).with_name("bench_link.py"),
              parameters={"harm": harm, "stall": stall, "packets": packets, "seed": seed})
