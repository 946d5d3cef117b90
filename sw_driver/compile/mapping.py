"""From a network to cores: cuts, places, memory, traffic and time, all in one."""

from dataclasses import dataclass

import numpy as np

from ..network import Network, TrainingSpec
from .balance import Balance, balance
from .memory import core_bits, core_rows
from .partition import is_exact, partition
from .place import PLACERS, Cost, cost_of, placed, placer
from .plan import Plan
from .predict import Prediction, Progress, predict
from .routes import Mesh
from .traffic import Traffic, traffic_of
from .work import Activity, Work, assumed_activity, work_of


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """A network on a mesh.

    Fields
    ------
    plan, traffic : at their places
    costs : of each placement that was looked at, by name
    rows, bits : of each memory, by core
    alone : prediction of the same network on one such core
    exact : the plan is the best of all
    """

    network: Network
    training: TrainingSpec
    lanes: int
    units: int
    method: str
    seed: int
    spread: str
    activity: Activity
    work: Work
    plan: Plan
    balance: Balance
    traffic: Traffic
    costs: dict[str, Cost]
    prediction: Prediction
    alone: Prediction
    exact: bool
    rows: list[dict[str, int]]
    bits: list[dict[str, int]]

    @property
    def mesh(self) -> Mesh:
        return Mesh(self.plan.mesh_width, self.plan.mesh_height)


def map_network(network: Network, mesh_width: int, mesh_height: int, *, lanes: int = 8, units: int | None = None,
                training: TrainingSpec | None = None, method: str = "annealed", seed: int = 0, spread: str = "all",
                synapses: int | None = None, activity: Activity | None = None, compare: bool = True,
                progress: Progress | None = None) -> Mapping:
    """Cuts a network by its work, places the cuts, and predicts what a batch will take.

    Parameters
    ----------
    activity : measured; otherwise what is usual is assumed
    method, seed : of the placement
    compare : also the costs of the placements that were not asked for
    synapses : rows that a core has; None for as many as it takes

    Raises
    ------
    SpecError, Misfit
        As `partition` and `placer`.
    """
    chosen = placer(method)
    units = min(2, lanes) if units is None else units
    training = training or TrainingSpec()
    activity = activity or assumed_activity(network)
    batch = training.batch
    work = work_of(network, activity, lanes=lanes, units=units, batch=batch)
    plan = partition(network, work, mesh_width, mesh_height, training=training, spread=spread, synapses=synapses,
                     progress=progress)
    even = balance(plan, work)
    virtual = traffic_of(network, plan, lanes=lanes, batch=batch)
    mesh = Mesh(mesh_width, mesh_height)
    places = {name: found.place(virtual, mesh_width, mesh_height, seed=seed,
                                progress=progress if found is chosen else None)
              for name, found in PLACERS.items() if compare or found is chosen}
    costs = {name: cost_of(virtual, mesh, where) for name, where in places.items()}
    where = places[method]
    plan, traffic = placed(plan, where), virtual.moved(where)
    even = Balance(cores=even.cores[np.argsort(where)], bound=even.bound)
    rows = core_rows(network, training, plan, lanes=lanes, units=units)
    bits = [core_bits(need, lanes=lanes, units=units, nodes=plan.nodes, training=True) for need in rows]
    return Mapping(
        network=network, training=training, lanes=lanes, units=units, method=method, seed=seed, spread=spread,
        activity=activity, work=work, plan=plan, balance=even, traffic=traffic, costs=costs, rows=rows, bits=bits,
        exact=spread == "all" and is_exact(work, plan.nodes),
        prediction=predict(network, plan, activity, lanes=lanes, units=units, batch=batch, progress=progress),
        alone=predict(network, partition(network, work, 1, 1), activity, lanes=lanes, units=units, batch=batch))


def as_dict(mapping: Mapping) -> dict:
    """Plain JSON values."""
    told, alone = mapping.prediction, mapping.alone
    return {
        "network": mapping.network.as_dict(), "mesh": [mapping.plan.mesh_width, mapping.plan.mesh_height],
        "lanes": mapping.lanes, "units": mapping.units, "batch": mapping.training.batch, "placement": mapping.method,
        "seed": mapping.seed, "spread": mapping.spread,
        "activity": {"source": mapping.activity.source, **mapping.activity.densities()},
        "cuts": [{"layer": cut.layer, "first": cut.first, "last": cut.last, "core": cut.core}
                 for cut in mapping.plan.cuts],
        "balance": {"cores": mapping.balance.cores.tolist(), "longest": mapping.balance.longest,
                    "bound": mapping.balance.bound, "exact": mapping.exact},
        "costs": {name: {"flit_hops": cost.flit_hops, "mean": cost.mean, "maximum": cost.maximum, "total": cost.total}
                  for name, cost in mapping.costs.items()},
        "memory": [{"rows": rows, "bits": bits} for rows, bits in zip(mapping.rows, mapping.bits, strict=True)],
        "cycles": {"batch": told.cycles, "update": told.update, "sample": told.per_sample,
                   "one core": alone.per_sample, "speed-up": alone.per_sample / told.per_sample},
        "busy": {engine: cycles.tolist() for engine, cycles in told.busy.items()},
        "links": [{"from": one, "to": two, "flits": float(flits)}
                  for (one, two), flits in zip(told.links, told.flits, strict=True)],
    }
