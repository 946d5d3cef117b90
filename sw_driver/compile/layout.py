"""Where everything of a network lies in a chip's memories, and whether it fits."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...hw.contract.chip import MAP_BITS, ChipConfig
from ..errors import Misfit
from ..network import LayerSpec, Network, TrainingSpec

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


class Placing:
    """Places layers one after the other in memories of any depth, and counts the rows that they take.

    Without momentum no row of momenta is placed, without `training` nothing but weights and the state of inference.
    `running` is for a chip with wide sums.

    Members
    -------
    needs : rows of each memory so far
    shares : how many of them for which layer, by (memory, layer)
    batch_steps : steps whose errors lie side by side
    history_log : words of history of a neuron, as a power of two
    """

    def __init__(self, network: Network, training: TrainingSpec | None, *, lanes: int, units: int,
                 running: bool = False):
        self.lanes, self.units, self.steps, self.training = lanes, units, network.steps, training
        self.running = running and training is not None
        self.batch_steps = self.steps * (1 if self.running else training.batch if training else 0)
        words = -(-self.batch_steps // MAP_BITS)
        self.history_log = 0 if self.running else max(words - 1, 0).bit_length()
        self.needs = dict.fromkeys(WORDS, 0)
        self.shares: Counter[tuple[str, int]] = Counter()

    def take(self, name: str, rows: int, *, layer: int) -> int:
        """The first of `rows` more rows of a memory."""
        at = self.needs.setdefault(name, 0)
        self.needs[name] += rows
        self.shares[name, layer] += rows
        return at

    def least(self, name: str, rows: int, *, layer: int) -> None:
        """A memory that holds something of one layer at a time."""
        self.needs[name] = max(self.needs.get(name, 0), rows)
        self.shares[name, layer] = max(self.shares[name, layer], rows)

    def place(self, index: int, layer: LayerSpec, *, spikes_in: int) -> LayerPlace:
        """Everything of a layer, or of a cut of one, besides remainders and momenta."""
        groups = -(-layer.outputs // self.lanes)
        place = LayerPlace(
            groups=groups, beats=groups * (self.lanes // self.units), input_groups=-(-layer.inputs // self.lanes),
            row_step=-(-(layer.inputs + layer.bias) // self.lanes) * self.lanes, spikes_in=spikes_in,
        )

        def take(name: str, rows: int) -> int:
            return self.take(name, rows, layer=index)

        place.weights = take("synapses", groups * place.row_step)
        place.per_neuron = bool(layer.decay.ndim or layer.threshold.ndim)
        place.parameters = take("parameters", place.beats if place.per_neuron else 1)
        place.state = take("neurons", place.beats)
        place.spikes_out = take("spike_rows", groups * self.steps)
        if self.training:
            place.masks = take("mask_rows", groups * self.steps)
            place.keep_membrane = layer.spiking and layer.reset == "hard" and not layer.detach
            if place.keep_membrane:
                place.membranes = take("membrane_rows", place.beats * self.steps)
            place.errors = take("error_rows", groups * self.batch_steps)
            if not self.running:
                place.history = take("history_words", layer.inputs << self.history_log)
                place.active = take("active_words", groups << self.history_log)
        self.least("events", max(layer.inputs + layer.bias, layer.outputs), layer=index)
        return place

    def place_learning(self, places: Mapping[int, LayerPlace]) -> None:
        """Remainders and momenta of all layers, behind all weights."""
        if self.training is None:
            return
        for index, place in places.items():
            rows = place.groups * place.row_step
            place.remainders = self.take("synapses", rows, layer=index)
            if self.training.momentum:
                place.momenta = self.take("synapses", rows, layer=index)

    def place_classes(self, index: int, place: LayerPlace) -> None:
        """Readouts, targets and errors of the last layer."""
        self.least("readouts", place.beats, layer=index)
        if self.training:
            self.least("error_inputs", place.beats, layer=index)


def lay_out(network: Network, training: TrainingSpec | None, *, lanes: int, units: int,
            running: bool = False) -> Layout:
    """Places a network in memories of any depth. Without momentum no row of momenta is placed, without
    `training` nothing but weights and the state of inference.

    `running`: for a chip with wide sums, one per weight, so all weights come first; it keeps the errors of a
    sample and no history.
    """
    placing = Placing(network, training, lanes=lanes, units=units, running=running)
    places: list[LayerPlace] = []
    first = placing.take("spike_rows", -(-network.inputs // lanes) * network.steps, layer=0)
    for index, layer in enumerate(network.plain_layers):
        places.append(placing.place(index, layer, spikes_in=places[-1].spikes_out if places else first))
    placing.needs["wide_rows"] = placing.needs["synapses"] if placing.running else 0
    placing.place_learning(dict(enumerate(places)))
    placing.place_classes(len(places) - 1, places[-1])
    placing.needs["layers"] = len(places)
    return Layout(lanes=lanes, units=units, batch_steps=placing.batch_steps, history_log=placing.history_log,
                  layers=places, needs=placing.needs)


def check_fit(layout: Layout, network: Network, training: TrainingSpec | None, config: ChipConfig) -> None:
    """Refuses a layout that a chip has no room for, and sums that its accumulators might not hold.

    Raises
    ------
    Misfit
        What was asked, what there is, and what to change.
    """
    check_training(training, config)
    for name, asked in layout.needs.items():
        if asked > getattr(config, name):
            what, remedy = WORDS[name]
            raise Misfit(f"network {network} needs {asked} {what}, the chip has {getattr(config, name)}; {remedy}, "
                         "or build a larger chip")
    check_numbers(network, training, config, batch_steps=layout.batch_steps, history_log=layout.history_log)


def check_training(training: TrainingSpec | None, config: ChipConfig) -> None:
    """Refuses to train on a chip that was built for inference."""
    if training and not config.training:
        raise Misfit("this chip was built for inference and cannot train; build one with training=True")


def check_numbers(network: Network, training: TrainingSpec | None, config: ChipConfig, *, batch_steps: int,
                  history_log: int) -> None:
    """Refuses steps, batches and sums beyond what the registers and accumulators of a chip hold; raises Misfit."""
    if network.steps >= 4096:
        raise Misfit(f"a chip runs at most 4095 steps per sample, not {network.steps}")
    if training and (history_log > 7 or batch_steps > 0xFFFF):
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
