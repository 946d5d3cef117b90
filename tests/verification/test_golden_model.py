"""The golden model's promises beside the arithmetic: one answer however it is asked, and refusals."""

import itertools
import re

import numpy as np
import pytest

from autapse.verification.golden.model import Golden, Layer, Rules

SEED = 31337


def exactly(sentence):
    """The pattern of a whole error message."""
    return f"^{re.escape(sentence)}$"


def make(*, sizes=(9, 6, 4), steps=3, scale=64.0, spiking=False, device="cpu"):
    layers = [
        Layer(
            inputs=n_in, outputs=n_out, bias=True, decay=np.float16(0.75), threshold=np.float16(0.5), half_width=0.5,
            spiking=spiking or index < len(sizes) - 2,
        )
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes))
    ]  # fmt: skip
    golden = Golden(layers, Rules(steps=steps, loss_scale=scale), device=device)
    rng = np.random.default_rng(SEED)
    golden.set_state(
        {name: (rng.normal(size=word.shape) * 0.4).astype(np.float16) for name, word in golden.get_state().items()}
    )
    return golden


def data(golden, samples, *, density=0.4):
    rng = np.random.default_rng(SEED + 1)
    steps, inputs, classes = golden.rules.steps, golden.layers[0].inputs, golden.layers[-1].outputs
    spikes = (rng.random((samples, steps, inputs)) < density).astype(np.uint8)
    return spikes, np.eye(classes, dtype=np.float16)[rng.integers(0, classes, samples)]


def back(golden, spikes, targets):
    golden.backward(golden.loss_error(golden.forward(spikes, keep=True).y, targets))


def bits(state):
    return {name: word.view(np.uint16).tolist() for name, word in state.items()}


def train(golden, batches, samples):
    for spikes, targets in batches:
        back(golden, spikes, targets)
        golden.accumulate()
    golden.update(samples, 0.2, 0.9)
    return bits(golden.get_state())


def test_batches_in_pieces_in_any_order_give_one_answer():
    spikes, targets = data(make(), 11)
    whole = train(make(), [(spikes, targets)], 11)
    order = np.random.default_rng(SEED).permutation(11)
    assert train(make(), [(spikes[order], targets[order])], 11) == whole
    assert train(make(), [(spikes[i : i + 3], targets[i : i + 3]) for i in (9, 0, 6, 3)], 11) == whole
    assert whole != bits(make().get_state())


def test_exact_sums_from_two_models_give_one_answer():
    spikes, targets = data(make(), 11)
    whole = train(make(), [(spikes, targets)], 11)
    here, there = make(), make()
    back(here, spikes[:4], targets[:4])
    back(there, spikes[4:], targets[4:])
    here.add_gradient(there.gradient())
    here.update(11, 0.2, 0.9)
    assert bits(here.get_state()) == whole


def test_accumulating_twice_counts_once_and_update_starts_anew():
    golden = make()
    spikes, targets = data(golden, 5)
    back(golden, spikes, targets)
    golden.accumulate()
    first = golden.gradient()
    golden.accumulate()
    assert all(np.array_equal(golden.gradient()[name], first[name]) for name in first)
    assert any(units.any() for units in first.values())
    golden.update(5, 0.2, 0.9)
    assert not any(units.any() for units in golden.gradient().values())


def test_inference_between_backward_and_update_disturbs_nothing():
    golden = make()
    spikes, targets = data(golden, 5)
    back(golden, spikes, targets)
    golden.forward(1 - spikes)
    golden.update(5, 0.2, 0.9)
    assert bits(golden.get_state()) == train(make(), [(spikes, targets)], 5)


def test_a_skipped_step_leaves_nothing_behind():
    golden, other = make(), make()
    spikes, targets = data(golden, 5)
    back(golden, spikes[:2], targets[:2])  # no accumulate, no update: dropped by the next forward
    assert train(golden, [(spikes, targets)], 5) == train(other, [(spikes, targets)], 5)
    back(golden, spikes[:2], targets[:2])
    golden.accumulate()
    golden.clear_gradient()
    golden.forward(spikes)
    assert not any(units.any() for units in golden.gradient().values())
    assert train(golden, [(spikes, targets)], 5) == train(other, [(spikes, targets)], 5)


def test_gradient_of_more_terms_than_float64_holds():
    # 2,731 samples of 3 steps are 8,193 terms: each 65504 or, once, 2^-24 off a tie of the rounded sum.
    golden = make(sizes=(1, 1), steps=3, scale=1.0)
    samples = 2731
    spikes = np.ones((samples, 3, 1), np.uint8)
    g = np.full((samples, 3, 1), 65504, np.float16)
    g[::2] *= np.float16(-1)
    g[-1, :, 0] = 2.0**-24
    golden.set_state({"0.weight": np.zeros((1, 1), np.float16), "0.bias": np.zeros(1, np.float16)})
    golden.forward(spikes, keep=True)
    golden.backward(g)
    d = golden.traces()[0]["d"].astype(np.float64)
    expected = int((d * 2.0**24).astype(object).sum())
    assert golden.gradient()["0.weight"].item() == expected == golden.gradient()["0.bias"].item()


def test_gradient_beyond_53_bits_stays_exact():
    golden = make(sizes=(1, 2), steps=1, scale=1.0)
    samples = 3 * 2**13 + 1
    spikes = np.ones((samples, 1, 1), np.uint8)
    g = np.full((samples, 2), 65504, np.float16)
    g[0] = [2.0**-24, -3 * 2.0**-24]
    golden.forward(spikes, keep=True)
    golden.backward(g)
    each = 65504 * 2**24
    expected = [(samples - 1) * each + 1, (samples - 1) * each - 3]
    assert max(expected) > 2**53
    assert golden.gradient()["0.weight"].tolist() == [expected]
    assert golden.gradient()["0.bias"].tolist() == expected
    golden.update(samples, 0.5, 0.0)
    assert golden.overflow, "the rounded gradient saturates"


@pytest.mark.parametrize("inputs", [2**13 - 2, 2**13 - 1, 3 * 2**13 + 5])
def test_sums_over_many_inputs_are_exact(inputs):
    # Weights of greatest magnitude cancel in pairs, so that 2^-24 decides: 53 bits would lose it.
    golden = make(sizes=(inputs, 2), steps=2, scale=1.0)
    column = np.full(inputs, 65504, np.float16)
    column[inputs // 2 :] *= np.float16(-1)
    column[inputs // 2 + 1 :][: inputs % 2] = 0  # as many of either sign
    weight = np.stack([column, np.roll(column, 1)], axis=1)
    weight[3] = [2.0**-24, -5 * 2.0**-24]
    golden.set_state({"0.weight": weight, "0.bias": np.array([2.0**-23, 7], np.float16)})
    spikes = np.ones((1, 2, inputs), np.uint8)
    golden.forward(spikes, keep=True)
    u = golden.traces()[0]["u"][0]
    exact = [sum(int(w * 2.0**24) for w in weight[:, j].astype(float)) for j in range(2)]
    exact = [exact[0] + 2, exact[1] + 7 * 2**24]
    expected = [np.clip(x * 2.0**-24, -65504, 65504) for x in exact]
    assert u[0].astype(float).tolist() == [float(np.float16(x)) for x in expected]


def test_overflow_is_not_raised_by_what_is_thrown_away():
    layer = Layer(
        inputs=1, outputs=1, bias=False, decay=np.float16(2), threshold=np.float16(60000), half_width=2.0**15
    )  # fmt: skip
    golden = Golden([layer], Rules(steps=2))
    golden.set_state({"0.weight": np.full((1, 1), 40000, np.float16)})
    # v = 40000 after the last step: its leak of 80000 is never used.
    golden.forward(np.array([[[0], [1]]], np.uint8))
    assert not golden.overflow
    golden.forward(np.array([[[1], [0]]], np.uint8))
    assert golden.overflow
    golden.clear_overflow()
    assert not golden.overflow
    # The product of the reset term is computed wherever the mask is set, at the last step too.
    golden.forward(np.array([[[0], [1]]], np.uint8), keep=True)
    golden.backward(np.zeros((1, 1), np.float16))
    assert golden.overflow


@pytest.mark.parametrize("threshold,raised", [(1000, False), (1, True)])
def test_an_error_beyond_range_counts_only_where_the_mask_is_set(threshold, raised):
    common = {"inputs": 1, "outputs": 1, "bias": False, "decay": np.float16(0.5), "half_width": 0.5}
    hidden, last = (Layer(threshold=np.float16(threshold), spiking=spiking, **common) for spiking in (True, False))
    golden = Golden([hidden, last], Rules(steps=1))
    golden.set_state({"0.weight": np.ones((1, 1), np.float16), "1.weight": np.full((1, 1), 60000, np.float16)})
    golden.forward(np.ones((1, 1, 1), np.uint8), keep=True)
    golden.backward(np.full((1, 1), 2, np.float16))  # 2 * 60000 on the hidden neuron, whose u is 1
    assert golden.overflow == raised
    assert golden.traces()[0]["d"].item() == (65504 if raised else 0)


def test_words_survive_a_round_trip_and_partial_state_clears_the_rest():
    golden = make()
    state = golden.get_state()
    parts = ("", "_remainder", "_momentum")
    assert set(state) == {f"{i}.{kind}{part}" for i in (0, 1) for kind in ("weight", "bias") for part in parts}
    other = make()
    other.set_state({name: np.zeros_like(word) for name, word in state.items()})
    other.set_state(state)
    assert bits(other.get_state()) == bits(state)
    other.set_state({"1.weight": state["1.weight"], "1.weight_momentum": state["1.weight_momentum"]})
    after = other.get_state()
    assert not after["1.weight_remainder"].any() and after["1.weight_momentum"].any()
    assert after["1.bias_remainder"].any()
    assert bits({"w": golden.weights[1]["bias_momentum"].numpy()})["w"] == bits(state)["1.bias_momentum"]


def test_keeping_traces_changes_no_answer():
    golden = make(spiking=True)
    spikes, _ = data(golden, 7)
    kept, plain = golden.forward(spikes, keep=True), golden.forward(spikes)
    assert np.array_equal(kept.y, plain.y) and kept.y.any()
    assert np.array_equal(kept.value, golden_counts(golden, spikes))
    assert np.array_equal(kept.prediction, kept.y.argmax(axis=1))


def golden_counts(golden, spikes):
    golden.forward(spikes, keep=True)
    return golden.traces()[-1]["s"].sum(axis=1)


@pytest.mark.parametrize(
    "change,error,sentence",
    [
        ({"inputs": 0}, ValueError, "inputs must be a whole number of at least 1, not 0"),
        (
            {"decay": np.float32(0.5)},
            TypeError,
            "decay must be float16, not float32; round it with numpy.float16 first",
        ),
        ({"decay": np.zeros(3, np.float16)}, ValueError, "decay must have shape () or (4,), not (3,)"),
        (
            {"threshold": np.float16("inf")},
            ValueError,
            "threshold must be finite: binary16 here has no infinity and no NaN",
        ),
        ({"half_width": 0.3}, ValueError, "half_width must be a power of two from 2^-24 to 2^15, not 0.3"),
    ],
)
def test_layers_refuse(change, error, sentence):
    good = {
        "inputs": 2, "outputs": 4, "bias": True, "decay": np.float16(0.5), "threshold": np.float16(1),
        "half_width": 0.5,
    }  # fmt: skip
    Layer(**good)
    with pytest.raises(error, match=exactly(sentence)):
        Layer(**good | change)


@pytest.mark.parametrize(
    "change,sentence",
    [
        ({"steps": 8193}, "steps must be a whole number from 1 to 8192, not 8193"),
        ({"loss_scale": 3.0}, "loss_scale must be a power of two, not 3.0"),
        ({"momentum_exponent": 65}, "momentum_exponent must be a whole number from -64 to 64, not 65"),
    ],
)
def test_rules_refuse(change, sentence):
    with pytest.raises(ValueError, match=exactly(sentence)):
        Rules(**{"steps": 4} | change)


def test_networks_refuse():
    one = make().layers
    with pytest.raises(ValueError, match=exactly("layer 0 has 6 outputs, but layer 1 9 inputs")):
        Golden([one[0], one[0]], Rules(steps=1))
    silent = "layer 0 does not spike; only the last layer may be read by its membrane"
    with pytest.raises(ValueError, match=exactly(silent)):
        Golden(make(sizes=(9, 4), spiking=False).layers + make(sizes=(4, 4)).layers, Rules(steps=1))
    with pytest.raises(ValueError, match=exactly("a network needs at least one layer")):
        Golden([], Rules(steps=1))


def test_calls_refuse():
    golden = make()
    spikes, targets = data(golden, 2)
    early = "backward needs the traces of a forward pass: call forward(spikes, keep=True) first"
    with pytest.raises(RuntimeError, match=exactly(early)):
        golden.backward(targets)
    with pytest.raises(TypeError, match=exactly("spikes must be uint8, not torch.float32")):
        golden.forward(spikes.astype(np.float32))
    with pytest.raises(ValueError, match=exactly("spikes must have shape (samples, 3, 9), not (2, 3, 8)")):
        golden.forward(spikes[:, :, :8])
    with pytest.raises(ValueError, match=exactly("spikes must be 0 or 1, not 2")):
        golden.forward(spikes * np.uint8(2))
    y = golden.forward(spikes, keep=True).y
    wrong = "targets must be float16 of shape (2, 4), not float64 of shape (2, 4)"
    with pytest.raises(TypeError, match=exactly(wrong)):
        golden.loss_error(y, targets.astype(float))
    with pytest.raises(ValueError, match=exactly("g must have shape (2, 4) or (2, 3, 4), not (2, 3)")):
        golden.backward(targets[:, :3])
    with pytest.raises(ValueError, match=exactly("g must be finite: binary16 here has no infinity and no NaN")):
        golden.backward(np.full((2, 4), np.inf, np.float16))
    before = bits(golden.get_state())
    with pytest.raises(ValueError, match=r"^state has no word '2\.weight'; it has 0\.weight, "):
        golden.set_state({"0.weight": np.zeros((9, 6), np.float16), "2.weight": np.zeros((1, 1), np.float16)})
    with pytest.raises(ValueError, match=exactly("1.bias must have shape (4,), not (5,)")):
        golden.set_state({"0.weight": np.zeros((9, 6), np.float16), "1.bias": np.zeros(5, np.float16)})
    assert bits(golden.get_state()) == before, "a refused state sets nothing"
    with pytest.raises(ValueError, match=exactly("batch must be a whole number of at least 1, not 0")):
        golden.update(0, 0.1, 0.9)
    with pytest.raises(ValueError, match=exactly("1000000.0 is beyond 65504, the greatest binary16 value")):
        golden.update(1, 1e6, 0.9)
    with pytest.raises(ValueError, match=r"beyond 65504; lower it$"):
        make(scale=2.0**20).loss_error(y, targets)
