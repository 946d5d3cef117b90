"""Work by layer and group: counted again one neuron at a time."""

import numpy as np
import pytest

from autapse.sw_driver.compile import timing
from autapse.sw_driver.compile.work import (
    Activity,
    assumed_activity,
    by_group,
    hits_of,
    measured_activity,
    scan_cycles,
    work_of,
)
from autapse.sw_driver.errors import SpecError
from mapped import network_of

SEED = 11


def random_activity(network, *, samples=3):
    rng = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    widths = [layer.outputs for layer in network.layers]

    def bits(width):
        return rng.random((samples, network.steps, width)) < 0.3

    return Activity(spikes=tuple(map(bits, (network.inputs, *widths))), masks=tuple(map(bits, widths)),
                    errors=tuple(map(bits, widths)), source="random")


def listed(counts) -> int:
    """Cycles until the last event of these rows is listed: a row comes per cycle, an event leaves per cycle."""
    cycle = 0
    for row, count in enumerate(counts):
        last = row == len(counts) - 1
        if count or last:
            cycle = max(cycle, row) + max(count, 1)
    return cycle


def test_scans_take_what_a_queue_of_rows_takes():
    rng = np.random.default_rng(SEED)
    for rows in (1, 2, 7, 19):
        counts = rng.integers(0, 5, size=(40, rows)) * (rng.random((40, rows)) < 0.6)
        assert scan_cycles(counts).tolist() == [listed(row) for row in counts]


def test_the_last_group_is_as_wide_as_what_is_left():
    assert by_group(np.ones((2, 11), bool), 4).tolist() == [[4, 4, 3], [4, 4, 3]]


def test_work_is_what_a_count_neuron_by_neuron_gives():
    network, lanes, units, batch = network_of(13, 11, 5, steps=3), 4, 2, 6
    activity = random_activity(network)
    work = work_of(network, activity, lanes=lanes, units=units, batch=batch)
    samples, beats = activity.samples, lanes // units
    visits = dict.fromkeys(("forward", "backward", "gradient"), 0)
    for index, layer in enumerate(network.layers):
        groups = range(-(-layer.outputs // lanes))
        forward = backward = 0
        for n in range(samples):
            for t in range(network.steps):
                events = sum(activity.spikes[index][n, t]) + 1
                forward += max(events, beats)
                visits["forward"] += events * len(groups)
                for group in groups:
                    part = slice(group * lanes, (group + 1) * lanes)
                    errors = 0
                    if index == 0 and activity.masks[0][n, t, part].any():
                        errors = sum(activity.errors[1][n, t])
                    visits["backward"] += errors
                    backward += max(errors, beats)
        assert work.layers[index].forward.tolist() == pytest.approx([forward / samples] * len(groups))
        assert work.layers[index].backward.sum() == pytest.approx(backward / samples)
        for source in range(layer.inputs + 1):
            for group in groups:
                part = slice(group * lanes, (group + 1) * lanes)
                met = [(source == layer.inputs or activity.spikes[index][n, t, source])
                       and activity.errors[index][n, t, part].any()
                       for n in range(samples) for t in range(network.steps)]
                visits["gradient"] += sum(met)
                assert hits_of(activity, index, lanes, bias=True)[source, group] == sum(met)
    assert work.visits == pytest.approx({engine: count / samples for engine, count in visits.items()})


def test_an_update_takes_no_less_than_its_fetch():
    network = network_of(13, 11, 5)
    silent = Activity(spikes=tuple(np.zeros((1, 4, width), bool) for width in (13, 11, 5)),
                      masks=tuple(np.zeros((1, 4, width), bool) for width in (11, 5)),
                      errors=tuple(np.zeros((1, 4, width), bool) for width in (11, 5)), source="silent")
    work = work_of(network, silent, lanes=4, units=2, batch=8)
    assert work.layers[0].update.tolist() == [14 * timing.FETCH / 8] * 3
    assert work.visits == {"forward": 4 * (3 + 2), "backward": 0, "gradient": 0}    # the biases


def test_assumed_activity_has_the_shares_it_was_asked_for():
    network = network_of(400, 800, 400, steps=8)
    activity = assumed_activity(network, spikes=0.2, errors=0.4, masked=0.5)
    found = activity.densities()
    assert found["spikes"] == pytest.approx([0.2] * 3, abs=0.02)
    assert found["errors"] == pytest.approx([0.4] * 2, abs=0.02)
    assert (by_group(activity.masks[0], 8) > 0).mean() == pytest.approx(0.5, abs=0.03)
    again = assumed_activity(network, spikes=0.2, errors=0.4, masked=0.5)
    assert all((one == two).all() for one, two in zip(activity.spikes, again.spikes, strict=True))


def test_traces_become_activity():
    network = network_of(3, 2, 1, steps=2)
    trace = [{"s": np.array([[1, 0], [0, 1]], np.uint8), "m": np.array([[1, 1], [0, 0]], np.uint8),
              "d": np.array([[0.5, 0], [0, -2]], np.float16)}, {"s": None, "m": None, "d": np.ones((2, 1), np.float16)}]
    activity = measured_activity(network, np.ones((1, 2, 3), np.uint8), [trace])
    assert activity.errors[0].tolist() == [[[True, False], [False, True]]]
    assert activity.masks[1].sum() == 0
    assert activity.spikes[1].tolist() == [[[True, False], [False, True]]]


def test_what_is_no_activity_is_refused_in_one_sentence():
    network = network_of(3, 2, 1, steps=2)
    with pytest.raises(SpecError, match=r"^the assumed share of errors must be from 0 to 1, not 1\.5$"):
        assumed_activity(network, errors=1.5)
    with pytest.raises(SpecError, match=r"^work is measured from at least one sample and its traces, not from 0"):
        measured_activity(network, np.zeros((0, 2, 3)), [])
    short = [{name: np.zeros((3, 2)) for name in "smd"}, dict.fromkeys("smd")]
    with pytest.raises(SpecError, match=r"^traces of layer 0 are of 3 steps and 2 neurons, the network has 2 and 2$"):
        measured_activity(network, np.zeros((1, 2, 3)), [short])
