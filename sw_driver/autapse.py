"""The autapse neuron as the first layer of a network: `Autapse`, what the user writes."""

from collections.abc import Sequence

from ..hw.contract.autapse import AutapseSpec
from ..hw.contract.autapse_edges import convolution_edges, ordered_edges, perceptron_edges, reservoir_edges
from .errors import SpecError
from .half import half_scalar, log2_exact, whole
from .randomness import permutation

SELECTIONS = ("random", "most")
_DELAYS = 3  # first word of the key of chosen delays
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
        mlp: their sizes, which add up to `nodes`. By default the last one has `classes` nodes for "count"; for
        "prototype" 2/5 of them, or all in one segment below 32.
    delays, select, seed
        reservoir: the delays, or how many `select_delays` shall choose.
    shape, channels, kernel
        conv: height and width, maps per layer (the first layer has one and passes the input on), kernel side.
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
        given = {name: value for name, value in locals().items() if name != "self"}
        self.options = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        inputs, nodes = whole(inputs, "inputs of Autapse", least=1), whole(nodes, "nodes of Autapse", least=1)
        reservoir = structure == "reservoir"
        readout = readout or ("linear" if reservoir else "count")
        self.temperature = None if temperature is None else half_scalar(temperature, "temperature")
        if self.temperature is not None and not self.temperature > 0:
            raise SpecError(f"temperature must be above 0, not {temperature!r}")
        if readout != "linear" and classes is None:
            raise SpecError(f"an autapse network with readout {readout!r} needs classes")
        classes = 0 if classes is None or readout == "linear" else whole(classes, "classes", least=1)
        recurrent = (reservoir and edges is None) if recurrent is None else recurrent
        leak = (0.5 if reservoir else 0.0) if leak is None else leak
        half_width = (0.5 if reservoir else 1.0) if half_width is None else half_width
        pixel = False
        try:
            if structure == "mlp":
                parts = list(segments) if segments is not None else _segments(nodes, readout, classes)
                found, count = perceptron_edges(parts, time_invariant=time_invariant)
            elif reservoir:
                parts = [nodes]
                if edges is not None:
                    pairs = [(int(source), int(target)) for source, target in edges]
                    (found, _), count = ordered_edges(nodes, pairs), len(pairs)
                else:
                    chosen = select_delays(nodes, delays, select=select, seed=seed, recurrent=recurrent) \
                        if isinstance(delays, int) else delays
                    found, count = reservoir_edges(nodes, chosen, recurrent=recurrent, time_invariant=time_invariant)
            elif structure == "conv":
                if shape is None or len(shape) != 2:
                    raise SpecError("a conv structure needs shape, the height and width of its maps")
                height, width = shape
                pixel, area = True, height * width
                found, count = convolution_edges(height, width, channels, kernel)
                parts = [maps * area for maps in channels]
            else:
                raise SpecError(f"structure must be reservoir, mlp or conv, not {structure!r}")
            if sum(parts) != nodes:
                raise SpecError(f"the segments {'+'.join(map(str, parts))} have {sum(parts)} nodes, not {nodes}")
            self.spec = AutapseSpec(
                inputs=inputs, segments=tuple(parts), edges=found, structure=structure, weights=count,
                input="pixel" if pixel else "dense", bias=bias, leak=half_scalar(leak, "leak"),
                threshold=half_scalar(threshold, "threshold"),
                half_width=2.0 ** log2_exact(half_width, "half_width", least=-14, most=14), reset=reset, detach=detach,
                strict=strict, recurrent=recurrent, carry=carry, time_invariant=time_invariant,
                read_from=sum(parts[:-1]), readout=readout, classes=classes, units=units)
        except SpecError:
            raise
        except ValueError as error:
            raise SpecError(str(error)) from None


def _segments(nodes: int, readout: str, classes: int) -> list[int]:
    last = classes if readout == "count" else nodes if nodes < 32 else nodes * 2 // 5
    if last > nodes or (readout == "count" and last == nodes):
        raise SpecError(f"{nodes} nodes are too few for {classes} classes and a segment before them; take more nodes")
    return [nodes - last, last] if last < nodes else [nodes]
