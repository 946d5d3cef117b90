"""What the cores of a plan need of each memory, without placing anything."""

from ...hw.contract.chip import MAP_BITS, ChipConfig
from ...hw.contract.geometry import geometry
from ..network import Network, TrainingSpec
from .plan import Plan
from .room import synapse_rows


def core_rows(network: Network, training: TrainingSpec | None, plan: Plan, *, lanes: int,
              units: int) -> list[dict[str, int]]:
    """Rows of each memory at each core, by field of ChipConfig.

    What cores write to each other has one address at all of them, so every core has the inputs of all layers, and
    mirrors as long as the widest cut of each layer.
    """
    steps, beats = network.steps, lanes // units
    batch_steps = steps * training.batch if training else 0
    history_log = max(-(-batch_steps // MAP_BITS) - 1, 0).bit_length()
    last = len(network.layers) - 1
    own, mirror = synapse_rows(network, training, lanes=lanes)
    groups = [-(-layer.outputs // lanes) for layer in network.layers]
    inputs = sum(-(-layer.inputs // lanes) for layer in network.layers) * steps
    meshed = plan.nodes > 1
    mirrors = sum(rows * max((-(-cut.outputs // lanes) for cut in plan.of_layer(index)), default=0)
                  for index, rows in enumerate(mirror)) if meshed else 0
    if not meshed:  # a core alone reads its own rows
        inputs = -(-network.inputs // lanes) * steps
    table = []
    for core in range(plan.nodes):
        need = dict.fromkeys(("events", "parameters", "neurons", "mask_rows", "membrane_rows", "error_rows",
                              "history_words", "active_words", "readouts", "error_inputs", "routes"), 0)
        need |= {"layers": len(network.layers), "synapses": mirrors, "spike_rows": inputs,
                 "remote_rows": sum(groups[1:]) * steps if meshed and training else 0}
        for index, cut in plan.of_core(core).items():
            layer, count = network.layers[index], -(-cut.outputs // lanes)
            need["synapses"] += own[index] * count
            need["parameters"] += count * beats if layer.decay.ndim or layer.threshold.ndim else 1
            need["neurons"] += count * beats
            need["spike_rows"] += count * steps
            widest = max(layer.inputs + layer.bias, network.layers[index + 1].outputs if index < last else 0)
            need["events"] = max(need["events"], widest)
            if index == last:
                need["readouts"] = need["error_inputs"] = count * beats
            if training:
                need["mask_rows"] += count * steps
                if layer.spiking and layer.reset == "hard" and not layer.detach:
                    need["membrane_rows"] += count * beats * steps
                need["error_rows"] += count * batch_steps
                need["history_words"] += layer.inputs << history_log
                need["active_words"] += count << history_log
                need["routes"] += -(-layer.inputs // lanes) if index and meshed else 0
        table.append(need)
    return table


def core_bits(rows: dict[str, int], *, lanes: int, units: int, nodes: int, training: bool) -> dict[str, int]:
    """Bits of each memory of a core with just these rows, by its space's name; two samples at once."""
    config = ChipConfig(lanes=lanes, units=units, training=training, mesh_width=nodes).replace(**rows)
    return {space.name.lower(): width * count for space, (width, count) in geometry(config).items()}
