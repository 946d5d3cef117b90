"""The smallest sensible chip for a network."""

from ...hw.contract.chip import ChipConfig
from ..network import Network, TrainingSpec
from .layout import lay_out


def fit_config(network: Network, training: TrainingSpec | None, *, lanes: int = 8, units: int | None = None,
               shared: bool = False, **depths: int) -> ChipConfig:
    """A chip with just enough memory, depths rounded up to powers of two so that similar networks share a chip.

    `depths` fixes fields of ChipConfig. Raises ValueError if one is out of range.
    """
    units = min(2, lanes) if units is None else units
    base = ChipConfig(lanes=lanes, units=units, shared=shared, training=training is not None)
    needs = lay_out(network, training, lanes=lanes, units=units).needs
    rounded = {name: 1 << max(rows - 1, 1).bit_length() if rows else 0 for name, rows in needs.items()}
    terms = max(network.steps * (training.batch if training else 1),
                *(max(layer.inputs + layer.bias + 1, layer.outputs) for layer in network.layers))
    extra = max(terms.bit_length() - 11, 0)
    rounded |= {"sum_bits": base.sum_bits + extra, "product_bits": base.product_bits + extra}
    return base.replace(**(rounded | depths))
