"""The event-level model: packets over wires, engines of a core, whole batches."""

import numpy as np
import pytest

from autapse.hw.contract.chip import ChipConfig
from autapse.hw.engine.gradient import GradientEngine
from autapse.hw.engine.lanes import Lanes
from autapse.hw.engine.loss import MeanSquaredError
from autapse.hw.engine.optimiser import MomentumDescent
from autapse.hw.engine.scan import Scanner
from autapse.hw.engine.update import UpdateEngine
from autapse.hw.engine.walk import Walker
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward
from autapse.sw_driver.compile import timing as at
from autapse.sw_driver.compile.engines import Sweep
from autapse.sw_driver.compile.predict import predict
from autapse.sw_driver.compile.routes import Mesh
from autapse.sw_driver.compile.wires import Clock, Wires
from autapse.sw_driver.compile.work import assumed_activity, work_of
from mapped import network_of, plan

SEED = 7


def sent(mesh, packets):
    """(cycle, destination, number of packet) of each arrival of (cycle, source, destinations, flits)."""
    clock, found = Clock(), []
    wires = Wires(clock, mesh)
    for number, (when, source, destinations, flits) in enumerate(packets):
        wires.send(when, source, tuple(destinations), flits,
                   lambda cycle, core, number=number: found.append((cycle, core, number)))
    clock.run()
    return found


def test_constants_are_those_of_the_gateware():
    forward, backward = (Lanes(lanes=8, units=2, products=products, width=width)
                         for products, width in ((False, 52), (True, 92)))
    assert (at.FORWARD_SUM, at.BACKWARD_SUM) == (forward.latency + 1, backward.latency + 1)
    assert at.LONE_BEAT == forward.latency - Lanes(lanes=8, units=8, products=False, width=52).latency
    assert (at.VISIT_LAG, at.SUMS) == (Walker.lag, Lanes.credits)
    assert [Scanner(ChipConfig(), errors=errors).lag for errors in (False, True)] == [at.SCAN_LAG, at.SCAN_FAR]
    assert at.HIT_LAG == GradientEngine.lag
    assert at.FORWARD_UNIT == 2 + LIFForward(width=52, fraction=24).latency
    assert at.BACKWARD_UNIT == 2 + LIFBackward(width=92, fraction=48).latency
    assert at.LOSS_LATENCY == MeanSquaredError(width=52).latency + 4
    assert at.OPTIMISER_UNIT == UpdateEngine.entry + MomentumDescent(width=52, fraction=24).latency
    assert (at.FETCH, at.GROUP_PAUSE) == (UpdateEngine.reading, UpdateEngine.pause)
    assert ChipConfig().slots == 2


@pytest.mark.parametrize("flits", [1, 3, 6])
def test_a_packet_alone_takes_two_cycles_per_link(flits):
    mesh = Mesh(4, 3)
    for source in range(mesh.nodes):
        for destination in range(mesh.nodes):
            hops = abs(source % 4 - destination % 4) + abs(source // 4 - destination // 4)
            handed = 100 + flits - 1
            assert sent(mesh, [(100, source, [destination], flits)]) == [
                (handed + 2 * (hops + 1) + flits - 1, destination, 0)]


def test_a_packet_for_many_reaches_each_as_if_it_went_alone():
    mesh, everyone = Mesh(4, 3), list(range(12))
    alone = sorted(sent(mesh, [(0, 5, [core], 3)])[0][:2] for core in everyone)
    assert sorted(found[:2] for found in sent(mesh, [(0, 5, everyone, 3)])) == alone


def test_nothing_is_lost_or_repeated_and_flows_keep_their_order():
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    mesh = Mesh(4, 3)
    packets = [(int(rng.integers(0, 400)), int(rng.integers(12)),
                sorted(rng.choice(12, size=rng.integers(1, 7), replace=False).tolist()), int(rng.choice([3, 6, 10])))
               for _ in range(500)]
    packets.sort(key=lambda packet: packet[0])
    found = sent(mesh, packets)
    assert sorted((core, number) for _, core, number in found) == sorted(
        (core, number) for number, packet in enumerate(packets) for core in packet[2])
    last = {}
    for _, core, number in sorted(found):
        flow = packets[number][1], core
        assert last.get(flow, -1) < number, f"packets from {flow[0]} to {flow[1]} changed places"
        last[flow] = number


def test_a_hot_core_takes_a_packet_in_its_time_and_no_faster():
    mesh, flits, count = Mesh(3, 3), 6, 40
    packets = [(0, core, [4], flits) for _ in range(count) for core in range(9) if core != 4]
    last = max(cycle for cycle, *_ in sent(mesh, packets))
    assert last == pytest.approx(8 * count * (flits + at.PACKET_GAP), rel=0.02)


def test_a_link_is_shared_flit_by_flit():
    """Two cores send over one link: while both do it is never idle."""
    packets = [(0, core, [core + 4], 6) for _ in range(50) for core in (0, 1)]
    found = sorted(cycle for cycle, *_ in sent(Mesh(6, 1), packets))
    assert found[80] - found[10] == pytest.approx(70 * 6, rel=0.02)


def test_an_item_takes_its_visits_and_no_bubble_between_groups():
    short, long = (Sweep(start=0, layers=1, beats=4, backward=False) for _ in range(2))
    one, many = short.item(active=True, scan=20, events=9, wanted=[True])[-1], long.item(
        active=True, scan=20, events=9, wanted=[True] * 7)[-1]
    assert many - one == 6 * 9
    assert long.busy == 7 * 9


def test_groups_without_events_cost_the_neuron_units_alone():
    sweep = Sweep(start=0, layers=1, beats=4, backward=True)
    finished = sweep.item(active=True, scan=20, events=9, wanted=[False] * 5)
    assert np.diff(finished).tolist() == [4] * 4
    assert sweep.busy == 0


def test_an_item_waits_for_its_rows():
    early, late = (Sweep(start=0, layers=2, beats=4, backward=False, gated=True) for _ in range(2))
    first = early.item(active=True, scan=20, events=9, wanted=[True])
    assert np.subtract(late.item(active=True, scan=20, events=9, wanted=[True], ready=1000), first).tolist() == [
        1000 - at.SCHEDULE_START - at.GATE]


def predicted(network, width, height, *, lanes=8, units=2, batch=5, spread="all", samples=3):
    activity = assumed_activity(network, samples=samples)
    cuts = plan(network, width, height, lanes=lanes, units=units, spread=spread)
    return predict(network, cuts, activity, lanes=lanes, units=units, batch=batch), activity


@pytest.mark.parametrize(("sizes", "mesh", "lanes"), [((64, 37, 10), (2, 1), 8), ((30, 21, 13, 5), (1, 5), 4),
                                                      ((64, 48, 10), (3, 2), 8), ((20, 9, 3), (5, 4), 16)])
def test_visits_do_not_depend_on_the_mesh(sizes, mesh, lanes):
    network = network_of(*sizes)
    one, activity = predicted(network, 1, 1, lanes=lanes, batch=3)
    many, _ = predicted(network, *mesh, lanes=lanes, batch=3)
    work = work_of(network, activity, lanes=lanes, units=2, batch=3)
    for engine, visits in work.visits.items():
        assert many.busy[engine].sum() == one.busy[engine].sum() == round(visits * activity.samples)
    assert many.flits.sum() > 0
    assert one.cycles > many.cycles or mesh == (5, 4)   # a network so small only waits on twenty cores


def test_the_anchor_network_on_twenty_cores_is_twelve_times_as_fast():
    network = network_of(784, 512, 256, 10)
    one, _ = predicted(network, 1, 1, batch=2, samples=1)
    many, _ = predicted(network, 5, 4, batch=2, samples=1)
    assert one.cycles / many.cycles > 12
    assert many.per_sample == many.cycles / 2
    assert len(many.parts["forward"]) == len(many.parts["backward"]) == 2


def test_no_core_is_faster_than_its_visits():
    network = network_of(200, 150, 10)
    found, _ = predicted(network, 3, 1, batch=6)
    longest = np.maximum(found.busy["forward"], found.busy["backward"]) + found.busy["gradient"]
    assert found.cycles >= longest.max()
    assert found.update < found.cycles
