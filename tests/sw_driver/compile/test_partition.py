"""Cuts of layers over cores: whole, balanced by work, as good as the best where all were tried."""

import itertools

import numpy as np
import pytest

from autapse.sw_driver.compile.balance import balance
from autapse.sw_driver.compile.partition import is_exact, partition
from autapse.sw_driver.compile.plan import Cut, Plan
from autapse.sw_driver.compile.work import LayerWork, Work
from autapse.sw_driver.errors import Misfit, SpecError
from autapse.sw_driver.network import TrainingSpec
from mapped import network_of, work

SEED = 23
# Sizes, mesh, lanes: lanes that do not divide a layer, meshes in a row and in a column, more cores than groups.
SHAPES = [((64, 48, 10), (2, 1), 8), ((30, 21, 13, 5), (1, 5), 4), ((64, 37, 10), (3, 2), 8),
          ((20, 9, 3), (5, 4), 8), ((300, 130, 70, 10), (4, 3), 16), ((12, 7), (2, 2), 1)]


def check_whole(plan, network, lanes):
    for index, layer in enumerate(network.layers):
        cuts = plan.of_layer(index)
        assert [cut.first for cut in cuts] == [0, *(cut.last for cut in cuts[:-1])]
        assert cuts[-1].last == layer.outputs
        assert all(cut.first % lanes == 0 and cut.outputs > 0 for cut in cuts)
        assert len({cut.core for cut in cuts}) == len(cuts), "a core has two cuts of a layer"
    assert all(0 <= cut.core < plan.nodes for cut in plan.cuts)
    assert list(plan.cuts) == sorted(plan.cuts)


@pytest.mark.parametrize(("sizes", "mesh", "lanes"), SHAPES)
@pytest.mark.parametrize("spread", ["all", "layers"])
def test_every_neuron_is_in_one_cut(sizes, mesh, lanes, spread):
    network = network_of(*sizes)
    if spread == "layers" and len(sizes) - 1 > mesh[0] * mesh[1]:
        return
    load = work(network, lanes=lanes, units=1)
    found = partition(network, load, *mesh, spread=spread)
    check_whole(found, network, lanes)
    assert found == partition(network, load, *mesh, spread=spread), "the same input gave another plan"
    even = balance(found, load)
    assert even.longest >= even.bound * (1 - 1e-9)
    if spread == "layers":
        assert all(len(found.of_core(core)) <= 1 for core in range(found.nodes))


def random_work(rng, groups):
    def layer(count):
        return LayerWork(forward=rng.integers(5, 30, count).astype(float), backward=rng.integers(1, 40, count) * 1.0,
                         update=rng.integers(1, 20, count) * 1.0, scan_forward=float(rng.integers(0, 30)),
                         scan_backward=float(rng.integers(0, 20)), history=float(rng.integers(0, 40)), item=1.0)
    return Work(lanes=2, units=1, layers=tuple(layer(count) for count in groups), visits={}, source="random")


def longest_of(work, owners):
    """The longest core where group g of layer l is at owners[l][g], counted group by group."""
    cores = {core for layer in owners for core in layer}
    times = []
    for core in cores:
        forward = backward = history = update = 0.0
        for part, layer in zip(work.layers, owners, strict=True):
            mine = [group for group, owner in enumerate(layer) if owner == core]
            if mine:
                forward += max(sum(part.forward[mine]), part.scan_forward) + part.item
                backward += max(sum(part.backward[mine]), part.scan_backward) + part.item
                history += part.history
                update += sum(part.update[mine])
        times.append(max(forward, backward, history) + update)
    return max(times)


def contiguous(owners):
    return all(len([core for core, _ in itertools.groupby(layer)]) == len(set(layer)) for layer in owners)


@pytest.mark.parametrize(("groups", "mesh"), [((4, 3), (2, 1)), ((3, 2, 2), (1, 2)), ((4, 2), (3, 1)), ((5,), (2, 2))])
def test_small_plans_are_the_best_of_all(groups, mesh):
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    nodes = mesh[0] * mesh[1]
    network = network_of(6, *(2 * count for count in groups))
    for _ in range(3):
        load = random_work(rng, groups)
        assert is_exact(load, nodes)
        best = min(longest_of(load, owners) for owners in itertools.product(
            *(itertools.product(range(nodes), repeat=count) for count in groups)) if contiguous(owners))
        assert balance(partition(network, load, *mesh), load).longest == pytest.approx(best)


def test_layers_on_cores_of_their_own_are_the_best_of_their_kind():
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    groups, nodes = (4, 2), 4
    network = network_of(6, *(2 * count for count in groups))
    for _ in range(5):
        load = random_work(rng, groups)
        best = min(longest_of(load, owners) for owners in itertools.product(
            *(itertools.product(range(nodes), repeat=count) for count in groups))
            if contiguous(owners) and not set(owners[0]) & set(owners[1]))
        assert balance(partition(network, load, 2, 2, spread="layers"), load).longest == pytest.approx(best)


def test_balance_counts_what_a_plan_has():
    print(f"seed {SEED}")
    load = random_work(np.random.default_rng(SEED), (4, 3))
    plan = Plan(mesh_width=3, mesh_height=1, cuts=(
        Cut(layer=0, first=0, last=2, core=1), Cut(layer=0, first=2, last=8, core=0),
        Cut(layer=1, first=0, last=4, core=0), Cut(layer=1, first=4, last=5, core=1)))
    found = balance(plan, load)
    assert found.longest == pytest.approx(longest_of(load, [[1, 0, 0, 0], [0, 0, 1]]))
    assert found.cores[2] == 0


def test_the_anchor_network_is_near_its_bound_and_far_from_one_core():
    network = network_of(784, 512, 256, 10)
    load = work(network)
    found, one = balance(partition(network, load, 5, 4), load), balance(partition(network, load, 1, 1), load)
    assert found.longest <= 1.05 * found.bound
    assert one.longest / found.longest >= 18


def test_work_and_not_neurons_is_balanced():
    """Neurons of the first half of a layer have masks, so all the backward work."""
    network = network_of(4, 64, 40)
    backward = np.array([200.0] * 4 + [1.0] * 4)
    load = Work(lanes=8, units=1, source="uneven", visits={}, layers=(
        LayerWork(forward=np.ones(8), backward=backward, update=np.ones(8), scan_forward=0.0, scan_backward=0.0,
                  history=0.0, item=0.0),
        LayerWork(forward=np.ones(5), backward=np.ones(5), update=np.ones(5), scan_forward=0.0, scan_backward=0.0,
                  history=0.0, item=0.0)))
    plan = partition(network, load, 2, 1)
    assert sorted(cut.outputs for cut in plan.of_layer(0)) == [16, 48]
    assert balance(plan, load).longest < 420


REFUSED = [
    ({"mesh": (0, 4)}, SpecError, r"^columns of a mesh must be at least 1, not 0$"),
    ({"mesh": (7, 3)}, SpecError, r"^a mesh of 7x3 has 21 cores, a chip at most 20; choose a smaller one$"),
    ({"spread": "wide"}, SpecError, r"^spread must be all or layers, not 'wide'$"),
    ({"mesh": (1, 1), "spread": "layers"}, SpecError,
     r"^spread 'layers' needs a core per layer, 2 for 64-40-10, the mesh has 1; use spread 'all' or a larger mesh$"),
    ({"synapses": 200}, Misfit, (
        r"^no cut of layer 0 of 64-40-10 fits: a core with one group of 8 of its neurons needs 264 rows of synapses, "
        r"it has 200, 64 too few; use fewer inputs or cores with more synapses$")),
    ({"synapses": 400}, Misfit, (
        r"^64-40-10 needs 1,464 rows of synapses, 2 cores of 400 have 664 too few; layer 0 alone takes 1,080: make it "
        r"smaller, or use a larger mesh or cores with more synapses$")),
]


@pytest.mark.parametrize(("change", "kind", "sentence"), REFUSED)
def test_what_does_not_go_is_refused_in_one_sentence(change, kind, sentence):
    options = {"mesh": (2, 1)} | change
    network = network_of(64, 40, 10)
    with pytest.raises(kind, match=sentence):
        partition(network, work(network), *options.pop("mesh"), training=TrainingSpec(), **options)


def test_a_core_never_has_more_synapses_than_it_can():
    network, training = network_of(64, 40, 10), TrainingSpec()
    free = partition(network, work(network), 2, 1, training=training)
    tight = partition(network, work(network), 2, 1, training=training, synapses=796)
    rows = [sum(216 * -(-cut.outputs // 8) if cut.layer == 0 else 144 * -(-cut.outputs // 8)
                for cut in tight.cuts if cut.core == core) for core in range(2)]
    widest = max(-(-cut.outputs // 8) for cut in tight.of_layer(0))
    assert max(rows) + 16 * widest <= 796
    check_whole(free, network, 8)
    check_whole(tight, network, 8)


def test_too_many_layers_or_lanes_are_refused():
    deep = network_of(*[4] * 18)
    with pytest.raises(Misfit, match=r"has 17 layers, a mesh takes at most 16; use fewer layers$"):
        partition(deep, work(deep), 2, 1)
    wide = network_of(64, 64)
    with pytest.raises(Misfit, match=r"^a mesh takes at most 16 lanes, not 32; use fewer$"):
        partition(wide, work(wide, lanes=32), 2, 1)
