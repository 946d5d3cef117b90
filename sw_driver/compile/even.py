"""The plan to start from: every layer over all cores, as evenly as its groups of neurons go."""

from ..network import Network
from .plan import Cut, Plan


def even_plan(network: Network, mesh_width: int, mesh_height: int, lanes: int) -> Plan:
    """Each layer's groups of `lanes` neurons spread over all cores; what does not go evenly goes to those that have the
    least to do.

    A layer of fewer groups than cores has a cut of one group at some of them, so that a core may stay empty. Work is
    counted in synapses of whole groups. The same network always has the same plan.
    """
    nodes = mesh_width * mesh_height
    load = [0] * nodes
    cuts = []
    # The layers with most work per group first, so that the others level out what they leave.
    for index in sorted(range(len(network.layers)), key=lambda index: (-_work(network, index), index)):
        layer = network.layers[index]
        groups = -(-layer.outputs // lanes)
        share, more = divmod(groups, nodes)
        favoured = set(sorted(range(nodes), key=lambda core: (load[core], core))[:more])
        first = 0
        for core in range(nodes):
            mine = share + (core in favoured)
            if mine:
                last = min(first + mine * lanes, layer.outputs)
                cuts.append(Cut(layer=index, first=first, last=last, core=core))
                first = last
                load[core] += mine * _work(network, index)
    return Plan(mesh_width=mesh_width, mesh_height=mesh_height, cuts=tuple(sorted(cuts)))


def _work(network: Network, index: int) -> int:
    """Synapses of a neuron, and once more those that its errors come back through."""
    layer = network.layers[index]
    behind = network.layers[index + 1].outputs if index + 1 < len(network.layers) else 0
    return 2 * (layer.inputs + layer.bias) + behind
