"""What is written when a state is: words of tables that are not zero, and each row of the others cleared once."""

import numpy as np
import pytest

from autapse.hw.contract.program import Space
from autapse.sw_driver.compile import compile_mesh, compile_whole, even_plan, fit_config, fit_mesh
from autapse.sw_driver.devices.cores import Cores
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

NETWORK = Network([Linear(9, 7), LIF(), Linear(7, 3), LI()], steps=3)
TRAINING = TrainingSpec(batch=2, momentum=0.5)
LANES = 2


class Memory:
    """A bus of one core's synapses that start with rubbish; counts the words that come over the line."""

    def __init__(self, rows: int):
        self.words, self.sent, self.filled = np.full(rows * LANES, 0xABCD, np.uint16), 0, 0

    def select(self, mask):
        pass

    def write(self, space, address, words):
        assert space == Space.SYNAPSES
        self.words[address:address + len(words)] = words
        self.sent += len(words)

    def fill(self, space, address, *, count, value):
        assert space == Space.SYNAPSES and value == 0
        self.words[address:address + count] = 0
        self.filled += count


def test_a_core_alone_clears_its_tables_of_zeros_and_nothing_else():
    config = fit_config(NETWORK, TRAINING, lanes=LANES, units=1, synapses=512)
    bus = Memory(512)
    cores = Cores(bus, config, NETWORK, TRAINING, compile_whole(NETWORK, TRAINING, config))
    cores.write_state(NETWORK.initial_state(4))
    place = cores.programs[0].places
    tables = {(layer, name): (getattr(at, name) * LANES, at.groups * at.row_step * LANES)
              for layer, at in place.items() for name in ("weights", "remainders", "momenta")}
    for (_, name), (first, count) in tables.items():
        assert bus.words[first:first + count].any() == (name == "weights")
    weights = sum(count for (_, name), (_, count) in tables.items() if name == "weights")
    assert (bus.sent, bus.filled) == (weights, 2 * weights)
    assert (bus.words == 0xABCD).sum() == len(bus.words) - 3 * weights


@pytest.mark.parametrize("zeros", [True, False])
def test_cores_of_a_mesh_are_cleared_at_once_if_a_table_is_zero(zeros):
    plan = even_plan(NETWORK, 2, 1, LANES)
    config = fit_mesh(NETWORK, TRAINING, plan, lanes=LANES, units=1)
    bus = Memory(config.synapses)
    cores = Cores(bus, config, NETWORK, TRAINING, compile_mesh(NETWORK, TRAINING, config, plan))
    state = NETWORK.initial_state(4)
    if not zeros:
        for layer in state:
            for name in ("remainder", "momentum", "bias_remainder", "bias_momentum"):
                if getattr(layer, name) is not None:
                    getattr(layer, name)[...] = 1.0
    cores.write_state(state)
    assert bus.filled == (config.synapses * LANES if zeros else 0)
