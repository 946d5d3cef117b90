"""A network becomes programs for the cores of a mesh, which exchange rows as hw/contract/rows.py states."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ...hw.contract.chip import ChipConfig
from ...hw.contract.rows import route_word
from ..network import Network, TrainingSpec
from .layout import LayerPlace
from .mesh_fit import check_mesh
from .mesh_layout import Common, CorePlaces, Mirror, cut_layer, place_cores
from .plan import Cut, Plan
from .program import compile_program, descriptor_words, fixed_registers, layer_fields, parameter_words


@dataclass(kw_only=True)
class CoreProgram:
    """All that the host writes to one core besides synapses and samples, and where it finds the rest.

    Fields
    ------
    cuts, places
        By layer, of those that the core has.
    mirrors
        By layer whose neurons the core has: where the weights of the next layer lie.
    descriptors, parameters, routes
        uint16 words of the spaces LAYERS, PARAMETERS and ROUTES.
    registers
        Those that hold as long as the program is loaded, by name.
    """

    core: int
    cuts: dict[int, Cut]
    places: dict[int, LayerPlace]
    descriptors: np.ndarray
    parameters: np.ndarray
    registers: dict[str, int]
    mirrors: dict[int, Mirror] = field(default_factory=dict)
    routes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))

    @property
    def mask(self) -> int:
        """The core's bit of a SELECT packet."""
        return 1 << self.core


def mask_of(cuts: Iterable[Cut]) -> int:
    """The cores of some cuts, a bit each."""
    return sum(1 << core for core in {cut.core for cut in cuts})


def compile_whole(network: Network, training: TrainingSpec | None, config: ChipConfig) -> list[CoreProgram]:
    """The program of a core alone, which has all layers whole. Raises Misfit if it does not fit."""
    layout, descriptors, parameters = compile_program(network, training, config)
    cuts = {index: Cut(layer=index, first=0, last=layer.outputs, core=0) for index, layer in enumerate(network.layers)}
    registers = fixed_registers(network, batch_steps=layout.batch_steps, history_log=layout.history_log)
    return [CoreProgram(core=0, cuts=cuts, places=dict(enumerate(layout.layers)), descriptors=descriptors,
                        parameters=parameters, registers=registers)]


def compile_mesh(network: Network, training: TrainingSpec | None, config: ChipConfig,
                 plan: Plan) -> list[CoreProgram]:
    """The programs of all cores of a mesh, those without a cut among them.

    Raises
    ------
    SpecError
        If the plan is not one of this network.
    Misfit
        If a core has no room for its cuts; nothing has been written then.
    """
    common, cores = place_cores(network, training, plan, lanes=config.lanes, units=config.units)
    check_mesh(network, training, config, plan, cores)
    return [_program(network, training, plan, config, common, core) for core in cores]


def _program(network: Network, training: TrainingSpec | None, plan: Plan, config: ChipConfig, common: Common,
             core: CorePlaces) -> CoreProgram:
    last, placing = len(network.layers) - 1, core.placing
    layers = {index: cut_layer(network.plain_layers[index], cut) for index, cut in core.cuts.items()}
    rows = {index: layer_fields(layer, core.places[index])
            | _exchange(network, plan, common, core, index, lanes=config.lanes) for index, layer in layers.items()}
    parameters = [parameter_words(layer, core.places[index], config.units) for index, layer in layers.items()]
    registers = fixed_registers(network, batch_steps=placing.batch_steps, history_log=placing.history_log) | {
        "present": sum(1 << index for index in core.cuts),
        "mirror_rows": sum(core.cuts[index].outputs * mirror.groups for index, mirror in core.mirrors.items()),
        "classes": core.cuts[last].outputs if last in core.cuts else 0,
    }
    return CoreProgram(core=core.core, cuts=core.cuts, places=core.places, mirrors=core.mirrors, registers=registers,
                       descriptors=descriptor_words(network, rows),
                       parameters=np.concatenate(parameters) if parameters else np.zeros(0, np.uint16),
                       routes=_routes(plan, common, core, lanes=config.lanes))


def _exchange(network: Network, plan: Plan, common: Common, core: CorePlaces, index: int, *,
              lanes: int) -> dict[str, int]:
    """Descriptor fields of a cut about what it sends to others and gets from them."""
    # Rows of the cut's first group, counted from the layer's.
    offset = core.cuts[index].first // lanes * network.steps
    fields = {}
    if index + 1 < len(network.layers):
        fields |= {"spike_targets": mask_of(plan.of_layer(index + 1)),
                   "spike_address": common.spikes_in[index + 1] + offset}
    if index in core.mirrors:
        mirror = core.mirrors[index]
        fields |= {"next_weights": mirror.base, "next_row_step": mirror.row_step, "next_groups": mirror.groups,
                   "next_outputs": network.layers[index + 1].outputs, "next_errors": common.next_errors[index]}
    if index in core.routes:
        fields |= {"error_targets": mask_of(plan.of_layer(index - 1)),
                   "error_address": common.next_errors[index - 1] + offset,
                   "mirrored": 1, "routes": core.routes[index], "mirror_step": common.mirror_steps[index - 1]}
    return fields


def _routes(plan: Plan, common: Common, core: CorePlaces, *, lanes: int) -> np.ndarray:
    """Words of ROUTES: for each group of inputs of a mirrored layer the rows for this core's first group of outputs."""
    routes = []
    for index in core.routes:
        before, step = common.mirrors[index - 1], common.mirror_steps[index - 1]
        own = before + core.cuts[index].first // lanes * step
        for cut in plan.of_layer(index - 1):
            routes += [route_word(base=own + row, core=cut.core) for row in range(0, cut.outputs, lanes)]
    return np.array(routes, "<u4").view(np.uint16)
