"""The smallest sensible mesh for a network and its plan, and whether a given one has the room."""

from ...hw.contract.chip import ChipConfig
from ...hw.contract.geometry import geometry
from ...hw.contract.packet import ADDRESS_BITS
from ...hw.contract.program import Space
from ..errors import Misfit
from ..network import Network, TrainingSpec
from .fit import sum_widths
from .layout import WORDS, check_numbers, check_training
from .mesh_layout import CorePlaces, place_cores
from .plan import Plan

MESH_WORDS = WORDS | {
    "remote_rows": ("rows of errors that come from the layer behind", "use fewer steps or narrower layers"),
    "routes": ("groups of mirrored inputs", "use narrower layers"),
    "outbox": ("rows that wait for the mesh", "use narrower layers"),
    "step_slots": ("steps of a sample", "use fewer steps"),
}
MOST_STEPS = 256
MOST_LAYERS = 16
MOST_GROUPS = 4096
LEAST = {"outbox": 64, "step_slots": 8}     # so that small networks share a chip

_FIELDS = {Space.SYNAPSES: "synapses", Space.ERRORS: "error_rows", Space.REMOTE: "remote_rows"}


def fit_mesh(network: Network, training: TrainingSpec | None, plan: Plan, *, lanes: int = 8, units: int | None = None,
             slots: int = 2, **depths: int) -> ChipConfig:
    """A mesh whose cores, all alike, have just enough memory, depths rounded up to powers of two so that similar
    networks share a chip.

    Parameters
    ----------
    depths : fields of ChipConfig, fixed

    Raises
    ------
    ValueError
        If a field is out of range.
    SpecError
        If the plan is not one of this network.
    Misfit
        If no mesh takes the network.
    """
    base = ChipConfig(lanes=lanes, units=min(2, lanes) if units is None else units, slots=slots,
                      training=training is not None, mesh_width=plan.mesh_width, mesh_height=plan.mesh_height)
    _, cores = place_cores(network, training, plan, lanes=lanes, units=base.units)
    check_limits(network, cores)
    asked = {name: max(core.placing.needs.get(name, 0) for core in cores) for name in MESH_WORDS}
    rounded = {name: max(1 << max(rows - 1, 1).bit_length() if rows else 0, LEAST.get(name, 0))
               for name, rows in asked.items()}
    return base.replace(**(rounded | sum_widths(base, network, training) | depths))


def check_limits(network: Network, cores: list[CorePlaces]) -> None:
    """Refuses what no mesh takes, however large its memories; raises Misfit."""
    for what, count, most in (("steps per sample", network.steps, MOST_STEPS),
                              ("layers", len(network.layers), MOST_LAYERS)):
        if count > most:
            raise Misfit(f"a mesh takes at most {most} {what}, {network} has {count}; use fewer")
    for core in cores:
        for index, place in core.places.items():
            if place.groups > MOST_GROUPS:
                raise Misfit(f"{_cut(core, index)} is {place.groups} groups of neurons, {place.groups - MOST_GROUPS} "
                             f"more than the {MOST_GROUPS} that a core of a mesh takes; spread the layer over more "
                             "cores")


def check_mesh(network: Network, training: TrainingSpec | None, config: ChipConfig, plan: Plan,
               cores: list[CorePlaces]) -> None:
    """Refuses places that the cores of a mesh have no room for, and sums that their accumulators might not hold.

    Raises
    ------
    Misfit
        Which core, which cut, how much is too much, and what to change.
    """
    check_training(training, config)
    if (plan.mesh_width, plan.mesh_height) != (config.mesh_width, config.mesh_height):
        raise Misfit(f"the plan is for a mesh of {plan.mesh_width}x{plan.mesh_height} cores, the chip has "
                     f"{config.mesh_width}x{config.mesh_height}; make the plan for this chip")
    check_limits(network, cores)
    for name, (what, remedy) in MESH_WORDS.items():
        core = max(cores, key=lambda core: core.placing.needs.get(name, 0))
        asked, have = core.placing.needs.get(name, 0), getattr(config, name)
        if asked > have:
            raise Misfit(f"network {network} needs {asked} {what} at core {core.core}, {asked - have} more than the "
                         f"{have} that each core has{_most(core, name)}; {remedy}; or use more cores, or larger ones")
    for space, name in _FIELDS.items():
        rows = geometry(config).get(space, (0, 0))[1]
        if rows * config.lanes > 1 << ADDRESS_BITS:
            core = max(cores, key=lambda core: core.placing.needs.get(name, 0))
            raise Misfit(f"{rows} {MESH_WORDS[name][0]} of {config.lanes} words are more than the "
                         f"{(1 << ADDRESS_BITS) // config.lanes} that the host can reach at a core"
                         f"{_most(core, name)}; {MESH_WORDS[name][1]}, or use more cores")
    placing = cores[0].placing
    check_numbers(network, training, config, batch_steps=placing.batch_steps, history_log=placing.history_log)


def _cut(core: CorePlaces, index: int) -> str:
    cut = core.cuts[index]
    return f"the cut of layer {index} at core {core.core} (neurons {cut.first} to {cut.last - 1})"


def _most(core: CorePlaces, name: str) -> str:
    """Which cut takes most of a memory, if it is shared out among cuts."""
    shares = {layer: rows for (memory, layer), rows in core.placing.shares.items()
              if memory == name and layer in core.cuts}
    if not shares:
        return ""
    index = max(shares, key=lambda layer: shares[layer])
    return f"; {_cut(core, index)} takes {shares[index]}"
