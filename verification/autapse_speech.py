"""Reservoirs on spoken digits: one autapse neuron of N nodes beside N neurons with recurrent synapses.

    python -m autapse.verification.autapse_speech --data FSDD.npz [--nodes 256] [--seeds 3] [--delays 8]

Both see the same spikes and are read by the same integrators, trained by the golden model. Neither reservoir is
trained itself, so that its spikes are computed once. The standard one has as many recurrent synapses per neuron as the
autapse neuron has delays, from random neurons, one step late, with the same ranges of weights and the same decay, in
float64. Takes 0 to 4 of each speaker are the official test set; then each speaker is left out in turn.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np

from ..sw_driver.autapse import Autapse
from ..sw_driver.data.sets import JoinedSet
from ..sw_driver.data.wav import load_fsdd
from ..sw_driver.device import open as open_device
from ..sw_driver.network import LI, Linear, Network
from ..sw_driver.trainer import Trainer
from .golden.model import Golden, Rules


def autapse_spikes(spikes: np.ndarray, network: Network, seed: int, scale: float) -> np.ndarray:
    """The nodes' spikes, uint8 (samples, steps, nodes), of the network's first layer with its initial weights."""
    from ..sw_driver.devices.golden import _layer
    model = Golden([_layer(network.layers[0])], Rules(steps=network.steps), threads=1)
    first = network.initial_state(seed, scale=scale)[0]
    assert first.bias is not None, "the network has one"
    model.set_state({"0.weight": first.weight, "0.bias": first.bias})
    found = []
    for start in range(0, len(spikes), 500):
        model.forward(spikes[start:start + 500])
        found.append(model.codes())
    return np.concatenate(found)


def standard_spikes(spikes: np.ndarray, nodes: int, degree: int, seed: int, scale: float) -> np.ndarray:
    """As `autapse_spikes`, of neurons that each have their own membrane."""
    rng = np.random.default_rng([seed, 1])
    inputs = spikes.shape[2]
    into = 2 * scale / inputs**0.5
    weight, bias = rng.uniform(-into, into, (inputs, nodes)), rng.uniform(-into / 2, into / 2, nodes)
    recurrent = np.zeros((nodes, nodes))
    for node in range(nodes):
        recurrent[rng.choice(nodes, degree, replace=False), node] = rng.uniform(-1, 1, degree) * scale / degree**0.5
    found = np.zeros((*spikes.shape[:2], nodes), np.uint8)
    v, s = np.zeros((len(spikes), nodes)), np.zeros((len(spikes), nodes))
    for step in range(spikes.shape[1]):
        u = 0.5 * v + spikes[:, step] @ weight + s @ recurrent + bias
        s = (u >= 1).astype(np.float64)
        v = u * (1 - s)
        found[:, step] = s
    return found


def read(spikes: np.ndarray, labels: np.ndarray, tested: np.ndarray, seed: int, *, epochs: int) -> float:
    """Test accuracy of integrators trained on what is not `tested`."""
    network = Network([Linear(spikes.shape[2], 10), LI(decay=0.5)], steps=spikes.shape[1])
    with open_device("golden", threads=1) as device:
        state = network.initial_state(seed)
        for rate, part in ((0.02, epochs), (0.004, max(1, epochs // 4))):
            trainer = Trainer(network, device, learning_rate=rate, loss="cross_entropy", state=state, seed=seed)
            trainer.fit((spikes[~tested], labels[~tested]), epochs=part, progress=False)
            state = trainer.state
        return trainer.evaluate((spikes[tested], labels[tested])).accuracy


def measure(data: Path, *, nodes: int, steps: int, delays: int, select: str, seeds: int, epochs: int, scale: float,
            speakers: bool) -> dict:
    """Accuracies of both reservoirs, and of no reservoir at all: the same readout on the inputs."""
    source = load_fsdd(data)
    assert source.test is not None, "the data set has one"
    clips = JoinedSet(source.train, source.test)
    assert clips.speakers is not None, "the data set names them"
    spikes = clips.spikes(np.arange(len(clips)), steps)
    official = np.arange(len(clips)) >= len(source.train)
    splits = {"official": [official]}
    if speakers:
        splits["speaker left out"] = [clips.speakers == name for name in np.unique(clips.speakers)]
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(1, seeds + 1):
        network = Network([Autapse(clips.inputs, nodes, structure="reservoir", delays=delays, select=select, seed=seed),
                           Linear(nodes, 10), LI(decay=0.5)], steps=steps)
        kinds = {"autapse": autapse_spikes(spikes, network, seed, scale),
                 "standard": standard_spikes(spikes, nodes, delays, seed, scale)}
        if seed == 1:
            kinds["none"] = spikes
        for kind, seen in kinds.items():
            for name, tests in splits.items():
                scores = [100 * read(seen, clips.labels, tested, seed, epochs=epochs) for tested in tests]
                found.setdefault(kind, {}).setdefault(name, []).append(statistics.mean(scores))
                print(f"seed {seed} {kind}, {name}: {', '.join(f'{score:.1f}' for score in scores)} % (spikes per step "
                      f"{seen.mean():.3f})", flush=True)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    for name, value in (("nodes", 256), ("steps", 25), ("delays", 8), ("seeds", 3), ("epochs", 12), ("scale", 1.0)):
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--select", default="random", help="random or most")
    parser.add_argument("--official", action="store_true", help="the official split alone")
    parser.add_argument("--json", type=Path)
    given = vars(parser.parse_args())
    path, speakers = given.pop("json"), not given.pop("official")
    print(given, flush=True)
    found = measure(given.pop("data"), speakers=speakers, **given)
    for kind, splits in found.items():
        for name, scores in splits.items():
            spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
            print(f"{kind}, {name}: {statistics.mean(scores):.2f} +- {spread:.2f} % over {len(scores)} seeds")
    if path:
        path.write_text(json.dumps(given | {"scores": found}, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
