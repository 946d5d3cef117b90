"""`autapse federate`: several workers, each with its own device and data; only weights travel."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from ..sw_driver.data import load_data
from ..sw_driver.errors import SpecError
from ..sw_driver.federated.appfolder import write_app
from ..sw_driver.federated.run import (
    ENGINES,
    Plan,
    Result,
    check_comparison,
    check_parts,
    compare,
    devices_for,
    federate,
)
from ..sw_driver.federated.settings import KEEP, STRATEGIES, Settings
from ..sw_driver.federated.split import KINDS
from ..sw_driver.network import TrainingSpec
from . import options as given

ROUNDS, LOCAL_EPOCHS = 20, 5
_PLAIN = Settings.__dataclass_fields__


class _Shown:
    """A line per round on standard error, and on a terminal a bar with the time left."""

    def __init__(self, rounds: int):
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        from ..sw_driver.progress import Quietly
        self._rounds = rounds
        self._bar = Quietly(TextColumn("round"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                            TextColumn("left"), TimeRemainingColumn())
        self._task = self._bar.add_task("round", total=rounds)

    def __enter__(self) -> "_Shown":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()

    def __call__(self, record: dict) -> None:
        score = record["test_accuracy"]
        sent = sum(record["up"].values()) + sum(record["down"].values())
        print_ = self._bar.console.print
        if record["round"]:
            print_(f"round {record['round']}/{self._rounds}"
                   + ("" if score is None else f"  test {100 * score:.2f} %")
                   + f"  {len(record['workers'])} workers  {sent / 1000:,.1f} kB  {record['seconds']:.1f} s",
                   highlight=False, soft_wrap=True)
        for kind in ("refused", "dropped"):
            for entry in record[kind]:
                print_(f"  {kind}: {entry['name']}: {entry['why']}", highlight=False, soft_wrap=True, markup=False)
        self._bar.update(self._task, completed=record["round"])


def _compared_lines(result: Result) -> list[str]:
    found = result.compared
    assert found is not None and result.test_accuracy is not None
    alone = ", ".join(f"{100 * value:.2f}" for value in found["alone"])
    better = {key: f"the federation has {100 * (result.test_accuracy - found[key]):+.2f} points"
              for key in ("one_device", "alone_mean")}
    one = f"one device, all samples, {found['epochs']} epochs: {100 * found['one_device']:.2f} %"
    each = f"workers alone: {100 * found['alone_mean']:.2f} % on average ({alone})"
    return [f"  {one}; {better['one_device']}", f"  {each}; {better['alone_mean']}"]


def federate_command(
    workers: Annotated[int, typer.Option("--workers", help="Workers.")] = 5,
    device: Annotated[list[str] | None, typer.Option("--device", help="What every worker opens [golden]; given again "
                                                     "for each worker: the first is worker 0's.")] = None,
    data: given.DataName = "digits",
    split: Annotated[str, typer.Option("--split", help=f"Who has which samples: {KINDS}.")] = "iid",
    rounds: Annotated[int | None, typer.Option("--rounds", help=f"Rounds [{ROUNDS}]; with --resume, in all.")] = None,
    local_epochs: Annotated[int, typer.Option("--local-epochs", help="Epochs of each worker per round.")] =
    LOCAL_EPOCHS,
    strategy: Annotated[str, typer.Option("--strategy", help="; ".join(
        f"{name}: {what}" for name, what in STRATEGIES.items()) + ".")] = "fedavg",
    proximal_mu: Annotated[float, typer.Option("--proximal-mu", help="FedProx: how firmly workers are held.")] =
    _PLAIN["proximal_mu"].default,
    server_momentum: Annotated[float, typer.Option("--server-momentum", help="FedAvgM: of the hub.")] =
    _PLAIN["server_momentum"].default,
    trim: Annotated[float, typer.Option("--trim", help="Trimmed mean: share cut off at either end.")] =
    _PLAIN["trim"].default,
    malicious: Annotated[int, typer.Option("--malicious", help="Krum: workers that may be false.")] =
    _PLAIN["malicious"].default,
    compress: Annotated[str | None, typer.Option("--compress", help="none, difference (binary16 differences, deflated)"
                                                 " or topk:SHARE [none].")] = None,
    topk: Annotated[float | None, typer.Option("--topk", help="The same as --compress topk:SHARE.")] = None,
    remainders: Annotated[str, typer.Option("--remainders", help=f"The rules' R between rounds: {', '.join(KEEP)}.")] =
    _PLAIN["remainders"].default,
    momenta: Annotated[str, typer.Option("--momenta", help=f"The rules' M between rounds: {', '.join(KEEP)}.")] =
    _PLAIN["momenta"].default,
    guard: Annotated[float, typer.Option("--guard", help="Refuse a change this many times larger than the median; 0 "
                                         "lets every finite one pass.")] = _PLAIN["guard"].default,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds a worker may train per round.")] =
    _PLAIN["timeout"].default,
    min_workers: Annotated[int, typer.Option("--min-workers", help="Fewer than this end the run.")] =
    _PLAIN["min_workers"].default,
    engine: Annotated[str, typer.Option("--engine", help="; ".join(
        f"{name}: {what}" for name, what in ENGINES.items()) + ".")] = "local",
    secure: Annotated[bool, typer.Option("--secure", help="With --engine processes: TLS, and only workers with a "
                                         "key.")] = False,
    port: Annotated[int | None, typer.Option("--port", help="With --engine processes: the hub's port [a free "
                                             "one].")] = None,
    jobs: Annotated[int, typer.Option("--jobs", help="Workers that train at once (local); the bits are the same.")] = 1,
    net: given.Net = None,
    steps: given.Steps = None,
    decay: given.Decay = 0.5,
    encoder: given.Encoder = "rate",
    pool: given.Pool = 1,
    batch: given.Batch = 32,
    learning_rate: given.LearningRate = 0.3,
    momentum: given.Momentum = 0.9,
    loss: given.LossName = "mse",
    loss_scale: given.LossScale = 256.0,
    other: given.Other = 0.0,
    seed: given.Seed = 0,
    limit: given.Limit = None,
    score_workers: Annotated[bool, typer.Option("--score-workers/--no-score-workers", help="Each worker scores its "
                                                "own weights on the test set.")] = True,
    compare_: Annotated[bool, typer.Option("--compare", help="Also train on one device, and every worker alone.")] =
    False,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on from this --out folder of an earlier run; "
                                                "settings are those in it.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Leave report.html, checkpoint.safetensors, the hub's state "
                                             "and logs in this directory.")] = None,
    write_app_: Annotated[Path | None, typer.Option("--write-app", help="Write the folder that `flwr run` submits to a "
                                                    "hub, and do no more.")] = None,
    node: Annotated[list[int] | None, typer.Option("--node", help="With --write-app: the number that Flower gave the "
                                                   "key of a worker; given again for each, the first is worker 0's.")] =
    None,
    json: given.Json = None,
    quiet: given.Quiet = False,
) -> int:
    """Train one network on several devices, each with its own data; nothing but weights travels."""
    if topk is not None:
        if compress not in (None, f"topk:{topk:g}"):
            raise SpecError(f"--topk {topk:g} and --compress {compress} contradict each other; give one")
        compress = f"topk:{topk:g}"
    if jobs < 1:
        raise SpecError(f"--jobs must be at least 1, not {jobs}")
    if resume is not None:
        from ..sw_driver.federated.hub import STATE, Global
        if out not in (None, resume):
            raise SpecError("--resume goes on in its own folder; leave --out away")
        state, settings = Global.load(resume / STATE)
        settings, out = replace(settings, rounds=rounds or settings.rounds), resume
        if state.round >= settings.rounds:
            raise SpecError(f"{resume} has {state.round} rounds already; name more with --rounds")
    else:
        source = load_data(data, encoder=encoder, pool=pool).first(limit)
        network = given.network_of(net, steps=steps, decay=decay, data=source)
        training = TrainingSpec(learning_rate=learning_rate, momentum=momentum, batch=batch, loss=loss,
                                loss_scale=loss_scale)
        settings = Settings(
            network=network.as_dict(), training=asdict(training), data=data, encoder=encoder, pool=pool, limit=limit,
            split=split, workers=workers, rounds=ROUNDS if rounds is None else rounds, local_epochs=local_epochs,
            seed=seed, other=other, remainders=remainders, momenta=momenta, compress=compress or "none",
            strategy=strategy, proximal_mu=proximal_mu, server_momentum=server_momentum, trim=trim,
            malicious=malicious, guard=guard, timeout=timeout, min_workers=min_workers, score_workers=score_workers)
    if node and write_app_ is None:
        raise SpecError("--node is for --write-app; elsewhere autapse registers the keys itself")
    if node and len(set(node)) != settings.workers:
        raise SpecError(f"{len(set(node))} nodes were named for {settings.workers} workers; name one for each")
    if write_app_ is not None:
        check_parts(settings)
        place = str(out or Path("federation"))
        write_app(write_app_, settings, out=place, resume=resume is not None,
                  nodes={number: worker for worker, number in enumerate(node or [])})
        if not quiet:
            typer.echo(f"{write_app_}: submit it with flwr run {write_app_} HUB --stream; the hub leaves its state in "
                       f"{place}")
        return 0
    if compare_:
        check_comparison(settings)
    if out is not None:
        from ..sw_driver.report import require_report
        require_report()
    devices = devices_for(device or ["golden"], settings.workers)
    plan = Plan(engine=engine, out=out, resume=resume is not None, jobs=jobs, port=port, secure=secure)
    result = _run(settings, devices, plan, quiet)
    _leave(result, out, json)
    if compare_:
        # What was trained is written already: the comparison may take longer than its user has.
        result.compared = compare(settings, say=lambda sentence: None if quiet else typer.echo(sentence, err=True))
        _leave(result, out, json)
    if not quiet:
        for line in _summary(result, out):
            typer.echo(line)
    return 0


def _leave(result: Result, out: Path | None, json: Path | None) -> None:
    given.write_json(json, result.as_dict())
    if out is not None:
        from ..sw_driver.federated.report import write_report
        write_report(out / "report.html", result)


def _run(settings: Settings, devices: list[str], plan: Plan, quiet: bool) -> Result:
    if quiet:
        return federate(settings, devices, plan)
    with _Shown(settings.rounds) as shown:
        return federate(settings, devices, replace(plan, on_round=shown))


def _summary(result: Result, out: Path | None) -> list[str]:
    settings, score = result.settings, result.test_accuracy
    lines = [f"{settings.build_network()} on {settings.data}, {settings.workers} workers, {settings.strategy}: "
             + ("no test set" if score is None else f"test accuracy {100 * score:.2f} %")
             + f" after {result.records[-1]['round']} rounds, {result.seconds:.1f} s",
             f"  {result.total('down'):,} bytes to the workers, {result.total('up'):,} to the hub",
             f"  digest {result.digest[:16]} (equal runs, equal digests)"]
    incidents = result.incidents()
    if incidents:
        lines.append(f"  {len(incidents)} answers refused or missing; the report names them")
    if result.compared is not None:
        lines += _compared_lines(result)
    if out is not None:
        lines += [f"report: {out / 'report.html'}", f"checkpoint: {out / 'checkpoint.safetensors'}"]
    return lines
