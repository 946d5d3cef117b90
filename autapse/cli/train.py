"""`autapse train`: trains a network on a device and leaves a checkpoint and a report."""

import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..sw_driver.checkpoint import load_checkpoint
from ..sw_driver.data import load_data
from ..sw_driver.devices.checked import CheckedDevice
from ..sw_driver.errors import SpecError
from ..sw_driver.trainer import Callback, Trainer
from . import options as given


class _Entries(Callback):
    """Keeps the history with the times that a checkpoint leaves out."""

    def __init__(self):
        self.entries = []

    def on_epoch(self, trainer, entry):
        self.entries.append(entry)


def engine_lines(counters: dict) -> list[str]:
    """What the engines' cycles came to, beside their bound (a cycle per visit) and beside visiting every synapse."""
    lines = []
    for engine, count in counters.items():
        if count.get("busy"):
            cycles = count["busy"] + count["stalled"]
            lines.append(f"  {engine:<10}{cycles:>14,} cycles, {cycles / count['busy']:.3f} x its bound; "
                         f"visiting every synapse: {count['dense']:,} cycles, {count['dense'] / cycles:.2f} x as many")
    return lines


def line_lines(line: dict) -> list[str]:
    """What went over the line to the device, and what it cost to get it there whole."""
    if not line:
        return []
    sent, received = line["payload_sent"], line["payload_received"]
    return [
        (f"  line      {sent:,} bytes sent, {received:,} received; {line['bytes_per_second_sent']:,.0f} and "
         f"{line['bytes_per_second_received']:,.0f} bytes/s"),
        (f"            {line['frames_sent']:,} frames sent, {line['frames_resent']:,} of them again; "
         f"{line['frames_received']:,} received, {line['frames_damaged']:,} damaged; {line['polls']:,} polls, "
         f"{line['outages']} outages"),
    ]


def train(
    device: Annotated[str, typer.Option("--device", help="golden, golden:cuda, sim, sim:lanes=8,units=2.")] = "golden",
    mesh: given.Mesh = None,
    lanes: given.Lanes = None,
    place: given.Place = None,
    data: given.DataName = "digits",
    net: given.Net = None,
    steps: given.Steps = None,
    decay: given.Decay = 0.5,
    encoder: given.Encoder = "rate",
    pool: given.Pool = 1,
    batch: given.Batch = 32,
    epochs: Annotated[int, typer.Option("--epochs", help="Epochs; with --resume, epochs more.")] = 4,
    learning_rate: given.LearningRate = 0.3,
    momentum: given.Momentum = 0.9,
    loss: given.LossName = "mse",
    loss_scale: given.LossScale = 256.0,
    other: given.Other = 0.0,
    seed: given.Seed = 0,
    limit: given.Limit = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on from this checkpoint; the network and the "
                                                "settings are those in it.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Leave checkpoint.safetensors and report.html in this "
                                             "directory.")] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Leave in this directory what an outsider needs to "
                                               "recompute the run.")] = None,
    check: Annotated[str | None, typer.Option("--check", help="Do the same on this device too and compare every "
                                              "readout, and every weight after each epoch; exit 1 if a word "
                                              "differs.")] = None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Train a spiking network by back-propagation through time."""
    device = given.on_mesh(device, mesh=mesh, lanes=lanes, place=place)
    if trace is not None and resume is not None:
        raise SpecError("--trace is for a run from the start; it cannot go with --resume")
    source = load_data(data, encoder=encoder, pool=pool).first(limit)
    if out is not None:
        from ..sw_driver.report import require_report
        require_report()
    kept = None if resume is None else load_checkpoint(resume)
    network = given.network_of(net, steps=steps, decay=decay, data=source) if kept is None else kept.network
    device = given.for_network(device, network)
    check = check and given.for_network(check, network)
    with ExitStack() as stack:
        target = stack.enter_context(given.opened(device, quiet=quiet))
        checked = None
        if check is not None:
            target = checked = CheckedDevice(target, stack.enter_context(given.opened(check, quiet=quiet)))
        if kept is not None:
            trainer = Trainer.resume(kept, target)
        else:
            trainer = Trainer(network, target, learning_rate=learning_rate, momentum=momentum, batch=batch, loss=loss,
                              loss_scale=loss_scale, seed=seed, other=other)
        # Not before: a refused run leaves nothing behind.
        for directory in filter(None, (out, trace, json and json.parent)):
            directory.mkdir(parents=True, exist_ok=True)
        entries = _Entries()
        callbacks: list[Callback] = [entries]
        if trace is not None:
            from ..sw_driver.trace import TraceWriter
            callbacks.append(TraceWriter(trace))
        checkpoint = None if out is None else out / "checkpoint.safetensors"
        began = time.perf_counter()
        trainer.fit(source, epochs=epochs, checkpoint=checkpoint, progress=not quiet, callbacks=callbacks)
        seconds = time.perf_counter() - began
        counters, traffic = target.counters(), target.line()
        if out is not None:
            from ..sw_driver.report import write_report
            write_report(out / "report.html", trainer, source, seconds=seconds)
        last = trainer.history[-1]
        given.write_json(json, {
            "command": "train", "device": target.name, "data": source.name, "network": trainer.network.as_dict(),
            "training": asdict(trainer.training), "seed": trainer.seed, "epochs": trainer.epoch,
            "train_samples": len(source.train), "test_samples": 0 if source.test is None else len(source.test),
            "train_accuracy": last["accuracy"], "test_accuracy": last["test_accuracy"], "seconds": seconds,
            "history": entries.entries, "counters": counters, "line": traffic,
            "check": None if checked is None else checked.result.as_dict()})
    if not quiet:
        score = "no test set" if last["test_accuracy"] is None else f"test accuracy {100 * last['test_accuracy']:.2f} %"
        typer.echo(f"{trainer.network} on {data}, {target.name}: {score} after {trainer.epoch} epochs, {seconds:.1f} s")
        for what, path in (("report", out and out / "report.html"), ("checkpoint", checkpoint), ("trace", trace)):
            if path is not None:
                typer.echo(f"{what}: {path}")
        for line in engine_lines(counters):
            typer.echo(line)
        for text in line_lines(traffic):
            typer.echo(text)
        if gradient := target.info().get("gradient"):
            typer.echo(f"  weight gradient {gradient}")
        if checked is not None:
            typer.echo(f"{device} and {check}, the whole run side by side:")
            for line in checked.result.lines():
                typer.echo(line)
    if checked is not None and not checked.result.equal:
        print(f"autapse: {checked.result.complaint()}", file=sys.stderr)
        return 1
    return 0
