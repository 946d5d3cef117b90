"""`autapse estimate`: what a board will do with a network, before anything is built."""

from typing import Annotated

import typer

from ..sw_driver.compile.work import SPIKES, assumed_activity
from ..sw_driver.errors import SpecError
from ..sw_driver.network import TrainingSpec
from . import options as given
from .board import (
    BatchSize,
    BoardName,
    Inference,
    LaneCount,
    MeshSize,
    Sequenced,
    UnitCount,
    chip_of,
    console,
    find_board,
)

BAUD = 3_000_000


def estimate(
    board: BoardName,
    net: Annotated[str, typer.Option("--net", help="Network: sizes such as 784-64-10, or a .toml or .py file.")],
    mesh: MeshSize = None,
    lanes: LaneCount = None,
    units: UnitCount = None,
    inference: Inference = False,
    sequenced: Sequenced = False,
    tailored: Annotated[bool, typer.Option("--tailored", help="A chip whose memories are made for the network, instead "
                                           "of the board's preset.")] = False,
    steps: given.Steps = None,
    batch: BatchSize = 16,
    momentum: given.Momentum = 0.9,
    baud: Annotated[int, typer.Option("--baud", help="Bits per second on the line.")] = BAUD,
    clock: Annotated[float | None, typer.Option("--clock", help="MHz, instead of the estimated Fmax.")] = None,
    spikes: Annotated[float, typer.Option("--spikes", help="Share of neurons that spike in a step.")] = SPIKES,
    data: Annotated[str | None, typer.Option("--data", help="Take the spikes of the inputs from this data set, as "
                                             "autapse train names it [that of --measure].")] = None,
    measure: Annotated[str | None, typer.Option("--measure", metavar="DATA", help="Count the chip's cycles too, in "
                                                "simulation of its RTL on the first two batches of this data set "
                                                "(minutes).")] = None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Tell in seconds whether a chip fits a board, how fast it is, and what it and the line do with a network."""
    from ..sw_driver.estimate import activity_on
    from ..sw_driver.estimate import estimate as told_of
    given.check_positive(clock=clock, baud=baud)
    if measure is not None and inference:
        raise SpecError("--measure trains the chip, so it does not go with --inference")
    chosen = find_board(board)
    tailored = tailored or any(value is not None for value in (mesh, lanes, units))
    asked = net if tailored else None
    network = given.network_of(net, steps=steps, decay=0.5, data=None)
    training = None if inference else TrainingSpec(batch=batch, momentum=momentum)
    config = chip_of(chosen, net=asked, steps=steps, batch=batch, momentum=momentum, mesh=mesh, lanes=lanes,
                     units=units, inference=inference and tailored, sequenced=sequenced)
    source = data or measure
    activity = assumed_activity(network, spikes=spikes) if source is None else activity_on(network, source,
                                                                                           spikes=spikes)
    found = told_of(chosen, network, training, config, baud=baud, clock=clock, activity=activity)
    measured = None if measure is None else _measured(config, network, training, measure, quiet=quiet)
    given.write_json(json, {"command": "estimate", **found.as_dict(), "measured": measured})
    if not quiet:
        _print_estimate(found, chosen)
        _print_measured(measured, fmax=found.fmax)
    if not found.fits:
        over = ", ".join(f"{found.used[name]:,} {name.replace('_', ' ')} where there are {have:,}"
                         for name, have in found.there_is.items() if found.used.get(name, 0) > have)
        raise SpecError(f"by estimate this chip does not fit {chosen.title}: {over}; use fewer --lanes, a smaller "
                        "--mesh or a smaller network")
    return 0


def _measured(config, network, training, data: str, *, quiet: bool) -> dict:
    from ..sw_driver.measure import measured_cycles
    from ..sw_driver.progress import Building
    news = None if quiet else Building()
    try:
        return measured_cycles(config, network, training, data=data, progress=news)
    finally:
        if news is not None:
            news.stop()


def _print_measured(measured: dict[str, float] | None, *, fmax: float) -> None:
    if measured is not None:
        for name in ("training", "inference"):
            cycles = measured[name]
            typer.echo(f"measured, {name}: {cycles:,.0f} cycles per sample, {1e6 * fmax / cycles:,.0f} samples/s, "
                       f"{cycles / fmax:,.1f} µs each")


def _print_estimate(found, board) -> None:
    from .map import _table
    out = console()
    config = found.config
    typer.echo(f"{found.network} on {board.title}, {config.nodes} core{'s' * (config.nodes > 1)} of {config.lanes} "
               f"lane{'s' * (config.lanes > 1)}; work {found.work}")
    table = _table("estimate", "", "takes", "there is", "share")
    for name, have in found.there_is.items():
        used = found.used.get(name, 0)
        table.add_row(name.replace("_", " "), f"{used:,}", f"{have:,}", f"{100 * used / have:.0f} %")
    table.add_row("Fmax, MHz", f"{found.fmax:.1f}", "", "")
    out.print(table)
    table = _table(f"per sample, at {found.fmax:.1f} MHz and {found.baud:,} baud", "", "cycles",
                   "samples/s of the chip", "bytes on the line", "ms there", "samples/s of the line")
    for name, told in (("training", found.training), ("inference", found.inference)):
        if told:
            table.add_row(name, f"{told['cycles']:,.0f}", f"{told['samples/s']:,.0f}", f"{told['bytes']:,}",
                          f"{1e3 * told['line s']:.2f}", f"{told['samples/s of the line']:,.0f}")
    out.print(table)
