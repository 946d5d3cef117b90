"""Where everything of a network lies in the memories of the cores of a mesh."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import SpecError
from ..network import LayerSpec, Network, TrainingSpec
from .layout import LayerPlace, Placing
from .plan import Cut, Plan


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Synapses of a cut's neurons to the next layer, a row per neuron and group of the next layer, for backward."""

    base: int
    row_step: int
    groups: int


@dataclass(frozen=True, kw_only=True)
class Common:
    """First rows, by layer, of what cores write to each other, the same at all of them.

    `spikes_in` is where the layer's inputs come, `next_errors` the errors of the layer behind it and `mirrors` the
    weights of the layer behind it, which has `groups` groups; `mirror_steps` are rows from group to group.
    """

    spikes_in: Sequence[int]
    next_errors: Sequence[int]
    mirrors: Sequence[int]
    mirror_steps: Sequence[int]
    groups: Sequence[int]


@dataclass(kw_only=True)
class CorePlaces:
    """Places of the cuts at one core, by layer; `routes` are first words of ROUTES of the layers that are mirrored."""

    core: int
    cuts: dict[int, Cut]
    placing: Placing
    places: dict[int, LayerPlace] = field(default_factory=dict)
    mirrors: dict[int, Mirror] = field(default_factory=dict)
    routes: dict[int, int] = field(default_factory=dict)


def cut_layer(layer: LayerSpec, cut: Cut) -> LayerSpec:
    """The layer as the core of a cut sees it: all inputs, the cut's neurons."""
    part = slice(cut.first, cut.last)
    return replace(layer, outputs=cut.outputs, decay=layer.decay[part] if layer.decay.ndim else layer.decay,
                   threshold=layer.threshold[part] if layer.threshold.ndim else layer.threshold)


def check_plan(plan: Plan, network: Network, *, lanes: int) -> None:
    """Refuses a plan that does not cut every layer whole, at multiples of the lanes, at most once per core.

    Raises
    ------
    SpecError
        Which layer, which cut, and what is wrong.
    """
    for cut in plan.cuts:
        if not 0 <= cut.layer < len(network.layers):
            raise SpecError(f"the plan cuts a layer {cut.layer}, which {network} does not have")
        if not 0 <= cut.core < plan.nodes:
            raise SpecError(f"the plan has a cut of layer {cut.layer} at core {cut.core}; the mesh has cores 0 to "
                            f"{plan.nodes - 1}")
    for index, layer in enumerate(network.layers):
        end, cores = 0, set()
        for cut in plan.of_layer(index):
            if cut.first != end or cut.last <= cut.first:
                raise SpecError(f"the plan cuts layer {index} from neuron {cut.first} to {cut.last} where a cut must "
                                f"start at neuron {end} and not be empty")
            if cut.first % lanes:
                raise SpecError(f"the plan cuts layer {index} at neuron {cut.first}, which is no multiple of the "
                                f"{lanes} lanes")
            if cut.core in cores:
                raise SpecError(f"the plan has two cuts of layer {index} at core {cut.core}; one core takes one")
            end = cut.last
            cores.add(cut.core)
        if end != layer.outputs:
            raise SpecError(f"the plan ends layer {index} at neuron {end} of {layer.outputs}")


def place_cores(network: Network, training: TrainingSpec | None, plan: Plan, *, lanes: int,
                units: int) -> tuple[Common, list[CorePlaces]]:
    """Places the cuts of a plan at every core, also where there are none.

    Raises
    ------
    SpecError
        If the plan is not one of this network.
    """
    check_plan(plan, network, lanes=lanes)
    cores = [CorePlaces(core=core, cuts=plan.of_core(core),
                        placing=Placing(network, training, lanes=lanes, units=units)) for core in range(plan.nodes)]
    common = _place_common(network, training, plan, cores, lanes=lanes)
    for core in cores:
        _place_own(network, training, core, common)
    return common, cores


def _place_common(network: Network, training: TrainingSpec | None, plan: Plan, cores: list[CorePlaces], *,
                  lanes: int) -> Common:
    """What all cores have first in their memories."""
    last = len(network.layers) - 1
    groups = [-(-layer.outputs // lanes) for layer in network.layers]

    def take(name: str, rows: int, layer: int) -> int:
        first = {core.placing.take(name, rows, layer=layer) for core in cores}
        assert len(first) == 1, "cores with different places of what is common"
        return first.pop()

    spikes_in = [take("spike_rows", -(-layer.inputs // lanes) * network.steps, index)
                 for index, layer in enumerate(network.layers)]
    next_errors, mirrors, mirror_steps = [], [], []
    for index in range(last if training else 0):
        widest = max(-(-cut.outputs // lanes) for cut in plan.of_layer(index))
        mirror_steps.append(widest * lanes)
        mirrors.append(take("synapses", groups[index + 1] * widest * lanes, index))
        next_errors.append(take("remote_rows", groups[index + 1] * network.steps, index))
    return Common(spikes_in=spikes_in, next_errors=next_errors, mirrors=mirrors, mirror_steps=mirror_steps,
                  groups=groups)


def _place_own(network: Network, training: TrainingSpec | None, core: CorePlaces, common: Common) -> None:
    """The cuts of one core, behind what all cores have."""
    placing, last = core.placing, len(network.layers) - 1
    for index, cut in core.cuts.items():
        place = placing.place(index, cut_layer(network.plain_layers[index], cut), spikes_in=common.spikes_in[index])
        core.places[index] = place
        placing.least("outbox", place.groups, layer=index)
        if index < last:
            # Backward lists the errors of the whole next layer.
            placing.least("events", network.layers[index + 1].outputs, layer=index)
        else:
            placing.place_classes(index, place)
        if training and index < last:
            core.mirrors[index] = Mirror(base=common.mirrors[index], row_step=common.mirror_steps[index],
                                         groups=common.groups[index + 1])
        if training and index:
            core.routes[index] = placing.take("routes", place.input_groups, layer=index)
    placing.place_learning(core.places)
    placing.needs["layers"] = len(network.layers)
    placing.needs["step_slots"] = network.steps
