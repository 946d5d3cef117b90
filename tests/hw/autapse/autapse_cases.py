"""Networks on the simulated autapse chip, and random states and samples for them."""

import numpy as np

from autapse.gateware.chip import Chip
from autapse.gateware.simulator.build import build_simulator, find_simulator
from autapse.hw.contract.autapse import AutapseSpec
from autapse.hw.contract.autapse_chip import AutapseChip
from autapse.hw.contract.autapse_edges import convolution_edges, ordered_edges, perceptron_edges, reservoir_edges
from autapse.sw_driver.compile.autapse import AutapseProgram, Tail
from autapse.sw_driver.devices.autapse_runner import AutapseRunner, Words, read_identity
from autapse.sw_driver.link.bus import Bus
from autapse.sw_driver.link.host import HostLink
from autapse.sw_driver.link.transport import ProcessTransport
from autapse_slow import SlowNetwork, SlowState


def specs() -> dict[str, tuple[AutapseSpec, Tail | None]]:
    """Small networks of every structure, sizes all different."""
    mlp, mlp_weights = perceptron_edges((7, 5, 3))
    two, two_weights = perceptron_edges((7, 5))
    toeplitz, toeplitz_weights = perceptron_edges((6, 5), time_invariant=True)
    random, random_weights = reservoir_edges(21, (1, 2, 5, 17, 21))
    shared, shared_weights = reservoir_edges(19, (3, 16, 18), time_invariant=True)
    conv, conv_weights = convolution_edges(4, 5, (1, 2))
    maps, maps_weights = convolution_edges(3, 3, (1, 2, 2))
    graph, _ = ordered_edges(6, [(0, 3), (5, 1), (3, 1), (1, 2), (4, 2), (0, 2)])
    return {
        "mlp": (AutapseSpec(inputs=9, segments=(7, 5, 3), edges=mlp, structure="mlp", weights=mlp_weights,
                            read_from=12, classes=3, half_width=0.5), None),
        "mlp leaking": (AutapseSpec(inputs=9, segments=(7, 5, 3), edges=mlp, structure="mlp", weights=mlp_weights,
                                    read_from=12, classes=3, leak=0.5, half_width=1.0, strict=True), None),
        "mlp soft": (AutapseSpec(inputs=9, segments=(7, 5, 3), edges=mlp, structure="mlp", weights=mlp_weights,
                                 read_from=12, classes=3, leak=0.75, reset="soft", bias=False), None),
        "mlp prototypes": (AutapseSpec(inputs=9, segments=(7, 5, 3), edges=mlp, structure="mlp", weights=mlp_weights,
                                       read_from=7, classes=4, readout="prototype", threshold=0.5), None),
        "mlp linear": (AutapseSpec(inputs=9, segments=(7, 5), edges=two, structure="mlp", weights=two_weights,
                                   read_from=7, readout="linear", leak=0.25), Tail(classes=3, decay=0.5, bias=True)),
        "toeplitz": (AutapseSpec(inputs=8, segments=(6, 5), edges=toeplitz, structure="mlp", weights=toeplitz_weights,
                                 read_from=6, classes=5, time_invariant=True), None),
        "reservoir": (AutapseSpec(inputs=6, segments=(21,), edges=random, structure="reservoir", weights=random_weights,
                                  recurrent=True, carry=True, leak=0.5, readout="linear"),
                      Tail(classes=4, decay=0.5, bias=True)),
        "reservoir shared": (AutapseSpec(inputs=6, segments=(19,), edges=shared, structure="reservoir",
                                         weights=shared_weights, recurrent=True, time_invariant=True, leak=0.25,
                                         reset="soft", readout="linear"), Tail(classes=3, decay=0.75, bias=False)),
        "conv": (AutapseSpec(inputs=20, segments=(20, 40), edges=conv, structure="conv", weights=conv_weights,
                             input="pixel", bias=False, read_from=20, readout="prototype", classes=3, threshold=0.5),
                 None),
        # Kernels of two maps, so that the nodes read are of two stretches.
        "maps": (AutapseSpec(inputs=9, segments=(9, 18, 18), edges=maps, structure="conv", weights=maps_weights,
                             input="pixel", read_from=27, readout="linear"), Tail(classes=3, decay=0.5, bias=True)),
        "graph": (AutapseSpec(inputs=5, segments=(6,), edges=graph, structure="mlp", weights=6, read_from=4, classes=2,
                              leak=0.5), None),
    }


def random_words(rng: np.random.Generator, count: int, scale: float = 1.0) -> list[int]:
    return (rng.normal(size=count) * scale).astype(np.float16).view(np.uint16).tolist()


def random_state(rng: np.random.Generator, spec: AutapseSpec, tail: Tail | None) -> SlowState:
    count = spec.input_weights + spec.weights + spec.nodes * spec.bias
    inner = (spec.read_nodes + tail.bias) * tail.classes if tail else 0
    state = SlowState(random_words(rng, count), random_words(rng, inner))
    if spec.input == "pixel":
        state.words[0] = 0x3C00
    return state


def as_words(words: list[int], remainders: list[int] | None = None, momenta: list[int] | None = None) -> Words:
    zeros = [0] * len(words)
    parts = words, remainders or zeros, momenta or zeros
    return Words(*(np.array(part, np.uint16).view(np.float16) for part in parts))


def start(chip: AutapseChip) -> Bus:
    recipe = f"Chip {chip}"
    program = find_simulator(recipe) or build_simulator(Chip(chip), recipe=recipe)
    bus = Bus(HostLink(ProcessTransport([program])))
    assert read_identity(bus) == chip
    return bus


def runner(bus: Bus, chip: AutapseChip, spec: AutapseSpec, tail: Tail | None, state: SlowState, *, steps: int,
           batch: int = 0) -> AutapseRunner:
    there = AutapseRunner(bus, AutapseProgram(spec, steps=steps, chip=chip, batch=batch, tail=tail))
    there.write_words(as_words(state.words))
    if tail:
        there.write_words(as_words(state.tail), tail=True)
    return there


__all__ = ["SlowNetwork", "as_words", "random_state", "random_words", "runner", "specs", "start"]
