"""A network small enough for an event-driven simulator, and the chip that just holds it."""

from autapse.hw.contract.chip import ChipConfig
from autapse.sw_driver.compile import fit_config
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

__all__ = ["CONFIG", "NETWORK", "TRAINING"]

NETWORK = Network([Linear(5, 4), LIF(decay=0.75, threshold=[0.5, 0.25, 1.0, 0.0]), Linear(4, 3), LI(decay=0.5)],
                  steps=3)
TRAINING = TrainingSpec(learning_rate=0.25, momentum=0.5, batch=2, loss_scale=64.0)
# Room for an error per class and step.
CONFIG: ChipConfig = fit_config(NETWORK, TRAINING, lanes=1, units=1, shared=True, error_inputs=9)
