"""The autapse neuron as the first layer of a network: `Autapse`, what the user writes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..hw.contract.autapse import MOST_NODES, AutapseSpec, Edges
from ..hw.contract.autapse_edges import convolution_edges, ordered_edges, perceptron_edges, reservoir_edges
from .errors import SpecError
from .half import flag, half_scalar, log2_exact, whole
from .randomness import permutation

SELECTIONS = ("random", "most")
_DELAYS = 3  # first word of the key of chosen delays
_ONLY = {"segments": "mlp", "edges": "reservoir", "shape": "conv"}
_FLAGS = ("bias", "detach", "strict", "carry", "time_invariant")
LAMBDA = 0.001  # what the loss adds of the distance to the right prototype


def select_delays(nodes: int, count: int, *, select: str = "random", seed: int = 0,
                  recurrent: bool = True) -> list[int]:
    """`count` delays of a reservoir, ascending.

    "random" (RD) draws them from all there are; "most" (MC) takes those that give most edges, the shorter of equals.
    Where delays may not reach before the first node, delay d gives nodes - d edges.

    Raises
    ------
    SpecError
        If there are not so many delays, or no such selection.
    """
    longest = nodes if recurrent else nodes - 1
    whole(count, "delays", least=0, most=longest)
    whole(seed, "seed", least=0)
    if select not in SELECTIONS:
        raise SpecError(f"select must be {' or '.join(SELECTIONS)}, not {select!r}")
    if select == "most":
        return list(range(1, count + 1))
    return sorted(int(delay) + 1 for delay in permutation(longest, seed, _DELAYS)[:count])


class Autapse:
    """One neuron that is visited as `nodes` nodes per step and hears its own delayed spikes; see docs/autapse.md.

    Parameters
    ----------
    inputs, nodes
        Spike trains in, and nodes in all.
    structure
        "mlp": segments, each fully connected to the next. "reservoir": the same delays at every node.
        "conv": maps of `shape` (height, width), kernels of `kernel` x `kernel`.
    readout
        "count": each node of the last segment is a class. "prototype": the class of the nearest learned code.
        "linear": Linear and its neurons follow, which see the nodes read.
    classes
        Of "count" and "prototype".
    segments
        mlp: their sizes, which add up to `nodes`. By default two, the last of `classes` nodes for "count" and else of
        2/5 of all; one of all nodes where those are fewer than 32.
    delays, select, seed
        reservoir: the delays, or how many `select_delays` shall choose.
    shape, channels, kernel
        conv: height and width, maps per layer (the first layer passes the inputs on, map by map), kernel side.
    edges
        A list of (from, to) in place of the reservoir's delays: any graph without a loop; nodes are renumbered in the
        first order in which all edges point forward.
    time_invariant
        One weight per delay.
    leak, threshold, half_width, reset, detach, strict, recurrent, carry, bias, units
        As in `AutapseSpec`. A reservoir is recurrent unless told otherwise.
    temperature
        What the loss of prototypes divides distances by: 1 in the paper; here 1/32 of the code's bits, at least 1.

    Members
    -------
    spec : AutapseSpec

    Raises
    ------
    SpecError
        If the network is none; one sentence.
    """

    def __init__(self, inputs: int, nodes: int, *, structure: str = "mlp", readout: str | None = None,
                 classes: int | None = None, segments: Sequence[int] | None = None, delays: int | Sequence[int] = 8,
                 select: str = "random", seed: int = 0, shape: Sequence[int] | None = None,
                 channels: Sequence[int] = (1, 1), kernel: int = 3, edges: Sequence[Sequence[int]] | None = None,
                 time_invariant: bool = False, leak: float | None = None, threshold: float = 1.0,
                 half_width: float | None = None, reset: str = "hard", detach: bool = False, strict: bool = False,
                 recurrent: bool | None = None, carry: bool = False, bias: bool = True, units: int = 1,
                 temperature: float | None = None):
        given = {name: _plain(value) for name, value in locals().items() if name != "self"}
        self.options: dict[str, Any] = given
        for name, owner in _ONLY.items():
            if given[name] is not None and structure != owner:
                raise SpecError(f"{name} is for structure {owner!r}, not for {structure!r}; leave it out")
        flags = {name: flag(given[name], f"{name} of Autapse") for name in _FLAGS}
        inputs = whole(inputs, "inputs of Autapse", least=1)
        nodes = whole(nodes, "nodes of Autapse", least=1, most=MOST_NODES)
        reservoir = structure == "reservoir"
        readout = ("linear" if reservoir else "count") if readout is None else readout
        self.temperature = None if temperature is None else half_scalar(temperature, "temperature")
        if self.temperature is not None and not self.temperature > 0:
            raise SpecError(f"temperature must be above 0, not {temperature!r}")
        if self.temperature is not None and readout != "prototype":
            raise SpecError(f"temperature is for readout 'prototype', not for {readout!r}; leave it out")
        if readout != "linear" and classes is None:
            raise SpecError(f"an autapse network with readout {readout!r} needs classes")
        classes = 0 if classes is None or readout == "linear" else whole(classes, "classes", least=1)
        recurrent = reservoir and edges is None if recurrent is None else flag(recurrent, "recurrent of Autapse")
        leak = (0.5 if reservoir else 0.0) if leak is None else leak
        half_width = (0.5 if reservoir else 1.0) if half_width is None else half_width
        try:
            parts, found, count = self._edges(nodes, readout, classes, recurrent)
            self.spec = AutapseSpec(
                inputs=inputs, segments=tuple(parts), edges=found, structure=structure, weights=count,
                input="pixel" if structure == "conv" else "dense", leak=half_scalar(leak, "leak"),
                threshold=half_scalar(threshold, "threshold"),
                half_width=2.0 ** log2_exact(half_width, "half_width", least=-14, most=14), reset=reset,
                recurrent=recurrent, read_from=sum(parts[:-1]), readout=readout, classes=classes,
                units=given["units"], **flags)
        except SpecError:
            raise
        except ValueError as error:
            raise SpecError(str(error)) from None

    def _edges(self, nodes: int, readout: str, classes: int, recurrent: bool) -> tuple[list[int], Edges, int]:
        """Sizes of the segments, the edges, and how many weights those name."""
        given = self.options
        structure, invariant = given["structure"], given["time_invariant"]
        if structure == "mlp":
            segments = given["segments"]
            parts = _segments(nodes, readout, classes) if segments is None else _list(segments, "segments", least=1)
            _fill(parts, nodes)
            return parts, *perceptron_edges(parts, time_invariant=invariant)
        if structure == "reservoir":
            if given["edges"] is not None:
                pairs = _pairs(given["edges"])
                return [nodes], ordered_edges(nodes, pairs)[0], len(pairs)
            delays = given["delays"]
            delays = _list(delays, "delays") if isinstance(delays, list) else \
                select_delays(nodes, delays, select=given["select"], seed=given["seed"], recurrent=recurrent)
            return [nodes], *reservoir_edges(nodes, delays, recurrent=recurrent, time_invariant=invariant)
        if structure == "conv":
            if not isinstance(given["shape"], list) or len(given["shape"]) != 2:
                raise SpecError("a conv structure needs shape, the height and width of its maps")
            height, width = _list(given["shape"], "shape", least=1)
            channels = _list(given["channels"], "channels", least=1)
            kernel = whole(given["kernel"], "kernel", least=1, most=2 * max(height, width) + 1)
            parts = [maps * height * width for maps in channels]
            _fill(parts, nodes)
            if given["inputs"] != parts[0]:
                raise SpecError(f"{channels[0]} map{'s' * (channels[0] > 1)} of {height}x{width} nodes take "
                                f"{parts[0]} inputs, not {given['inputs']}")
            return parts, *convolution_edges(height, width, channels, kernel)
        raise SpecError(f"structure must be reservoir, mlp or conv, not {structure!r}")


def _plain(value: Any) -> Any:
    """As JSON has it: arrays, ranges and tuples are lists, NumPy's numbers numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
        return [_plain(each) for each in value]
    return value


def _list(values, what: str, *, least: int | None = None) -> list[int]:
    if not isinstance(values, list):
        raise SpecError(f"{what} of Autapse must be a list of whole numbers, not {values!r:.40}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
            bound = "" if least is None else f" of at least {least}"
            raise SpecError(f"{what} of Autapse must be whole numbers{bound}, not {value!r:.40}")
    return values


def _pairs(edges) -> list[tuple[int, int]]:
    for edge in edges if isinstance(edges, list) else [edges]:
        if not isinstance(edge, list) or len(edge) != 2 or any(type(node) is not int for node in edge):
            raise SpecError(f"edges of Autapse must be pairs of nodes, from and to, not {edge!r:.40}")
    return [(source, target) for source, target in edges]


def _fill(parts: list[int], nodes: int) -> None:
    """Refuses segments that do not make up the network, before a multitude of edges is listed."""
    if not parts:
        raise SpecError("an autapse network needs at least one segment of nodes")
    if sum(parts) != nodes:
        raise SpecError(f"the segments {'+'.join(map(str, parts))} have {sum(parts)} nodes, not {nodes}")


def _segments(nodes: int, readout: str, classes: int) -> list[int]:
    last = classes if readout == "count" else nodes if nodes < 32 else nodes * 2 // 5
    if last > nodes or (readout == "count" and last == nodes):
        raise SpecError(f"{nodes} nodes are too few for {classes} classes and a segment before them; take more nodes")
    return [nodes - last, last] if last < nodes else [nodes]
