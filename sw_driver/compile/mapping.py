"""From a network to cores: cuts, places, memory, traffic and time, all in one."""

from dataclasses import dataclass

import numpy as np

from ..errors import Misfit, SpecError
from ..network import Network, TrainingSpec
from .balance import Balance, balance
from .even import even_plan
from .memory import core_bits, core_rows
from .methods import EVEN, check_method
from .partition import SPREADS, is_exact, partition
from .place import PLACERS, Cost, cost_of, placed
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
    costs : of each method that was looked at, by name; "even" has cuts of its own, the others share theirs
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
                training: TrainingSpec | None = None, method: str = EVEN, seed: int = 0, spread: str = "all",
                synapses: int | None = None, activity: Activity | None = None, compare: bool = True,
                progress: Progress | None = None) -> Mapping:
    """Cuts a network, places the cuts, and predicts what a batch will take.

    Parameters
    ----------
    activity : measured; otherwise what is usual is assumed
    method, seed : "even", or cuts by work and one of `PLACERS` with this seed
    compare : also the costs of the methods that were not asked for
    synapses : rows that a core has; None for as many as it takes

    Raises
    ------
    SpecError
        If there is no such method, or `spread` is asked of even cuts; else as `partition`.
    Misfit
        As `partition`; or if even cuts take more than `synapses` rows of a core.
    """
    check_method(method)
    if method == EVEN and spread in SPREADS[1:]:
        raise SpecError(f"spread {spread!r} is of cuts by work, not of {EVEN} ones; place them by {', '.join(PLACERS)}")
    chosen = PLACERS.get(method)
    units = min(2, lanes) if units is None else units
    training = training or TrainingSpec()
    _ = network.plain_layers        # or a sentence: a mesh holds no autapse network
    activity = activity or assumed_activity(network)
    batch = training.batch
    work = work_of(network, activity, lanes=lanes, units=units, batch=batch)
    mesh = Mesh(mesh_width, mesh_height)
    plan = even_plan(network, mesh_width, mesh_height, lanes)
    traffic, even = traffic_of(network, plan, lanes=lanes, batch=batch), balance(plan, work)
    costs: dict[str, Cost] = {EVEN: cost_of(traffic, mesh)} if method == EVEN or compare else {}
    if chosen is not None or compare:
        virtual = partition(network, work, mesh_width, mesh_height, training=training, spread=spread,
                            synapses=None if chosen is None else synapses, progress=progress)
        unplaced = traffic_of(network, virtual, lanes=lanes, batch=batch)
        places = {name: found.place(unplaced, mesh_width, mesh_height, seed=seed,
                                    progress=progress if found is chosen else None)
                  for name, found in PLACERS.items() if compare or found is chosen}
        costs |= {name: cost_of(unplaced, mesh, where) for name, where in places.items()}
        if chosen is not None:
            where = places[method]
            plan, traffic, even = placed(virtual, where), unplaced.moved(where), balance(virtual, work)
            even = Balance(cores=even.cores[np.argsort(where)], bound=even.bound)
    rows = core_rows(network, training, plan, lanes=lanes, units=units)
    if method == EVEN and synapses is not None:
        most = max(range(plan.nodes), key=lambda core: rows[core]["synapses"])
        needed = rows[most]["synapses"]
        if needed > synapses:
            raise Misfit(f"the even cuts of {network} need {needed:,} rows of synapses at core {most}, it has "
                         f"{synapses:,}, {needed - synapses:,} too few; use more cores, cores with more synapses, or "
                         f"place {', '.join(PLACERS)}")
    bits = [core_bits(need, lanes=lanes, units=units, nodes=plan.nodes, training=True) for need in rows]
    return Mapping(
        network=network, training=training, lanes=lanes, units=units, method=method, seed=seed, spread=spread,
        activity=activity, work=work, plan=plan, balance=even, traffic=traffic, costs=costs, rows=rows, bits=bits,
        exact=method != EVEN and spread == "all" and is_exact(work, plan.nodes),
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
