"""The golden model of an autapse network: against rational arithmetic, and against the layers that it stands for."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from autapse.hw.contract.autapse_edges import (
    convolution_edges,
    ordered_edges,
    perceptron_edges,
    reservoir_edges,
)
from autapse.verification.golden.model import Autapse, Golden, Layer, Rules
from rational_autapse import Autapse as Slow
from side_by_side import half, kernels, rational, words

SEED = 2026_11
PARTS = ("", "_remainder", "_momentum")


def arrays(edges):
    flat = [(node, delay, index) for node, pairs in enumerate(edges) for delay, index in pairs]
    return dict(zip(("targets", "delays", "indices"), np.array(flat, np.int64).reshape(-1, 3).T, strict=True))


def build(edges, count, *, inputs, input_nodes, read_from, segments=None, pixel=False, leak=0.0, half_width=0.5,
          **flags):
    return Autapse(inputs=inputs, nodes=len(edges), input_nodes=input_nodes, **arrays(edges), edge_words=count,
                   read_from=read_from, bias=flags.pop("bias", True), leak=np.float16(leak), threshold=np.float16(0.5),
                   half_width=half_width, pixel=pixel, segments=segments, **flags)


def random_state(rng, network, spread=4, coarse=False):
    state = {}
    for kind, shape in (("weight", network.weight_shape), ("bias", network.bias_shape)):
        for part in PARTS:
            if kind == "weight" or network.bias:
                state[f"0.{kind}{part}"] = half(rng, shape, spread)
        if coarse and f"0.{kind}" in state:     # sums that meet the threshold and the edges of the mask exactly
            state[f"0.{kind}"] = (rng.integers(-4, 5, size=shape) / 4).astype(np.float16)
    return state


def slow_of(network, edges, state, rules):
    def index(i, n):
        return 0 if network.pixel else i * network.input_nodes + n

    see = [[] if n >= network.input_nodes else [(n, 0)] if network.pixel else
           [(i, index(i, n)) for i in range(network.inputs)] for n in range(network.nodes)]
    shifted = [[(delay, network.input_words + at) for delay, at in pairs] for pairs in edges]
    kept = {kind + part: rational(state[f"0.{kind}{part}"]) if f"0.{kind}" in state else None
            for kind in ("weight", "bias") for part in PARTS}
    return Slow(kept, edges=shifted, inputs_of=see, steps=rules.steps, scale=rules.loss_scale,
                k=rules.momentum_exponent, leak=Fraction(float(network.leak)),
                theta=Fraction(float(network.threshold)), h=Fraction(network.half_width), soft=network.soft,
                detach=network.detach, strict=network.strict, recurrent=network.recurrent, carry=network.carry,
                read_from=network.read_from)


def compare(network, edges, seed, *, steps=3, batch=2, coarse=False, names=("torch",), scale=64.0):
    print("seed", seed)
    rng = np.random.default_rng(seed)
    rules = Rules(steps=steps, loss_scale=scale)
    state = random_state(rng, network, coarse=coarse)
    models = [Golden([network], rules, threads=1, kernel=name) for name in names]
    slow = slow_of(network, edges, state, rules)
    for model in models:
        model.set_state(state)
    for _ in range(2):
        spikes = (rng.random((batch, steps, network.inputs)) < 0.5).astype(np.uint8)
        y = slow.forward(spikes.tolist())
        g = half(rng, (batch, steps, network.outputs), 3)
        slow.backward(rational(g))
        for model in models:
            assert (model.forward(spikes, keep=True).y == np.array(y) << 24).all()
            model.backward(g)
            (trace,) = model.traces()
            assert np.array_equal(trace["s"], np.array(slow.s)) and np.array_equal(trace["m"], np.array(slow.m))
            assert np.array_equal(trace["u"].view(np.uint16), words(slow.u))
            assert np.array_equal(model.codes(), np.array(slow.s)[:, :, network.read_from:])
            if not network.independent:
                continue
            assert np.array_equal(trace["d"].view(np.uint16), words(slow.d))
        if network.independent:
            slow.update(batch, Fraction(float(np.float16(0.3))), Fraction(float(np.float16(0.9))))
        for model in models:
            model.update(batch, 0.3, 0.9)
            now = model.get_state()
            for name in now:
                expected = words(slow.words[name[2:]]) if network.independent else state[name].view(np.uint16)
                assert np.array_equal(now[name].view(np.uint16), expected), name
            assert model.overflow == slow.overflow


FLAGS = [{}, {"soft": True}, {"detach": True, "strict": True}, {"soft": True, "detach": True, "bias": False}]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("leak", [0.0, 0.625])
def test_perceptron(flags, leak):
    segments = (4, 1, 3)
    edges, count = perceptron_edges(segments)
    network = build(edges, count, inputs=5, input_nodes=4, read_from=5, segments=segments, leak=leak, **flags)
    for seed in range(SEED, SEED + 3):
        compare(network, edges, seed, coarse=seed % 2 == 0, names=("torch",) if leak else kernels())


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("invariant", [False, True])
def test_reservoir_with_delays_of_one_sweep(flags, invariant):
    edges, count = reservoir_edges(6, (1, 2, 5), recurrent=False, time_invariant=invariant)
    network = build(edges, count, inputs=3, input_nodes=6, read_from=0, leak=0.5, half_width=1.0, **flags)
    for seed in range(SEED + 10, SEED + 12):
        compare(network, edges, seed, coarse=seed % 2 == 0)


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_reservoir_whose_delay_line_runs_on(carry, soft):
    edges, count = reservoir_edges(5, (1, 3, 5), time_invariant=carry)
    network = build(edges, count, inputs=2, input_nodes=5, read_from=0, leak=0.75, recurrent=True, carry=carry,
                    soft=soft)
    for seed in range(SEED + 20, SEED + 23):
        compare(network, edges, seed, steps=4, coarse=seed % 2 == 0)


def test_convolution_shares_its_kernel_and_stays_in_its_row():
    edges, count = convolution_edges(3, 4, (1, 2), kernel=3)
    assert count == 18
    network = build(edges, count, inputs=12, input_nodes=12, read_from=12, pixel=True)
    for seed in range(SEED + 30, SEED + 32):
        compare(network, edges, seed, steps=2, coarse=seed % 2 == 0)


def test_graph_of_ones_own():
    edges, _ = ordered_edges(5, [(4, 0), (0, 1), (4, 1), (2, 3), (1, 3)])
    network = build(edges, 5, inputs=3, input_nodes=2, read_from=3, leak=0.25)
    compare(network, edges, SEED + 40)


def test_a_perceptron_is_the_layers_it_was_made_from():
    """Spike for spike and word for word, over ten updates, in every way of computing it."""
    segments, inputs, steps, batch = (23, 9, 6), 31, 3, 8
    print("seed", SEED + 50)
    rng = np.random.default_rng(SEED + 50)
    sizes = (inputs, *segments)
    layers = [Layer(inputs=a, outputs=b, bias=True, decay=np.float16(0), threshold=np.float16(0.5), half_width=0.5)
              for a, b in itertools.pairwise(sizes)]
    edges, count = perceptron_edges(segments)
    network = build(edges, count, inputs=inputs, input_nodes=23, read_from=32, segments=segments)
    rules = Rules(steps=steps, loss_scale=64.0)
    plain = Golden(layers, rules, threads=1, kernel="torch")
    plain.set_state({name: half(rng, array.shape, 4) for name, array in plain.get_state().items()
                     if "_" not in name})
    models = [Golden([network], rules, threads=1, kernel=name) for name in kernels()]

    def joined(state):
        return {f"0.{kind}{part}": np.concatenate([state[f"{i}.{kind}{part}"].ravel() for i in range(3)])
                for kind in ("weight", "bias") for part in PARTS}

    for model in models:
        model.set_state(joined(plain.get_state()))
    before = joined(plain.get_state())
    for _ in range(10):
        spikes = (rng.random((batch, steps, inputs)) < 0.4).astype(np.uint8)
        targets = np.eye(6, dtype=np.float16)[rng.integers(0, 6, batch)]
        for model in (plain, *models):
            model.backward(model.loss_error(model.forward(spikes, keep=True), targets))
        expected = {name: np.concatenate([trace[name] for trace in plain.traces()], axis=2) for name in "usmd"}
        units = plain.gradient()
        for model in models:
            (trace,) = model.traces()
            assert all(np.array_equal(trace[name], expected[name]) for name in "usmd")
            assert np.array_equal(model.gradient()["0.weight"],
                                  np.concatenate([units[f"{i}.weight"].ravel() for i in range(3)]))
        for model in (plain, *models):
            model.update(batch, 0.5, 0.9)
        for model in models:
            assert all(np.array_equal(array.view(np.uint16), model.get_state()[name].view(np.uint16))
                       for name, array in joined(plain.get_state()).items())
    assert not np.array_equal(before["0.weight"], joined(plain.get_state())["0.weight"])


def test_layers_that_read_the_nodes_send_their_errors_back():
    """A perceptron with integrators behind it, against three layers."""
    print("seed", SEED + 60)
    rng = np.random.default_rng(SEED + 60)
    edges, count = perceptron_edges((7, 5))
    network = build(edges, count, inputs=6, input_nodes=7, read_from=7, segments=(7, 5))
    tail = Layer(inputs=5, outputs=3, bias=True, decay=np.float16(0.5), threshold=np.float16(1), half_width=0.5,
                 spiking=False)
    rules = Rules(steps=4, loss_scale=16.0)
    models = [Golden([network, tail], rules, threads=1, kernel=name) for name in kernels()]
    stack = [Layer(inputs=a, outputs=b, bias=True, decay=np.float16(0), threshold=np.float16(0.5), half_width=0.5)
             for a, b in ((6, 7), (7, 5))]
    plain = Golden([*stack, tail], rules, threads=1, kernel="torch")
    plain.set_state({name: half(rng, array.shape, 3) for name, array in plain.get_state().items() if "_" not in name})
    for model in models:
        now = plain.get_state()
        model.set_state({f"0.{kind}": np.concatenate([now[f"{i}.{kind}"].ravel() for i in range(2)])
                         for kind in ("weight", "bias")}
                        | {f"1.{kind}": now[f"2.{kind}"] for kind in ("weight", "bias")})
    spikes = (rng.random((5, 4, 6)) < 0.5).astype(np.uint8)
    targets = half(rng, (5, 3), 1)
    for model in (plain, *models):
        model.backward(model.loss_error(model.forward(spikes, keep=True), targets))
        model.update(5, 0.5, 0.0)
    for model in models:
        assert np.array_equal(model.get_state()["1.weight"], plain.get_state()["2.weight"])
        assert np.array_equal(model.get_state()["0.weight"],
                              np.concatenate([plain.get_state()[f"{i}.weight"].ravel() for i in range(2)]))
