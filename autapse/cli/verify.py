"""`autapse verify`: one program on two devices, every word compared."""

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from ..sw_driver.data import load_data
from ..sw_driver.errors import SpecError
from ..sw_driver.half import whole
from ..sw_driver.network import TrainingSpec
from ..sw_driver.progress import counting
from ..sw_driver.verify import verify as compare
from . import options as given


def _pair(text: str) -> list[str]:
    """Two device names from "golden,sim:lanes=8,units=2": a comma with key=value after it continues a name."""
    names: list[str] = []
    for piece in text.split(","):
        if names and "=" in piece and ":" not in piece:
            names[-1] += f",{piece}"
        else:
            names.append(piece)
    if len(names) != 2:
        raise SpecError(f"--devices must name two devices, such as golden,sim, not {text!r}")
    return names


def verify(
    devices: Annotated[str, typer.Option("--devices", help="The two devices, separated by a comma.")] = "golden,sim",
    mesh: given.Mesh = None,
    lanes: given.Lanes = None,
    place: given.Place = None,
    data: given.DataName = "digits",
    net: given.Net = None,
    steps: given.Steps = None,
    decay: given.Decay = 0.5,
    encoder: given.Encoder = "rate",
    pool: given.Pool = 1,
    batch: given.Batch = 8,
    epochs: Annotated[int, typer.Option("--epochs", help="Epochs.")] = 1,
    learning_rate: given.LearningRate = 0.3,
    momentum: given.Momentum = 0.9,
    loss: given.LossName = "mse",
    loss_scale: given.LossScale = 256.0,
    other: given.Other = 0.0,
    seed: given.Seed = 0,
    limit: given.Limit = 32,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Train on two devices side by side and compare every readout, trace and weight; exit 1 if any word differs."""
    names = _pair(devices)
    # The options are for those of the two that are simulated; if none is, for the second, which says so.
    simulated = [index for index, name in enumerate(names) if name.partition(":")[0] == "sim"] or [1]
    for index in simulated:
        names[index] = given.on_mesh(names[index], mesh=mesh, lanes=lanes, place=place)
    whole(epochs, "epochs", least=1)
    source = load_data(data, encoder=encoder, pool=pool).first(limit)
    network = given.network_of(net, steps=steps, decay=decay, data=source)
    names = [given.for_network(name, network) for name in names]
    training = TrainingSpec(learning_rate=learning_rate, momentum=momentum, batch=batch, loss=loss,
                            loss_scale=loss_scale)
    with ExitStack() as stack:
        one, two = (stack.enter_context(given.opened(name, quiet=quiet)) for name in names)
        pair = (one, two)
        if quiet:
            result = compare(network, pair, source, training=training, epochs=epochs, seed=seed,
                             other=other)
        else:
            with counting("batches") as advance:
                result = compare(network, pair, source, training=training, epochs=epochs, seed=seed,
                                 other=other, on_batch=advance)
    given.write_json(json, {"command": "verify", "data": source.name, "network": network.as_dict(), "seed": seed,
                            **result.as_dict()})
    if not quiet:
        typer.echo(f"{network}, {network.steps} steps, {result.batches} batches on {names[0]} and {names[1]}")
        for line in result.lines():
            typer.echo(line)
    if not result.equal:
        print(f"autapse: {result.complaint()}", file=sys.stderr)
        return 1
    return 0
