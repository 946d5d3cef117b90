"""Placements: what they cost, and that the annealed one is never dearer than another."""

import numpy as np
import pytest

from autapse.sw_driver.compile.place import (
    PLACERS,
    Annealed,
    RandomBest,
    _Loads,
    cost_of,
    placed,
    placer,
)
from autapse.sw_driver.compile.plan import Cut
from autapse.sw_driver.compile.routes import Mesh
from autapse.sw_driver.compile.traffic import Flow, Traffic, link_loads, traffic_of
from autapse.sw_driver.errors import SpecError
from mapped import BATCH, LANES, network_of, plan

SEED = 41
# The uneven network of the figure: layers from wide to narrow, each on a few cores of its own, numbered in the order
# of the layers, so that row-major is their natural order.
UNEVEN = (300, 250, 200, 150, 100, 80, 60, 10)


def flow(source, *destinations, flits=1.0):
    return Flow(kind="spikes", layer=0, source=source, destinations=destinations, packets=1.0, flits=flits)


def random_traffic(rng, nodes):
    flows = []
    for source in range(nodes):
        for _ in range(rng.integers(0, 4)):
            others = rng.choice(nodes, size=rng.integers(1, min(nodes, 6) + 1), replace=False)
            flows.append(flow(source, *sorted(others.tolist()), flits=float(rng.integers(1, 100))))
    return Traffic(nodes=nodes, flows=tuple(flows))


def test_ways_go_along_the_row_first():
    mesh = Mesh(3, 2)
    assert [mesh.links[link] for link in mesh.path(0, 5)] == [(0, 1), (1, 2), (2, 5)]
    assert [mesh.links[link] for link in mesh.path(5, 0)] == [(5, 4), (4, 3), (3, 0)]
    assert mesh.path(4, 4) == []
    assert len(mesh.links) == 14
    assert Mesh(1, 5).path(4, 1) and len(Mesh(1, 5).links) == 8


def test_a_packet_for_many_takes_each_link_of_its_tree_once():
    mesh = Mesh(3, 2)
    traffic = Traffic(nodes=6, flows=(flow(0, 0, 2, 4, 5, flits=10.0), flow(3, 2, flits=1.0)))
    loads = {pair: float(load) for pair, load in zip(mesh.links, link_loads(traffic, mesh), strict=True) if load}
    assert loads == {(0, 1): 10, (1, 2): 10, (1, 4): 10, (2, 5): 10, (3, 4): 1, (4, 5): 1, (5, 2): 1}
    cost = cost_of(traffic, mesh)
    assert (cost.flit_hops, cost.maximum, cost.mean) == (43, 10, 43 / 14)
    assert cost.total == cost.mean + cost.maximum


def test_traffic_is_every_row_of_every_group():
    network = network_of(20, 21, 13, 5, steps=3)
    cuts = plan(network, 3, 1)
    traffic = traffic_of(network, cuts, lanes=8, batch=6)
    spikes = [found for found in traffic.flows if found.kind == "spikes"]
    assert sum(found.packets for found in spikes) == (3 + 2) * 3
    assert all(found.flits == 3 * found.packets for found in spikes)
    errors = [found for found in traffic.flows if found.kind == "errors"]
    assert sum(found.packets for found in errors) == (2 + 1) * 3
    weights = [found for found in traffic.flows if found.kind == "weights"]
    assert sum(found.packets for found in weights) == pytest.approx((21 * 2 + 13 * 1) / 6)
    assert all(found.flits == 6 * found.packets for found in errors + weights)
    held = {core for cut in cuts.of_layer(1) for core in [cut.core]}
    assert all(set(found.destinations) == held for found in spikes if found.layer == 1)


@pytest.mark.parametrize("mesh", [(1, 1), (2, 1), (1, 5), (3, 2), (5, 4)])
@pytest.mark.parametrize("name", list(PLACERS))
def test_a_placement_is_a_permutation_and_the_same_for_the_same_seed(name, mesh):
    nodes = mesh[0] * mesh[1]
    traffic = random_traffic(np.random.default_rng(SEED), nodes)
    method = Annealed(moves=300) if name == "annealed" else PLACERS[name]
    places = method.place(traffic, *mesh, seed=5)
    assert sorted(places.tolist()) == list(range(nodes))
    assert places.tolist() == method.place(traffic, *mesh, seed=5).tolist()


def test_serpentine_turns_every_second_row():
    traffic = Traffic(nodes=6, flows=())
    assert PLACERS["serpentine"].place(traffic, 3, 2, seed=0).tolist() == [0, 1, 2, 5, 4, 3]


def test_random_takes_the_cheapest_and_hangs_on_its_seed():
    traffic = random_traffic(np.random.default_rng(SEED), 12)
    costs = [[cost_of(traffic, Mesh(4, 3), RandomBest(count).place(traffic, 4, 3, seed=seed)).total
              for count in (1, 400)] for seed in range(4)]
    assert all(many < one for one, many in costs)
    assert len({one for one, _ in costs}) > 1


def test_what_a_swap_changes_is_what_all_flows_say():
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    for mesh in (Mesh(4, 3), Mesh(1, 5)):
        traffic = random_traffic(rng, mesh.nodes)
        loads, places = _Loads(traffic, mesh), rng.permutation(mesh.nodes)
        now = loads.all(places)
        for _ in range(60):
            one, two = rng.choice(mesh.nodes, size=2, replace=False)
            after = loads.swapped(now, places, one, two)
            places[[one, two]] = places[[two, one]]
            now = now if after is None else after
            assert np.abs(now - link_loads(traffic.moved(places), mesh)).max() < 1e-6


@pytest.mark.parametrize("number", range(10))
def test_annealed_is_never_dearer_than_another(number):
    rng = np.random.default_rng([SEED, number])
    sizes = [int(size) for size in rng.integers(20, 300, size=rng.integers(3, 8))]
    mesh = [(5, 4), (3, 2), (1, 5), (4, 3)][number % 4]
    spread = "layers" if number % 2 and len(sizes) <= mesh[0] * mesh[1] else "all"
    print(f"seed {[SEED, number]}: {sizes} on {mesh}, {spread}")
    network = network_of(*sizes)
    traffic = traffic_of(network, plan(network, *mesh, spread=spread), lanes=LANES, batch=BATCH)
    totals = {name: cost_of(traffic, Mesh(*mesh), method.place(traffic, *mesh, seed=number)).total
              for name, method in (PLACERS | {"annealed": Annealed(moves=600)}).items()}
    assert all(totals["annealed"] <= total for total in totals.values()), totals


def test_annealed_saves_a_quarter_where_traffic_is_uneven():
    network = network_of(*UNEVEN)
    traffic = traffic_of(network, plan(network, 5, 4, spread="layers"), lanes=LANES, batch=BATCH)
    row_major, annealed = (cost_of(traffic, Mesh(5, 4), PLACERS[name].place(traffic, 5, 4, seed=0))
                           for name in ("row-major", "annealed"))
    assert annealed.total <= 0.75 * row_major.total
    assert annealed.flit_hops < row_major.flit_hops


def test_cuts_move_with_their_cores():
    found = plan(network_of(64, 48, 10), 3, 2)
    moved = placed(found, np.array([3, 4, 5, 0, 1, 2]))
    assert [cut.core for cut in moved.cuts] == [(cut.core + 3) % 6 for cut in found.cuts]
    assert [(cut.layer, cut.first, cut.last) for cut in moved.cuts] == [
        (cut.layer, cut.first, cut.last) for cut in found.cuts]
    assert all(isinstance(cut, Cut) and type(cut.core) is int for cut in moved.cuts)
    with pytest.raises(ValueError, match=r"^places must be a permutation of the 6 cores, not "):
        placed(found, np.zeros(6, np.int64))


def test_another_method_can_join(monkeypatch):
    class Reversed:
        def place(self, traffic, width, height, *, seed, progress=None):
            return np.arange(width * height)[::-1]

    monkeypatch.setitem(PLACERS, "reversed", Reversed())
    assert placer("reversed").place(Traffic(nodes=2, flows=()), 2, 1, seed=0).tolist() == [1, 0]


REFUSED = [
    (lambda: placer("anneal"), (r"^there is no placement 'anneal', did you mean 'annealed'; there are row-major, "
                                r"serpentine, random, annealed$")),
    (lambda: placer("xyz"), r"^there is no placement 'xyz'; there are "),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSED)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(SpecError, match=sentence):
        call()
