"""Descriptors, registers and constants of a network: all that the host writes besides weights and samples."""

import math
from collections.abc import Mapping

import numpy as np

from ...hw.contract.chip import MAP_BITS, ChipConfig
from ...hw.contract.program import LAYER_FIELDS, LAYER_ROW, REGISTERS, pack
from ..errors import Misfit, SpecError
from ..half import half
from ..network import LayerSpec, Network, TrainingSpec
from .layout import LayerPlace, Layout, check_fit, lay_out


def word(value: float) -> int:
    """Bits of the nearest binary16."""
    return int(half(value, "a number of the program").view(np.uint16))


def parameter_words(layer: LayerSpec, place: LayerPlace, units: int) -> np.ndarray:
    """(decay, threshold) beats as uint16 words; constants of a layer fill one beat."""
    count = place.beats * units if place.per_neuron else units
    table = np.zeros((count, 2), np.float16)
    for column, values in enumerate((layer.decay, layer.threshold)):
        full = np.broadcast_to(values, (layer.outputs if place.per_neuron else count,))
        table[:len(full), column] = full
    return table.view(np.uint16).reshape(-1)


def layer_fields(layer: LayerSpec, place: LayerPlace) -> dict[str, int]:
    """Descriptor fields of a layer, or of a cut of one, besides those about the next layer."""
    half_width_log = int(math.log2(layer.half_width)) if layer.spiking else 0
    return {
        "spiking": layer.spiking, "soft": layer.reset == "soft", "detach": layer.detach, "strict": layer.strict,
        "bias": layer.bias, "half_width_log": half_width_log, "height_log": -(half_width_log + 1),
        "inputs": layer.inputs, "outputs": layer.outputs,
        **{name: value for name, value in vars(place).items() if name != "beats"},
    }


def layer_rows(network: Network, layout: Layout) -> list[dict[str, int]]:
    """Descriptor fields of every layer."""
    rows = []
    for index, (layer, place) in enumerate(zip(network.plain_layers, layout.layers, strict=True)):
        row = layer_fields(layer, place)
        if index + 1 < len(network.layers):
            following = layout.layers[index + 1]
            row |= {"next_weights": following.weights, "next_row_step": following.row_step,
                    "next_outputs": network.layers[index + 1].outputs, "next_groups": following.groups,
                    "next_errors": following.errors}
        rows.append(row)
    return rows


def training_registers(network: Network, training: TrainingSpec | None, *, samples: int, learning_rate: float = 0.0,
                       momentum: float = 0.0) -> dict[str, int]:
    """Registers of design §2's loss and update for a batch of `samples`."""
    if training is None:
        return {}
    scale_log = int(math.log2(training.loss_scale))
    exponent = scale_log if training.momentum_exponent is None else training.momentum_exponent
    steps = samples * network.steps
    return {
        "inverse_steps": word(1 / network.steps),
        "error_gain": word(2 * training.loss_scale / (network.classes * network.steps)),
        "rate": word(learning_rate), "momentum": word(momentum), "inverse_batch": word(1 / samples),
        "gradient_log": exponent - scale_log, "step_log": 10 - exponent,
        "use_momentum": bool(training.momentum), "used_steps": steps, "used_words": -(-steps // MAP_BITS),
    }


def fixed_registers(network: Network, *, batch_steps: int, history_log: int) -> dict[str, int]:
    """Registers that hold as long as the program is loaded."""
    return {"steps": network.steps, "layers": len(network.layers), "batch_steps": batch_steps,
            "history_log": history_log, "classes": network.classes}


def register_words(values: dict[str, int]) -> np.ndarray:
    """All registers, in the order of the space; those not named, `overflow` among them, are cleared."""
    try:
        return np.array(pack(REGISTERS, values), np.uint16)
    except ValueError as error:
        raise SpecError(f"{error}; change the training settings") from None


def descriptor_words(network: Network, rows: Mapping[int, dict[str, int]]) -> np.ndarray:
    """Descriptors of all layers as uint16 words, from the fields of those that a core has; zero for the others.

    Raises
    ------
    Misfit
        If a field is beyond its bits.
    """
    words = np.zeros((len(network.layers), LAYER_ROW), np.uint16)
    for index, row in rows.items():
        try:
            packed = pack(LAYER_FIELDS, row)
        except ValueError as error:
            raise Misfit(f"layer {index} of {network} is beyond any chip: {error}") from None
        words[index, :len(packed)] = packed
    return words.reshape(-1)


def compile_program(network: Network, training: TrainingSpec | None, config: ChipConfig):
    """Layout, descriptor words and (decay, threshold) words of a network on a chip.

    Raises
    ------
    Misfit
        If it does not fit; nothing has been written then.
    """
    layout = lay_out(network, training, lanes=config.lanes, units=config.units, running=config.wide_rows > 0)
    check_fit(layout, network, training, config)
    descriptors = descriptor_words(network, dict(enumerate(layer_rows(network, layout))))
    parameters = np.concatenate([parameter_words(layer, place, config.units)
                                 for layer, place in zip(network.plain_layers, layout.layers, strict=True)])
    return layout, descriptors, parameters
