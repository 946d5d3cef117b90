"""What an autapse network keeps and how long a sweep takes, beside layers of neurons; counted, not measured."""

import numpy as np

from ..hw.contract.autapse import AutapseSpec

WORD = 16


def state_bits(spec: AutapseSpec, steps: int) -> dict[str, int]:
    """Bits of state while a sample runs, and what a prototype readout adds; weights are not state.

    membrane: one word per unit. delay line: one bit per node back to the longest delay, kept for the whole sweep. code:
    the bits that are read, until they are compared. prototypes: stored bits, which learning alone changes. counts: of a
    count readout, as wide as `steps` needs.
    """
    prototype, count = spec.readout == "prototype", spec.readout == "count"
    return {
        "membrane": WORD * spec.units,
        "delay line": max(spec.longest, spec.units),
        "code": spec.code_bits(steps) if prototype else 0,
        "prototypes": spec.classes * spec.code_bits(steps) if prototype else 0,
        "counts": spec.classes * steps.bit_length() if count else 0,
    }


def layer_state_bits(sizes: tuple[int, ...]) -> dict[str, int]:
    """The same of leaky neurons in layers: a membrane word each, and the spikes of a step that the next layer sees."""
    return {"membrane": WORD * sum(sizes), "spikes": sum(sizes)}


def additions(spec: AutapseSpec, spikes: np.ndarray, inputs: np.ndarray) -> int:
    """Steps of one sweep in which each unit adds one weight: per group of units, its slowest node's active terms + 1.

    `spikes` (nodes,) are the sweep's, `inputs` (inputs,) those from outside, 0 or 1; delays into an earlier sweep are
    not counted. The one is for bias, rounding and comparison.
    """
    seen = int(np.sum(inputs))
    terms = np.zeros(spec.nodes, np.int64)
    for node, pairs in enumerate(spec.edges):
        terms[node] = sum(int(spikes[node - delay]) for delay, _ in pairs if delay <= node)
        if node < spec.input_nodes:
            terms[node] += int(inputs[node]) if spec.input == "pixel" else seen
    groups = [terms[at:at + spec.units].max() + 1 for at in range(0, spec.nodes, spec.units)]
    return int(np.sum(groups))
