"""Where everything of a network lies in a chip's memories, and whether it fits."""

from dataclasses import dataclass, field

from ...hw.contract.chip import MAP_BITS, ChipConfig
from ..errors import Misfit
from ..network import Network, TrainingSpec

# What a field of ChipConfig holds, for messages: (what it counts, how to need less of it).
WORDS = {
    "layers": ("layers", "use fewer layers"),
    "events": ("entries of an event list", "use narrower layers"),
    "synapses": ("rows of synapses", "use fewer synapses, or train without momentum"),
    "parameters": ("beats of decays and thresholds", "use one decay and threshold per layer"),
    "neurons": ("beats of neuron state", "use fewer neurons"),
    "spike_rows": ("rows of spikes of a sample", "use fewer steps or neurons"),
    "mask_rows": ("rows of surrogate masks of a sample", "use fewer steps or neurons"),
    "membrane_rows": ("rows of kept membranes of a sample", "use fewer steps, soft reset or detach=True"),
    "error_rows": ("rows of errors of a batch", "use a smaller batch, fewer steps or fewer neurons"),
    "wide_rows": ("rows of running gradient sums", "use fewer synapses"),
    "history_words": ("words of spike history of a batch", "use a smaller batch, fewer steps or fewer neurons"),
    "active_words": ("words of active groups of a batch", "use a smaller batch, fewer steps or fewer neurons"),
    "readouts": ("beats of readouts", "use fewer classes"),
    "error_inputs": ("beats of errors on the last layer", "use fewer classes"),
}
TRAINING_ONLY = ("mask_rows", "membrane_rows", "error_rows", "wide_rows", "history_words", "active_words",
                 "error_inputs")


@dataclass(kw_only=True)
class LayerPlace:
    """Base addresses of one layer, named as the fields of its descriptor."""

    groups: int
    beats: int
    input_groups: int
    row_step: int
    weights: int = 0
    remainders: int = 0
    momenta: int = 0
    parameters: int = 0
    per_neuron: bool = False
    state: int = 0
    spikes_in: int = 0
    spikes_out: int = 0
    masks: int = 0
    membranes: int = 0
    keep_membrane: bool = False
    errors: int = 0
    history: int = 0
    active: int = 0


@dataclass(kw_only=True)
class Layout:
    """Places of all layers, and the rows that each memory of the chip must have.

    `batch_steps` are the steps whose errors lie side by side: the batch's, or the sample's where the gradient runs.
    """

    lanes: int
    units: int
    batch_steps: int
    history_log: int
    layers: list[LayerPlace]
    needs: dict[str, int] = field(default_factory=dict)


def lay_out(network: Network, training: TrainingSpec | None, *, lanes: int, units: int,
            running: bool = False) -> Layout:
    """Places a network in memories of any depth. Without momentum no row of momenta is placed, without
    `training` nothing but weights and the state of inference.

    `running`: for a chip with wide sums, one per weight, so all weights come first; it keeps the errors of a
    sample and no history.
    """
    beats_per_group = lanes // units
    steps = network.steps
    running = running and training is not None
    batch_steps = steps * (1 if running else training.batch if training else 0)
    words = -(-batch_steps // MAP_BITS)
    history_log = 0 if running else max(words - 1, 0).bit_length()
    need = dict.fromkeys(WORDS, 0)

    def take(name: str, rows: int) -> int:
        at = need[name]
        need[name] += rows
        return at

    places: list[LayerPlace] = []
    first = take("spike_rows", -(-network.inputs // lanes) * steps)
    for layer in network.layers:
        groups = -(-layer.outputs // lanes)
        place = LayerPlace(
            groups=groups, beats=groups * beats_per_group, input_groups=-(-layer.inputs // lanes),
            row_step=-(-(layer.inputs + layer.bias) // lanes) * lanes,
        )
        rows = groups * place.row_step
        place.weights = take("synapses", rows)
        place.per_neuron = bool(layer.decay.ndim or layer.threshold.ndim)
        place.parameters = take("parameters", place.beats if place.per_neuron else 1)
        place.state = take("neurons", place.beats)
        place.spikes_in = places[-1].spikes_out if places else first
        place.spikes_out = take("spike_rows", groups * steps)
        if training:
            place.masks = take("mask_rows", groups * steps)
            place.keep_membrane = layer.spiking and layer.reset == "hard" and not layer.detach
            if place.keep_membrane:
                place.membranes = take("membrane_rows", place.beats * steps)
            place.errors = take("error_rows", groups * batch_steps)
            if not running:
                place.history = take("history_words", layer.inputs << history_log)
                place.active = take("active_words", groups << history_log)
        need["events"] = max(need["events"], layer.inputs + layer.bias, layer.outputs)
        places.append(place)
    if training:
        need["wide_rows"] = need["synapses"] if running else 0
        for place in places:
            rows = place.groups * place.row_step
            place.remainders = take("synapses", rows)
            if training.momentum:
                place.momenta = take("synapses", rows)
    need["layers"] = len(places)
    need["readouts"] = places[-1].beats
    if training:
        need["error_inputs"] = places[-1].beats
    return Layout(lanes=lanes, units=units, batch_steps=batch_steps, history_log=history_log, layers=places, needs=need)


def check_fit(layout: Layout, network: Network, training: TrainingSpec | None, config: ChipConfig) -> None:
    """Refuses a layout that a chip has no room for, and sums that its accumulators might not hold.

    Raises
    ------
    Misfit
        What was asked, what there is, and what to change.
    """
    if training and not config.training:
        raise Misfit("this chip was built for inference and cannot train; build one with training=True")
    for name, asked in layout.needs.items():
        if asked > getattr(config, name):
            what, remedy = WORDS[name]
            raise Misfit(f"network {network} needs {asked} {what}, the chip has {getattr(config, name)}; {remedy}, "
                         "or build a larger chip")
    if network.steps >= 4096:
        raise Misfit(f"a chip runs at most 4095 steps per sample, not {network.steps}")
    if training and (layout.history_log > 7 or layout.batch_steps > 0xFFFF):
        raise Misfit(f"a batch of {training.batch} samples of {network.steps} steps is more than the {128 * MAP_BITS} "
                     "steps that a chip can hold; use a smaller batch")
    sums = {"steps of the readout": network.steps,
            "steps of a batch": network.steps * (training.batch if training else 0)}
    for index, layer in enumerate(network.layers):
        sums[f"inputs of layer {index} with bias and leak"] = layer.inputs + layer.bias + 1
        sums[f"outputs of layer {index}"] = layer.outputs
    for what, terms in sums.items():
        if terms > config.max_terms:
            raise Misfit(f"{terms} {what} are more than the {config.max_terms} terms of greatest size that this "
                         "chip's accumulators hold for certain; use fewer, or build it with more sum_bits and "
                         "product_bits")
