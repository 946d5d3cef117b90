"""Ways to plan which core of a mesh holds which neurons, by the names that users give."""

import difflib
from collections.abc import Callable

from ...hw.contract.chip import MAX_NODES
from ..errors import SpecError
from ..network import Network, TrainingSpec
from .even import even_plan
from .partition import partition
from .place import PLACERS, placed, placer
from .plan import Plan
from .traffic import traffic_of
from .work import assumed_activity, work_of

EVEN = "even"   # what train and verify take unless told

# A method takes (network, training, mesh_width, mesh_height, lanes) and always gives the same plan for the same.
Method = Callable[[Network, TrainingSpec | None, int, int, int], Plan]

def _worked(place: str) -> Method:
    """Cuts by the work that is usual, then this placement of them."""
    def method(network, training, width, height, lanes):
        work = work_of(network, assumed_activity(network), lanes=lanes, units=min(2, lanes),
                       batch=training.batch if training else 1)
        plan = partition(network, work, width, height, training=training)
        traffic = traffic_of(network, plan, lanes=lanes, batch=training.batch if training else 1)
        return placed(plan, placer(place).place(traffic, width, height, seed=0))
    return method


# EVEN spreads groups without looking at their work; the others cut by work (see partition) and place the cuts.
METHODS: dict[str, Method] = {
    EVEN: lambda network, training, width, height, lanes: even_plan(network, width, height, lanes),
    **{name: _worked(name) for name in PLACERS},
}


def plan_by(method: str, network: Network, training: TrainingSpec | None, *, mesh_width: int, mesh_height: int,
            lanes: int) -> Plan:
    """The plan of a method; raises SpecError if there is no such method."""
    return check_method(method)(network, training, mesh_width, mesh_height, lanes)


def check_method(method: str) -> Method:
    """The method of this name, or a SpecError that names all."""
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, n=1, cutoff=0.4)
        meant = f", did you mean {near[0]!r}" if near else ""
        raise SpecError(f"there is no placement {method!r}{meant}; there are {', '.join(METHODS)}")
    return METHODS[method]


def mesh_size(text) -> tuple[int, int]:
    """Columns and rows from "5x4", or a SpecError."""
    parts = str(text).split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise SpecError(f"a mesh is columns x rows, such as 5x4, not {text!r}")
    width, height = int(parts[0]), int(parts[1])
    if not 0 < width * height <= MAX_NODES:
        raise SpecError(f"a mesh has from 1 to {MAX_NODES} cores, {text} is {width * height}")
    return width, height
