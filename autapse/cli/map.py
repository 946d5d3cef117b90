"""`autapse map`: which core of a mesh holds what, and how long a batch will take there."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ..sw_driver.compile.mapping import Mapping, as_dict, map_network
from ..sw_driver.compile.methods import EVEN, METHODS, check_method, mesh_size
from ..sw_driver.compile.partition import SPREADS
from ..sw_driver.compile.work import Activity, measured_activity
from ..sw_driver.data import load_data
from ..sw_driver.errors import SpecError
from ..sw_driver.half import whole
from ..sw_driver.loss import Loss
from ..sw_driver.network import Network, TrainingSpec
from ..sw_driver.progress import Building
from . import options as given

_WIDTH = 120   # of what is written to a file


def map_command(
    net: Annotated[str, typer.Argument(metavar="NET", help="Network: sizes such as 784-512-256-10, or a .toml or .py "
                                       "file.")],
    mesh: Annotated[str, typer.Option("--mesh", help="Columns x rows of cores.")] = "5x4",
    lanes: Annotated[int, typer.Option("--lanes", help="Synapses that an engine adds per cycle.")] = 8,
    units: Annotated[int | None, typer.Option("--units", help="Neurons that a neuron unit finishes per cycle [2].")]
    = None,
    place: Annotated[str, typer.Option("--place", help="Cuts and placement, as for train: "
                                      + ", ".join(METHODS) + ".")] = EVEN,
    spread: Annotated[str, typer.Option("--spread", help="all: any core takes of any layer; layers: layers on cores of "
                                        "their own.")] = SPREADS[0],
    seed: given.Seed = 0,
    steps: given.Steps = None,
    decay: given.Decay = 0.5,
    batch: given.Batch = 32,
    momentum: given.Momentum = 0.9,
    synapses: Annotated[int | None, typer.Option("--synapses", help="Rows of synapses that a core has [as many as it "
                                                 "takes].")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Measure the work on the first batch of this data set, "
                                             "with initial weights [assumed].")] = None,
    encoder: given.Encoder = "rate",
    pool: given.Pool = 1,
    json: given.Json = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw mesh, cuts and link loads into this .svg, .png or "
                                              ".pdf file.")] = None,
    quiet: given.Quiet = False,
) -> int:
    """Cut a network over the cores of a mesh, place the cuts, and predict cycles, link loads and memory."""
    width, height = mesh_size(mesh)
    check_method(place)
    _check_core(lanes, units)
    if plot is not None:
        from ..verification.bench.show import check_format
        check_format(plot)
    network = given.network_of(net, steps=steps, decay=decay, data=None, name="NET")
    training = TrainingSpec(batch=batch, momentum=momentum)
    activity = None if data is None else _measured(network, training, data, encoder=encoder, pool=pool, seed=seed)
    news = None if quiet else Building()
    try:
        found = map_network(network, width, height, lanes=lanes, units=units, training=training, method=place,
                            seed=whole(seed, "seed", least=0), spread=spread, synapses=synapses, activity=activity,
                            progress=news)
    finally:
        if news is not None:
            news.stop()
    if plot is not None:
        from ..sw_driver.report.mesh import write_plot
        write_plot(found, plot)
    given.write_json(json, {"command": "map", **as_dict(found)})
    if not quiet:
        console = Console()
        _print(found, console if console.is_terminal else Console(width=_WIDTH, file=sys.stdout))
        for path in filter(None, (json, plot)):
            typer.echo(f"written: {path}")
    return 0


def _check_core(lanes: int, units: int | None) -> None:
    """Refuses lanes and units that a core of a mesh cannot have."""
    for name, value, most in (("lanes", lanes, 16), ("units", units, lanes)):
        if value is not None and (value < 1 or value & (value - 1) or value > most):
            raise SpecError(f"--{name} must be a power of two from 1 to {most}, not {value}")


def _measured(network: Network, training: TrainingSpec, name: str, *, encoder: str, pool: int, seed: int) -> Activity:
    """What the network does on the first batch of a data set, by the golden model."""
    from ..sw_driver.device import open as open_device
    from ..sw_driver.trainer import check_fit
    samples = load_data(name, encoder=encoder, pool=pool).train.first(training.batch)
    loss = Loss(network, training)
    check_fit(samples, network, loss, f"data {name}")
    spikes = samples.spikes(np.arange(len(samples)), network.steps)
    with open_device("golden") as device:
        device.load(network, training)
        device.write_state(network.initial_state(seed))
        result = device.accumulate(spikes, **loss.request(samples.labels), capture=True)
    assert result.traces is not None, "accumulate(capture=True) gives traces"
    return measured_activity(network, spikes, result.traces,
                             source=f"measured: {len(samples)} samples of {name}, initial weights of seed {seed}")


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="italic", header_style="bold", box=box.SIMPLE_HEAD,
                  pad_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < left else "right", overflow="fold")
    return table


def _print(found: Mapping, console: Console) -> None:
    told, alone, plan = found.prediction, found.alone, found.plan
    console.print(f"{found.network} on {plan.mesh_width}x{plan.mesh_height} cores of {found.lanes} lanes and "
                  f"{found.units} units, {found.network.steps} steps, batches of {found.training.batch}", style="bold",
                  highlight=False)
    console.print(f"work {found.activity.source}", highlight=False)
    _print_cores(found, console)
    table = _table("placement (even has cuts of its own), flits per sample", "method", "mean of links", "fullest link",
                   "cost", "to row-major", "flit-hops")
    for name, cost in found.costs.items():
        share = cost.total / found.costs["row-major"].total - 1 if found.costs["row-major"].total else 0.0
        table.add_row(f"{name} *" if name == found.method else name, f"{cost.mean:,.1f}", f"{cost.maximum:,.1f}",
                      f"{cost.total:,.1f}", f"{100 * share:+.1f} %", f"{cost.flit_hops:,.0f}")
    console.print(table)
    fullest = sorted(zip(told.flits, told.links, strict=True), key=lambda link: (-link[0], link[1]))[:5]
    if fullest:
        console.print("fullest links: " + ", ".join(f"{one} to {two}: {flits:,.0f} ({flits / told.per_sample:.0%})"
                                                    for flits, (one, two) in fullest) + " flits per sample (of cycles)",
                      highlight=False)
    bound = "of all plans the best" if found.exact else (
        f"at most {found.balance.longest / found.balance.bound - 1:.0%} above the best plan")
    console.print(f"work of the longest core: {found.balance.longest:,.0f} cycles per sample, {bound}", highlight=False)
    console.print(f"predicted: {told.per_sample:,.0f} cycles per sample, {told.cycles:,} per batch of {told.samples}, "
                  f"{told.update:,} of them update", highlight=False)
    console.print(f"one core alone: {alone.per_sample:,.0f} cycles per sample, "
                  f"{alone.per_sample / told.per_sample:.1f} times as many", highlight=False)


def _print_cores(found: Mapping, console: Console) -> None:
    table = _table("cores", "core", "place", "cuts (layer: neurons)", "work", "forward", "backward", "gradient",
                   "synapse rows", "memory, kbit", left=3)
    samples = found.prediction.samples
    for core in range(found.plan.nodes):
        cuts = ", ".join(f"{layer}: {cut.first}-{cut.last - 1}" for layer, cut in found.plan.of_core(core).items())
        table.add_row(str(core), f"{core % found.plan.mesh_width},{core // found.plan.mesh_width}", cuts or "(empty)",
                      f"{found.balance.cores[core]:,.0f}",
                      *(f"{found.prediction.busy[engine][core] / samples:,.0f}"
                        for engine in ("forward", "backward", "gradient")),
                      f"{found.rows[core]['synapses']:,}", f"{sum(found.bits[core].values()) / 1000:,.0f}")
    console.print(table)
    console.print("work: cycles per sample that the core cannot be faster than; then visits per sample by engine",
                  highlight=False)
