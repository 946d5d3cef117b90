"""Networks and plans for tests of what is made of them on a mesh."""

import itertools

from autapse.sw_driver.compile.partition import partition
from autapse.sw_driver.compile.work import Work, assumed_activity, work_of
from autapse.sw_driver.network import LI, LIF, Linear, Network

LANES, UNITS, BATCH = 8, 2, 16


def network_of(*sizes: int, steps: int = 4) -> Network:
    modules = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        modules += [Linear(inputs, outputs), LI() if index == len(sizes) - 2 else LIF()]
    return Network(modules, steps=steps)


def work(network: Network, *, seed: int = 0, lanes: int = LANES, units: int = UNITS) -> Work:
    return work_of(network, assumed_activity(network, seed=seed, samples=2), lanes=lanes, units=units, batch=BATCH)


def plan(network: Network, width: int, height: int, *, lanes: int = LANES, units: int = UNITS, spread: str = "all"):
    return partition(network, work(network, lanes=lanes, units=units), width, height, spread=spread)
