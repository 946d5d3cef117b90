"""Options that several commands share, and what they mean."""

import itertools
import json
import math
import runpy
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..sw_driver.autapse import Autapse
from ..sw_driver.compile import METHODS, check_method, mesh_size
from ..sw_driver.data import SOURCES, Data
from ..sw_driver.device import Device
from ..sw_driver.device import open as open_device
from ..sw_driver.encode import ENCODERS
from ..sw_driver.errors import SpecError
from ..sw_driver.files import write_text
from ..sw_driver.network import LI, LIF, Linear, Network
from ..sw_driver.progress import Building

STEPS = 8
HIDDEN = 128

DataName = Annotated[str, typer.Option("--data", help="Data set: " + ", ".join(SOURCES) + ".")]
Net = Annotated[str | None, typer.Option("--net", help="Network: sizes such as 64-128-10, autapse:256 (or :reservoir, "
                                         ":prototype), or a .toml or .py file. "
                                         f"Without it: the data's inputs, {HIDDEN} neurons, the data's classes.")]
Steps = Annotated[int | None, typer.Option("--steps", help=f"Time steps per sample [{STEPS}, or the file's].")]
Decay = Annotated[float, typer.Option("--decay", help="Decay of every neuron of a --net given by sizes.")]
Encoder = Annotated[str, typer.Option("--encoder", help="From intensities to spikes: " + ", ".join(ENCODERS) + ".")]
Pool = Annotated[int, typer.Option("--pool", help="Merge squares of this many pixels a side (nmnist).")]
Batch = Annotated[int, typer.Option("--batch", help="Samples per update.")]
LearningRate = Annotated[float, typer.Option("--learning-rate", help="Learning rate.")]
Momentum = Annotated[float, typer.Option("--momentum", help="Momentum, from 0 to below 1.")]
LossName = Annotated[str, typer.Option("--loss", help="mse (on the chip), cross_entropy (by the host), or prototype "
                                              "(by the host, for prototypes).")]
LossScale = Annotated[float, typer.Option("--loss-scale", help="Power of two that multiplies every error.")]
Other = Annotated[float, typer.Option("--other", help="What mean squared error wants of the classes that a sample is "
                                      "not of; the right one shall reach 1.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides initial weights and the order of the samples.")]
Limit = Annotated[int | None, typer.Option("--limit", help="Use the first N training and the first N test samples.")]
Mesh = Annotated[str | None, typer.Option("--mesh", help="Simulate a mesh of columns x rows cores, such as 5x4.")]
Lanes = Annotated[int | None, typer.Option("--lanes", help="Synapses that an engine of the simulated chip, or of each "
                                           "of its cores, adds per cycle; a power of two.")]
Place = Annotated[str | None, typer.Option("--place", help="How a network is spread over the mesh: "
                                           + ", ".join(METHODS) + ".")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result to this file as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


def on_mesh(name: str, *, mesh: str | None, lanes: int | None, place: str | None) -> str:
    """The device's name with --mesh, --lanes and --place as options of it.

    Raises
    ------
    SpecError
        If the device is not simulated, has such an option already, or mesh or place is none.
    """
    given = {"mesh": mesh, "lanes": lanes, "place": place}
    given = {key: value for key, value in given.items() if value is not None}
    if not given:
        return name
    kind, _, rest = name.partition(":")
    if kind != "sim":
        raise SpecError(f"--{next(iter(given))} is for the simulated chip, not for {name}; name the device sim")
    for item in rest.split(","):
        key = item.partition("=")[0].strip()
        if key in given:
            raise SpecError(f"--{key} is given twice: the device {name} has {item} already")
    if mesh is not None:
        mesh_size(mesh)
    if place is not None:
        check_method(place)
    return kind + ":" + ",".join([*filter(None, [rest]), *(f"{key}={value}" for key, value in given.items())])


def for_network(name: str, network: Network) -> str:
    """The device's name; a chip, of a board or simulated, has the core that the network asks for if none is named."""
    kind, _, rest = name.partition(":")
    if kind not in ("sim", "serial") or network.autapse is None or "core=" in rest:
        return name
    return kind + ":" + ",".join([*filter(None, [rest]), "core=autapse"])


@contextmanager
def opened(name: str, *, quiet: bool) -> Iterator[Device]:
    """The device called `name`, closed at the end; unless `quiet`, the compilation of a simulator shows itself."""
    kind = name.partition(":")[0]
    if quiet or kind != "sim":
        says = {"notice": notice} if kind == "serial" and not quiet else {}
        with open_device(name, **says) as device:
            yield device
        return
    building = Building()
    try:
        with open_device(name, progress=building) as device:
            yield device
    finally:
        building.stop()


def notice(sentence: str) -> None:
    """Tells on standard error what goes on."""
    print(f"autapse: {sentence}", file=sys.stderr, flush=True)


def network_of(net: str | None, *, steps: int | None, decay: float, data: Data | None, name: str = "--net") -> Network:
    """The network that --net, --steps and --decay describe; `name` is what the user calls the first.

    Raises
    ------
    SpecError
        If the file is missing or damaged, or the description is refused.
    """
    if net is None:
        net = f"{data.train.inputs}-{HIDDEN}-{max(2, data.classes)}" if data is not None else f"64-{HIDDEN}-10"
    if net.endswith(".toml"):
        return _from_toml(Path(net), steps, name)
    if net.endswith(".py"):
        return _from_python(Path(net), steps, name)
    if net.partition(":")[0] == "autapse":
        return Network(_autapse(net, data, name), steps=STEPS if steps is None else steps)
    sizes = net.split("-")
    if len(sizes) < 2 or not all(size.isdecimal() for size in sizes):
        raise SpecError(f"{name} must be sizes such as 64-128-10, or a .toml or .py file, not {net!r}")
    sizes = [int(size) for size in sizes]
    modules = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        modules += [Linear(inputs, outputs), LI(decay=decay) if last else LIF(decay=decay)]
    return Network(modules, steps=STEPS if steps is None else steps)


def _autapse(net: str, data: Data | None, name: str) -> list[Autapse | Linear | LI]:
    """`autapse:256`, `autapse:156+100:prototype`, `autapse:256:reservoir`: nodes, and what is not as by default."""
    _, _, rest = net.partition(":")
    size, *words = rest.split(":")
    parts = size.split("+")
    structures, readouts = ([word for word in words if word in known] for known in (
        ("mlp", "reservoir"), ("count", "prototype", "linear")))
    reservoir = structures == ["reservoir"]
    if (not all(part.isdecimal() for part in parts) or len(structures) > 1 or len(readouts) > 1
            or len(structures) + len(readouts) < len(words) or (reservoir and len(parts) > 1)):
        raise SpecError(f"{name} must be such as autapse:256, autapse:156+100:prototype or autapse:256:reservoir, "
                        f"not {net!r}")
    inputs, classes = (data.train.inputs, max(2, data.classes)) if data is not None else (64, 10)
    nodes = sum(map(int, parts))
    options: dict = {"structure": "reservoir", "delays": min(8, nodes)} if reservoir else {}
    options |= {"segments": [int(part) for part in parts]} if len(parts) > 1 else {}
    options |= {"readout": readouts[0]} if readouts else {}
    first = Autapse(inputs, nodes, classes=classes, **options)
    if first.spec.readout != "linear":
        return [first]
    return [first, Linear(first.spec.read_nodes, classes), LI(decay=0.5)]


def _from_toml(path: Path, steps: int | None, name: str) -> Network:
    try:
        description = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read {name} {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{name} {path} is not TOML: {error}") from None
    description.setdefault("steps", STEPS)
    if steps is not None:
        description["steps"] = steps
    try:
        return Network.from_dict(description)
    except SpecError as error:
        raise SpecError(f"{name} {path}: {error}") from None


def _from_python(path: Path, steps: int | None, name: str) -> Network:
    if not path.is_file():
        raise SpecError(f"there is no {name} file {path}")
    try:
        names = runpy.run_path(str(path))
    except Exception as error:
        raise SpecError(f"{name} {path} failed: {type(error).__name__}: {error}") from error
    network = names["network"] if "network" in names else names.get("net")
    if not isinstance(network, Network):
        raise SpecError(f"{name} {path} must define `network`, an autapse.Network")
    if steps is not None and steps != network.steps:
        return Network.from_dict(network.as_dict() | {"steps": steps})
    return network


def check_positive(**values: float | None) -> None:
    """Refuses options, by their names without dashes, that are given and are not numbers above 0. Raises SpecError."""
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise SpecError(f"--{name} must be a number above 0, not {value!r}")


def write_json(path: Path | None, result: dict) -> None:
    """Writes `result` to `path` as a whole, unless `path` is None."""
    if path is not None:
        write_text(path, json.dumps(result, indent=1) + "\n")
