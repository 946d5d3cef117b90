"""Plans of networks for meshes, the chip that a plan needs, and what is refused."""

import itertools
import re

import numpy as np
import pytest

import autapse as ap
from autapse.hw.contract.chip import ChipConfig
from autapse.hw.contract.program import REGISTERS, Space, length, offsets
from autapse.sw_driver.compile import Cut, Plan, compile_mesh, even_plan, fit_mesh, mesh_size, plan_by
from autapse.sw_driver.devices.sim import MeshSimDevice
from autapse.sw_driver.errors import DeviceError, Misfit, SpecError
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

TRAINING = TrainingSpec(batch=16)


def network_of(*sizes, steps=4):
    modules = []
    for inputs, outputs in itertools.pairwise(sizes):
        modules += [Linear(inputs, outputs), LIF()]
    return Network([*modules[:-1], LI()], steps=steps)


ANCHOR = network_of(784, 512, 256, 10)


@pytest.mark.parametrize("width, height, lanes", [(1, 1, 8), (2, 1, 8), (3, 2, 4), (1, 5, 16), (5, 4, 8), (5, 4, 1)])
def test_an_even_plan_cuts_every_layer_whole_and_evenly(width, height, lanes):
    plan = even_plan(ANCHOR, width, height, lanes)
    assert plan == even_plan(ANCHOR, width, height, lanes) == plan_by(
        "even", ANCHOR, TRAINING, mesh_width=width, mesh_height=height, lanes=lanes)
    load = np.zeros(plan.nodes)
    for index, layer in enumerate(ANCHOR.layers):
        cuts = plan.of_layer(index)
        groups = [-(-cut.outputs // lanes) for cut in cuts]
        assert [cut.first for cut in cuts] == [0, *(cut.last for cut in cuts[:-1])] and cuts[-1].last == layer.outputs
        assert max(groups) - min(groups) <= 1 and len(cuts) == min(plan.nodes, -(-layer.outputs // lanes))
        for cut, count in zip(cuts, groups, strict=True):
            load[cut.core] += count * lanes * (layer.inputs + 1)
    # What does not go evenly is one group of the largest layer and one of the next at most.
    assert load.max() - load.min() <= lanes * (785 + 513)
    fit_mesh(ANCHOR, TRAINING, plan, lanes=lanes)


def test_remainders_go_to_the_cores_that_have_least():
    plan = even_plan(network_of(9, 20, 12, 4), 4, 1, 4)
    groups = [[(cut.core, cut.outputs) for cut in plan.of_layer(layer)] for layer in range(3)]
    # The layer of 12 has most work per group, so it goes first; then the layer of 20, whose fifth group and the only
    # group of the last go to the core that the first left empty.
    assert groups == [[(0, 4), (1, 4), (2, 4), (3, 8)], [(0, 4), (1, 4), (2, 4)], [(3, 4)]]


def test_similar_networks_share_a_mesh():
    configs = {fit_mesh(net, TRAINING, even_plan(net, 3, 2, 4), lanes=4)
               for net in (network_of(60, 50, 10), network_of(62, 52, 11))}
    assert len(configs) == 1
    config = configs.pop()
    assert (config.nodes, config.outbox, config.step_slots, config.units) == (6, 64, 8, 2)
    assert config.routes == 16 and config.remote_rows == 16
    assert all(value & value - 1 == 0 for name, value in vars(config).items()
               if name.endswith(("rows", "words")) or name in ("synapses", "events", "neurons"))


@pytest.mark.parametrize("cuts, message", [
    ([(0, 0, 8, 0), (0, 8, 12, 1), (1, 0, 5, 6)],
     "the plan has a cut of layer 1 at core 6; the mesh has cores 0 to 5"),
    ([(0, 0, 8, 0), (0, 9, 12, 1), (1, 0, 5, 2)],
     "the plan cuts layer 0 from neuron 9 to 12 where a cut must start at neuron 8 and not be empty"),
    ([(0, 0, 6, 0), (0, 6, 12, 1), (1, 0, 5, 2)],
     "the plan cuts layer 0 at neuron 6, which is no multiple of the 4 lanes"),
    ([(0, 0, 8, 1), (0, 8, 12, 1), (1, 0, 5, 2)],
     "the plan has two cuts of layer 0 at core 1; one core takes one"),
    ([(0, 0, 8, 0), (1, 0, 5, 2)], "the plan ends layer 0 at neuron 8 of 12"),
    ([(0, 0, 12, 0), (1, 0, 5, 2), (2, 0, 5, 2)], "the plan cuts a layer 2, which 7-12-5 does not have"),
])
def test_a_plan_of_another_network_is_refused(cuts, message):
    plan = Plan(mesh_width=3, mesh_height=2, cuts=tuple(
        Cut(layer=layer, first=first, last=last, core=core) for layer, first, last, core in cuts))
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        fit_mesh(network_of(7, 12, 5), None, plan, lanes=4)


@pytest.mark.parametrize("depth, message", [
    ({"synapses": 4096},
     ("network 784-512-256-10 needs 12120 rows of synapses at core 0, 8024 more than the 4096 that each core has; "
     "the cut of layer 0 at core 0 (neurons 0 to 31) takes 10528; use fewer synapses, or train without momentum; or "
     "use more cores, or larger ones")),
    ({"routes": 90},
     ("network 784-512-256-10 needs 96 groups of mirrored inputs at core 16, 6 more than the 90 that each core has; "
     "the cut of layer 1 at core 16 (neurons 224 to 231) takes 64; use narrower layers; or use more cores, or larger "
     "ones")),
    ({"step_slots": 2},
     ("network 784-512-256-10 needs 4 steps of a sample at core 0, 2 more than the 2 that each core has; use fewer "
     "steps; or use more cores, or larger ones")),
])
def test_a_core_that_is_too_small_is_named(depth, message):
    plan = even_plan(ANCHOR, 5, 4, 8)
    config = fit_mesh(ANCHOR, TRAINING, plan, **depth)
    with pytest.raises(Misfit, match=f"^{re.escape(message)}$"):
        compile_mesh(ANCHOR, TRAINING, config, plan)


@pytest.mark.parametrize("network, plan, message", [
    (network_of(3, 2, steps=257), None, "a mesh takes at most 256 steps per sample, 3-2 has 257; use fewer"),
    (network_of(*[2] * 18), None, f"a mesh takes at most 16 layers, {'-'.join('2' * 18)} has 17; use fewer"),
    (network_of(3, 8193, 2), Plan(mesh_width=2, mesh_height=1, cuts=(
        Cut(layer=0, first=0, last=8193, core=1), Cut(layer=1, first=0, last=2, core=0))),
     ("the cut of layer 0 at core 1 (neurons 0 to 8192) is 4097 groups of neurons, 1 more than the 4096 that a core of "
     "a mesh takes; spread the layer over more cores")),
])
def test_what_no_mesh_takes_is_refused(network, plan, message):
    with pytest.raises(Misfit, match=f"^{re.escape(message)}$"):
        fit_mesh(network, None, plan or even_plan(network, 2, 1, 2), lanes=2)


def test_a_layer_that_no_cut_fits_is_named():
    network = network_of(9000, 9000, 10)
    plan = even_plan(network, 2, 1, 8)
    with pytest.raises(Misfit, match=r"rows of synapses of 8 words are more than the 2097152 that the host can reach "
                       r"at a core; the cut of layer 0 at core 0 \(neurons 0 to 4503\) takes "):
        compile_mesh(network, TRAINING, fit_mesh(network, TRAINING, plan), plan)


def test_a_plan_for_another_mesh_and_a_chip_that_does_not_train_are_refused():
    network = network_of(7, 12, 5)
    plan = even_plan(network, 3, 2, 4)
    config = fit_mesh(network, TRAINING, plan, lanes=4)
    with pytest.raises(Misfit, match=r"^the plan is for a mesh of 3x2 cores, the chip has 2x3; make the plan for this "
                       r"chip$"):
        compile_mesh(network, TRAINING, config.replace(mesh_width=2, mesh_height=3), plan)
    with pytest.raises(Misfit, match="was built for inference"):
        compile_mesh(network, TRAINING, config.replace(training=False), plan)


def test_registers_of_all_keep_those_of_each():
    network = network_of(7, 12, 5)
    pytest.importorskip("amaranth")
    from mesh_model import ModelDevice
    with ModelDevice(even_plan(network, 3, 1, 4), lanes=4) as device:
        device.load(network, TRAINING)
        cores = device._cores
        for number, program in enumerate(cores.programs):
            program.registers["mirror_rows"] = 0x1_2345 + 0x2_0000 * number
        cores.write_program()
        cores.write_registers({"rate": 0x3C00, "used_words": 9})
        for number, core in enumerate(device._bus.cores):
            registers = core.registers
            assert len(core.memories[Space.REGISTERS]) == length(REGISTERS) > offsets(REGISTERS)["overflow"]
            assert (registers["mirror_rows"], registers["rate"]) == (0x1_2345 + 0x2_0000 * number, 0x3C00)
            assert registers["used_words"] == 9 and registers["steps"] == 4
            assert all(registers[name] == cores.programs[number].registers[name] for name in ("present", "classes"))
        assert {core.registers["classes"] for core in device._bus.cores} == {4, 1, 0}


# Names of devices

def test_a_name_opens_a_mesh():
    with ap.open("sim:mesh=3x2,lanes=4,units=1") as device:
        assert isinstance(device, MeshSimDevice)
        config = device._choose(ANCHOR, TRAINING)
        assert (config.mesh_width, config.mesh_height, config.lanes, config.units) == (3, 2, 4, 1)
        assert device.place == "even" and device._gradient.startswith("at the batch's end")
    with ap.open("sim:mesh=1x1") as device:
        assert not isinstance(device, MeshSimDevice)


def test_a_plan_of_ones_own_is_taken():
    network = network_of(7, 12, 5)
    plan = Plan(mesh_width=2, mesh_height=1, cuts=(Cut(layer=0, first=0, last=12, core=1),
                                                   Cut(layer=1, first=0, last=5, core=0)))
    with ap.open("sim", mesh="2x1", plan=plan, lanes=4) as device:
        config = device._choose(network, TRAINING)
        assert device.plan(network, TRAINING, config) == plan and device.place == "given"
    with pytest.raises(DeviceError, match=r"^the plan is for a mesh of 2x1 cores, not of 3x1$"):
        ap.open("sim", mesh="3x1", plan=plan)


@pytest.mark.parametrize("name, error, message", [
    ("sim:mesh=0x3", SpecError, "a mesh has from 1 to 20 cores, 0x3 is 0"),
    ("sim:mesh=7x3", SpecError, "a mesh has from 1 to 20 cores, 7x3 is 21"),
    ("sim:mesh=5", SpecError, "a mesh is columns x rows, such as 5x4, not 5"),
    ("sim:mesh=-1x2", SpecError, "a mesh is columns x rows, such as 5x4, not '-1x2'"),
    ("sim:mesh=2x2x2", SpecError, "a mesh is columns x rows, such as 5x4, not '2x2x2'"),
    ("sim:mesh=2x1,place=best", SpecError, "there is no placement 'best'; there are "),
    ("sim:place=even", DeviceError, "place is for a mesh of cores; give mesh too, such as mesh=5x4"),
    ("sim:mesh_width=2", DeviceError, "the simulated chip takes its mesh as columns x rows, such as mesh=5x4"),
    ("sim:mesh=2x1,gradient=running", DeviceError, "the cores of a mesh form their gradient at the batch's end"),
])
def test_a_device_that_is_no_mesh_is_refused(name, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        ap.open(name)


@pytest.mark.parametrize("options, message", [
    ("lanes=3", "the simulated chip cannot be built: lanes must be a power of two from 1 to 32, not 3"),
    ("lanes=32", "the simulated chip cannot be built: a mesh takes at most 16 lanes and 16 layers, not 32 and 4"),
    ("shared=true", "the simulated chip cannot be built: a mesh needs engines side by side"),
])
def test_a_mesh_that_cannot_be_built_is_refused(options, message):
    with ap.open(f"sim:mesh=2x1,{options}") as device, pytest.raises(DeviceError, match=f"^{re.escape(message)}"):
        device.load(ANCHOR, TRAINING)


def test_sizes_of_a_mesh():
    assert mesh_size("5x4") == (5, 4) and mesh_size("1x1") == (1, 1)
    assert ChipConfig(mesh_width=5, mesh_height=4).nodes == 20
