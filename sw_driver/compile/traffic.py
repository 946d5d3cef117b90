"""What the cores of a plan send each other, in flits per sample."""

from dataclasses import dataclass, replace

import numpy as np

from ...hw.contract.rows import packet_flits
from ..network import Network
from .plan import Plan
from .routes import Mesh


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Packets from a core to all of some cores, `flits` per sample together; `kind` is what they carry."""

    kind: str
    layer: int
    source: int
    destinations: tuple[int, ...]
    packets: float
    flits: float


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Flows between the cores of a mesh.

    Every row of spikes and of errors is sent, whatever is in it, since its receivers count rows; so traffic follows
    from network and plan alone, and is as exact as it would be if it were measured. Rows of weights go once per batch;
    a sample's share counts.
    """

    nodes: int
    flows: tuple[Flow, ...]

    def moved(self, places: np.ndarray) -> "Traffic":
        """The same with core n at places[n]."""
        return Traffic(nodes=self.nodes, flows=tuple(
            replace(flow, source=int(places[flow.source]),
                    destinations=tuple(sorted(int(places[core]) for core in flow.destinations)))
            for flow in self.flows))


def traffic_of(network: Network, plan: Plan, *, lanes: int, batch: int, training: bool = True) -> Traffic:
    """Rows that the owners of each layer send: spikes, errors, and after an update weights; see hw/contract/rows.py."""
    flows = []
    spikes, errors = packet_flits(lanes), packet_flits(16 * lanes)
    for index in range(len(network.layers)):
        cuts = plan.of_layer(index)
        following = plan.of_layer(index + 1) if index + 1 < len(network.layers) else ()
        before = plan.of_layer(index - 1) if index else ()
        for cut in cuts:
            groups = -(-cut.outputs // lanes)
            rows = groups * network.steps
            if following:
                flows.append(Flow(kind="spikes", layer=index + 1, source=cut.core, packets=rows, flits=rows * spikes,
                                  destinations=tuple(sorted({other.core for other in following}))))
            if before and training:
                flows.append(Flow(kind="errors", layer=index - 1, source=cut.core, packets=rows, flits=rows * errors,
                                  destinations=tuple(sorted({other.core for other in before}))))
                for other in before:
                    packets = groups * other.outputs / batch
                    flows.append(Flow(kind="weights", layer=index - 1, source=cut.core, packets=packets,
                                      flits=packets * errors, destinations=(other.core,)))
    return Traffic(nodes=plan.nodes, flows=tuple(flows))


def link_loads(traffic: Traffic, mesh: Mesh) -> np.ndarray:
    """Flits per sample over each of the mesh's links."""
    loads = np.zeros(len(mesh.links))
    for flow in traffic.flows:
        loads[list(mesh.tree(flow.source, flow.destinations).links)] += flow.flits
    return loads
