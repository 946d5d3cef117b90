"""Whole trainings: known answers that version 1 of the arithmetic may never change, and digits learnt."""

import hashlib
import itertools

import numpy as np
import pytest

from autapse.verification.compare_mnist import cross_entropy_error, rate_code
from autapse.verification.golden.model import Golden, Layer, Rules


def uniform(count, *, seed):
    """Numbers from 0 to below 1 that depend on no library: the linear congruence of Numerical Recipes."""
    numbers, state = [], seed
    for _ in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        numbers.append(state / 2**32)
    return np.array(numbers)


def known_training(*, soft, spiking):
    sizes, steps, batch = (19, 23, 5), 5, 12
    layers = [
        Layer(
            inputs=n_in, outputs=n_out, bias=True, decay=np.float16(0.8), threshold=np.float16(0.6), half_width=0.25,
            soft=soft, spiking=spiking or index == 0,
        )
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes))
    ]  # fmt: skip
    golden = Golden(layers, Rules(steps=steps, loss_scale=256.0, momentum_exponent=6))
    words = {}
    for number, (name, word) in enumerate(golden.get_state().items()):
        if name.endswith(("weight", "bias")):
            words[name] = (uniform(word.size, seed=number).reshape(word.shape) - 0.5).astype(np.float16)
    golden.set_state(words)
    for step in range(20):
        spikes = (uniform(batch * steps * sizes[0], seed=100 + step) < 0.4).astype(np.uint8)
        labels = (uniform(batch, seed=500 + step) * sizes[-1]).astype(int)
        y = golden.forward(spikes.reshape(batch, steps, sizes[0]), keep=True).y
        golden.backward(golden.loss_error(y, np.eye(sizes[-1], dtype=np.float16)[labels]))
        golden.update(batch, 0.3, 0.9)
    assert not golden.overflow
    digest = hashlib.sha256()
    for name, word in sorted(golden.get_state().items()):
        digest.update(name.encode() + word.astype("<f2").tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    "soft,spiking,answer",
    [(False, False, "4a932a609bdc2742"), (True, True, "9698d2a64a2ac89b")],
    ids=["hard-membrane", "soft-spikes"],
)
def test_known_answers(soft, spiking, answer):
    assert known_training(soft=soft, spiking=spiking) == answer


def test_threads_change_no_bit():
    rng = np.random.default_rng(11)
    layer = Layer(inputs=301, outputs=257, bias=False, decay=np.float16(0.9), threshold=np.float16(1), half_width=0.5)
    spikes = (rng.random((160, 2, 301)) < 0.3).astype(np.uint8)
    weight = (rng.normal(size=(301, 257)) * 0.2).astype(np.float16)
    g = rng.normal(size=(160, 257)).astype(np.float16)
    states = []
    for threads in (1, 2):
        golden = Golden([layer], Rules(steps=2), threads=threads)
        golden.set_state({"0.weight": weight})
        golden.forward(spikes, keep=True)
        golden.backward(g)
        golden.update(160, 0.5, 0.5)
        states.append(golden.get_state())
    assert all(np.array_equal(states[0][name].view(np.uint16), states[1][name].view(np.uint16)) for name in states[0])
    assert (states[0]["0.weight"] != weight).any()


def digits():
    """scikit-learn's digits in a fixed random order; in the file's own order the last 360 are harder."""
    bunch = pytest.importorskip("sklearn.datasets").load_digits()
    order = np.random.default_rng(7).permutation(len(bunch.target))
    pixels = (bunch.data[order] * 255 / 16).astype(np.uint8)
    spikes = rate_code(pixels, steps=8)
    return spikes[:1437], bunch.target[order][:1437], spikes[-360:], bunch.target[order][-360:]


@pytest.mark.parametrize("loss,scale,rate", [("mse", 1024.0, 0.8), ("cross-entropy", 16.0, 0.02)])
def test_digits_are_learnt(loss, scale, rate):
    train, labels, test, test_labels = digits()
    common = {"bias": True, "decay": np.float16(0.5), "threshold": np.float16(1), "half_width": 0.5}
    layers = [
        Layer(inputs=64, outputs=128, **common),
        Layer(inputs=128, outputs=10, spiking=False, **common),
    ]
    seed = 3
    print("seed", seed)
    rng = np.random.default_rng(seed)
    golden = Golden(layers, Rules(steps=8, loss_scale=scale))
    for index, layer in enumerate(layers):
        first = rng.uniform(-1, 1, size=(layer.inputs, layer.outputs)) / layer.inputs**0.5
        golden.set_state({f"{index}.weight": first.astype(np.float16)})
    targets = np.eye(10, dtype=np.float16)
    for _ in range(4):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), 32):
            some = order[start : start + 32]
            y = golden.forward(train[some], keep=True).y
            if loss == "mse":
                golden.backward(golden.loss_error(y, targets[labels[some]]))
            else:
                golden.backward(cross_entropy_error(y, labels[some], scale))
            golden.update(len(some), rate, 0.9)
    assert not golden.overflow
    accuracy = np.mean(golden.forward(test).prediction == test_labels)
    print("accuracy", accuracy)
    assert accuracy >= 0.93
