"""Layers cut over cores so that the core with the most work has little: by work, not by number of neurons."""

import numpy as np

from ..errors import Misfit, SpecError
from ..network import Network, TrainingSpec
from .balance import Costs, segments_of
from .plan import Cut, Plan
from .room import Room, crowded, synapse_rows
from .routes import check_mesh
from .search import EXHAUSTIVE, Progress, balanced, exhaustive, pipeline, plans_of
from .work import Work

SPREADS = ("all", "layers")
_LAYERS, _LANES = 16, 16    # most that a mesh takes


def partition(network: Network, work: Work, mesh_width: int, mesh_height: int, *,
              training: TrainingSpec | None = None, spread: str = "all", synapses: int | None = None,
              progress: Progress | None = None) -> Plan:
    """Cuts of every layer over the cores of a mesh, in whole groups, so that the longest core is short.

    A core's time per sample is max(forward, backward and history) + its share of the batch's update. Cores are
    virtual: placement (`place.py`) may move them. The same for the same input.

    Parameters
    ----------
    spread : "all": any core may hold a cut of any layer; every plan is tried where there are at most EXHAUSTIVE, and
        else groups go one by one to the core that is then shortest, and are moved while that shortens the longest;
        `balance` says how far from a lower bound the plan is at most. "layers": layers have cores of their own, in
        their order, the best such plan
    synapses : rows of synapses of a core; None for as many as it takes
    training : what the rows are for; None for inference

    Raises
    ------
    SpecError
        If the mesh is none, `spread` is neither, or there are fewer cores than layers for "layers".
    Misfit
        If no plan fits; says which layer and how much too large it is.
    """
    check_mesh(mesh_width, mesh_height)
    nodes = mesh_width * mesh_height
    if spread not in SPREADS:
        raise SpecError(f"spread must be {' or '.join(SPREADS)}, not {spread!r}")
    if len(network.layers) > _LAYERS:
        raise Misfit(f"{network} has {len(network.layers)} layers, a mesh takes at most {_LAYERS}; use fewer layers")
    if work.lanes > _LANES:
        raise Misfit(f"a mesh takes at most {_LANES} lanes, not {work.lanes}; use fewer")
    costs = [Costs(layer) for layer in work.layers]
    own, mirror = synapse_rows(network, training, lanes=work.lanes)
    room = Room(own=own, mirror=mirror, most=synapses)
    room.check(network, work, nodes)
    if spread == "layers":
        counts = pipeline(network, costs, nodes)
        if not room.allows(counts):
            raise Misfit(f"{network} does not fit {nodes} cores of {synapses:,} rows of synapses with layers on cores "
                         "of their own; use spread 'all' or cores with more synapses")
        segments = segments_of(counts)
    elif plans_of(costs, nodes) <= EXHAUSTIVE:
        segments = exhaustive(costs, nodes, room)
        if segments is None:
            raise crowded(network, nodes, synapses)
    else:
        segments = segments_of(balanced(network, costs, nodes, room, progress))
    return _plan_of(network, segments, mesh_width, mesh_height, work.lanes)


def is_exact(work: Work, nodes: int) -> bool:
    """Whether `partition` tries every plan, with spread "all"."""
    return plans_of([Costs(layer) for layer in work.layers], nodes) <= EXHAUSTIVE


def _plan_of(network: Network, segments: np.ndarray, width: int, height: int, lanes: int) -> Plan:
    cuts = []
    for index, layer in enumerate(network.layers):
        cuts += [Cut(layer=index, first=int(first) * lanes, last=min(int(last) * lanes, layer.outputs), core=core)
                 for core, (first, last) in enumerate(segments[index]) if last > first]
    return Plan(mesh_width=width, mesh_height=height, cuts=tuple(sorted(cuts)))
