"""autapse: many-core neuromorphic chips that train spiking networks on the FPGA, equal to a PyTorch model bit for bit.

    import autapse as ap

    net = ap.Network([ap.Linear(64, 128), ap.LIF(decay=0.5), ap.Linear(128, 10), ap.LI(decay=0.5)], steps=8)
    device = ap.open("golden")
    trainer = ap.Trainer(net, device, learning_rate=0.1, momentum=0.9)
    trainer.fit(ap.load_data("digits"), epochs=5)
"""

from .sw_driver.autapse import Autapse
from .sw_driver.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .sw_driver.data import Data, SpikeSet, load_data
from .sw_driver.device import BatchResult, Device, open
from .sw_driver.errors import (
    AutapseError,
    CheckpointError,
    DataError,
    DeviceError,
    Interrupted,
    Misfit,
    SpecError,
)
from .sw_driver.network import LI, LIF, LayerSpec, LayerState, Linear, Network, TrainingSpec
from .sw_driver.trainer import Trainer
from .sw_driver.verify import verify

__version__ = "0.1.0"

__all__ = [
    "LI", "LIF", "Autapse", "AutapseError", "BatchResult", "Checkpoint", "CheckpointError", "Data", "DataError",
    "Device", "DeviceError", "Interrupted", "LayerSpec", "LayerState", "Linear", "Misfit", "Network", "SpecError",
    "SpikeSet", "Trainer", "TrainingSpec", "load_checkpoint", "load_data", "open", "save_checkpoint", "verify",
]
