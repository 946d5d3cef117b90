"""How long a batch will take on a chip, from what its cores will do: an event-level model of a run."""

from dataclasses import dataclass

import numpy as np

from ..network import Network, TrainingSpec
from .memory import core_rows
from .plan import Plan
from .routes import Mesh
from .samples_run import BACKWARD, FORWARD, Progress, SamplesRun
from .traffic import link_loads, traffic_of
from .update_run import UpdateRun
from .wires import Clock, Wires
from .work import Activity

ENGINES = (FORWARD, BACKWARD, "gradient")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Cycles of a batch on a chip.

    Fields
    ------
    cycles : of the batch, update included, from the first run's start to the update's end
    update : of these, the part of gradient and update
    samples : of the batch
    busy : int (nodes,) per engine, cycles with a visit
    links : (from, to) of every link; flits : float, flits per sample over each
    parts : cycles of the forward and backward parts of each sample
    """

    cycles: int
    update: int
    samples: int
    busy: dict[str, np.ndarray]
    links: tuple[tuple[int, int], ...]
    flits: np.ndarray
    parts: dict[str, list[int]]
    source: str

    @property
    def per_sample(self) -> float:
        """Cycles, the update's share included."""
        return self.cycles / self.samples


def predict(network: Network, plan: Plan, activity: Activity, *, lanes: int, units: int, batch: int,
            clearing: int | None = None, progress: Progress | None = None) -> Prediction:
    """What a batch of `batch` samples takes, the samples of `activity` in turn.

    Parameters
    ----------
    plan : cuts at their places; all of every layer at core 0 of 1x1 for a core alone
    clearing : words of the deepest memory of history of a core, which a batch begins by clearing; None: as many as the
        plan takes, rounded up to a power of two

    The errors of the last layer are taken to come from the chip's own loss: what a host takes that computes them is not
    in it.
    """
    if clearing is None:
        rows = core_rows(network, TrainingSpec(batch=batch), plan, lanes=lanes, units=units)
        deepest = max(need[name] for need in rows for name in ("history_words", "active_words"))
        clearing = 1 << (deepest - 1).bit_length()
    mesh, clock = Mesh(plan.mesh_width, plan.mesh_height), Clock()
    wires = Wires(clock, mesh)
    run = SamplesRun(network, plan, activity, clock, wires, lanes=lanes, units=units, batch=batch,
                     clearing=clearing, progress=progress)
    run.go()
    update = UpdateRun(network, plan, activity, clock, wires, lanes=lanes, units=units, batch=batch)
    cycles = update.go(run.ended)
    return Prediction(cycles=cycles, update=cycles - run.ended, samples=batch,
                      busy=run.busy | {"gradient": update.busy}, parts=run.lasted, links=mesh.links,
                      flits=link_loads(traffic_of(network, plan, lanes=lanes, batch=batch), mesh),
                      source=activity.source)
