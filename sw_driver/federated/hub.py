"""The hub: sends the global words, takes in what is sound, makes the next ones, keeps a record. Round after round."""

import fcntl
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from . import flower  # noqa: F401  (before Flower)

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict  # isort: skip

from ..checkpoint import Checkpoint, save_checkpoint
from ..device import open as open_device
from ..errors import AutapseError, CheckpointError
from ..files import write_whole
from ..trainer import Trainer
from .exact import join
from .guard import Update, implausible, norm, read_update
from .rules import Rule, mean_momentum
from .settings import Settings
from .split import scored_on
from .wire import Refused, encode_change, largest, pack, parse_compression, rounded, unpack
from .worker import load_settings_data

STATE, FINAL, ROUNDS = "federation.safetensors", "checkpoint.safetensors", "rounds.jsonl"
FORMAT = 2
FRUITLESS = 3   # rounds in a row without anything to use, after which a federation ends


def bytes_of(message: Message) -> int:
    """Bytes of a message in Flower's own serial form, its objects together: what is handed to the transport."""
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
    return sum(len(part.deflate()) for part in get_all_nested_objects(message).values())


def _locked(out: Path):
    """The open lock of a folder that one hub at a time may write to; it goes with the process."""
    file = (out / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AutapseError(f"another hub is at work in {out}; wait for it, or stop its run first") from None
    return file


@dataclass(kw_only=True)
class Global:
    """The hub's words after `round` rounds, vectors of (synapses,); and one record per round."""

    round: int
    weight: np.ndarray
    remainder: np.ndarray
    momentum: np.ndarray | None = None
    sent: np.ndarray | None = None
    rule_momentum: np.ndarray | None = None
    records: list[dict] = field(default_factory=list)
    # Which worker each of Flower's nodes is; and a name that tells this federation from others on the same hosts.
    numbers: dict[int, int] = field(default_factory=dict)
    name: str = field(default_factory=lambda: secrets.token_hex(4))

    @classmethod
    def first(cls, settings: Settings) -> "Global":
        weight = pack(settings.build_network().initial_state(settings.seed), "weight")
        return cls(round=0, weight=weight, remainder=np.zeros_like(weight), sent=weight)

    def save(self, path: Path, settings: Settings) -> None:
        """Writes everything a hub needs to go on; the file is whole or absent."""
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        about = json.dumps({"format": FORMAT, "settings": asdict(settings), "round": self.round,
                            "records": self.records, "numbers": self.numbers, "name": self.name}, sort_keys=True)
        blob = safetensors_numpy.save(arrays, metadata={"autapse-federation": about})
        write_whole(path, lambda file: file.write(blob))

    @classmethod
    def load(cls, path: Path) -> tuple["Global", Settings]:
        """Reads what `save` wrote; a CheckpointError if it is missing, damaged or something else."""
        try:
            blob = path.read_bytes()
            header = json.loads(blob[8:8 + int.from_bytes(blob[:8], "little")])
            about = json.loads(header["__metadata__"]["autapse-federation"])
            arrays = safetensors_numpy.load(blob)
            if about["format"] != FORMAT:
                raise ValueError(f"it has format {about['format']}, this version reads {FORMAT}")
            settings = Settings.from_json(json.dumps(about["settings"]))
            state = cls(round=int(about["round"]), records=about["records"], name=str(about["name"]),
                        numbers={int(node): int(worker) for node, worker in about["numbers"].items()}, **arrays)
            if state.weight.shape != (settings.build_network().synapses,):
                raise ValueError("its words do not fit its network")
            return state, settings
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"{path} is damaged or no federation of autapse's: {error}") from None


class Hub:
    """Runs a federation on Flower's `grid`.

    Parameters
    ----------
    out
        Folder for the state after every round, the records and at the end a checkpoint; None writes nothing.
    resume
        Go on from the state in `out`.
    on_round
        Called with each round's record.
    wait
        Seconds to wait for workers to connect.
    patience
        Seconds the hub waits for answers, beyond what the workers are given.
    nodes
        Which worker each of Flower's nodes is, where that is known from registered keys: then no other node is
        believed. Without, the first node that says it is a worker is that worker for as long as it is connected.
    """

    def __init__(self, settings: Settings, *, out: Path | None = None, resume: bool = False,
                 on_round: Callable[[dict], None] | None = None, wait: float = 120.0, patience: float = 15.0,
                 nodes: Mapping[int, int] | None = None):
        self.settings, self._out, self._wait, self._patience = settings, out, wait, patience
        self._on_round = on_round or (lambda record: None)
        self.network = settings.build_network()
        self.state = Global.first(settings)
        self._rule = Rule(settings)
        self._holds: dict[int, int] = {}  # node: the round whose weights it was sent last and answered to
        self._resumed = resume
        if resume:
            assert out is not None
            self.state, stored = Global.load(out / STATE)
            if stored.network != settings.network or stored.seed != settings.seed:
                raise CheckpointError(f"{out / STATE} is of another network or seed than this run")
            self._rule.momentum = self.state.rule_momentum
        self._keyed = bool(nodes)
        if nodes:
            self.state.numbers = dict(nodes)
        self._kind, self._share = parse_compression(settings.compress)
        self._device = self._test = None
        self._fruitless = 0     # rounds in a row that changed nothing

    def run(self, grid) -> Global:
        """Every round that is left; returns the last words.

        Raises
        ------
        AutapseError
            If too few workers connect; if in the first round all who were asked drop out; or if three rounds in a row
            bring nothing that can be used.
        """
        settings = self.settings
        source = None if settings.split == "own" and not settings.data else load_settings_data(settings)
        self._test = None if source is None else scored_on(source, split=settings.split, workers=settings.workers)
        lock = None
        if self._out is not None:
            self._out.mkdir(parents=True, exist_ok=True)
            lock = _locked(self._out)
            (self._out / ROUNDS).write_text("".join(json.dumps(record) + "\n" for record in self.state.records))
        try:
            self._await(grid, settings.workers, settings.min_workers)
            if not self.state.records:
                self._finish_round(self._record(0, time.time()))
            while self.state.round < settings.rounds:
                self._round(grid)
        finally:
            if self._device is not None:
                self._device.close()
            if lock is not None:
                lock.close()
        if self._out is not None:
            save_checkpoint(self._out / FINAL, Checkpoint(
                network=self.network, training=settings.training_spec(), state=self.layers(), seed=settings.seed,
                epoch=self.state.round * settings.local_epochs, other=settings.other))
        return self.state

    def layers(self):
        """The global words as the state of a network."""
        travels = self.settings.remainders == "travel"
        return unpack(self.network, self.state.weight, self.state.remainder if travels else None, self.state.momentum)

    def _await(self, grid, wanted: int, least: int) -> None:
        end = time.monotonic() + self._wait
        while len(list(grid.get_node_ids())) < wanted and time.monotonic() < end:
            time.sleep(0.5)
        have = len(list(grid.get_node_ids()))
        if have < least:
            raise AutapseError(f"{have} workers are connected after {self._wait:g} s, at least {least} are needed; "
                               "see whether they run and reach the hub")

    def _arrays(self, node: int, round_: int, change: np.ndarray | None, sent: np.ndarray) -> tuple[dict, int]:
        """What a node is sent, and the round its change is to (-1: whole weights)."""
        if change is not None:
            held = self._holds.get(node, 0 if round_ == 1 and not self._resumed else -1)
            if held == round_ - 1:
                return {"change": encode_change(change)}, held
        arrays = {"weight": sent}
        if self.settings.remainders == "travel":
            arrays["remainder"] = self.state.remainder
        if self.settings.momenta == "travel":
            arrays["momentum"] = np.zeros_like(sent) if self.state.momentum is None else self.state.momentum
        return arrays, -1

    def _round(self, grid) -> None:
        began, state, settings = time.time(), self.state, self.settings
        round_ = state.round + 1
        record = self._record(round_, began)
        self._await(grid, settings.min_workers, settings.min_workers)
        # What the workers start from. With travelling remainders the hub's words are W + 2^-10·R; compressed, the hub
        # keeps R to itself, so that small changes add up.
        compressed = self._kind != "none"
        x = join(state.weight, state.remainder if compressed or settings.remainders == "travel" else None)
        change, sent = None, state.weight
        if compressed:
            assert state.sent is not None
            change = rounded(x - state.sent.astype(np.float64))
            if self._kind == "topk":
                change = largest(change, self._share)
            sent = rounded(state.sent.astype(np.float64) + change.astype(np.float64))
            state.sent = sent
        messages = list(self._rule.strategy.configure_train(
            round_, ArrayRecord({"weight": Array(sent)}), ConfigRecord(), grid))
        for message in messages:
            node = message.metadata.dst_node_id
            arrays, base = self._arrays(node, round_, change, sent)
            config = dict(message.content.config_records["config"]) | {"federation": state.name}
            if base >= 0:
                message.content = RecordDict({"config": ConfigRecord(config | {"base": base} | arrays)})
            else:
                message.content = RecordDict({"config": ConfigRecord(config), "arrays": ArrayRecord(
                    {name: Array(vector) for name, vector in arrays.items()})})
            record["down"][str(state.numbers.get(node, f"node {node}"))] = bytes_of(message)
        answers = list(grid.send_and_receive(messages, timeout=1.25 * settings.timeout + self._patience))
        asked = {message.metadata.message_id: message.metadata.dst_node_id for message in messages}
        sent64 = join(sent, state.remainder) if settings.remainders == "travel" else sent.astype(np.float64)
        updates = self._taken(answers, asked, set(grid.get_node_ids()), record, x, sent64, round_)
        for update in updates:
            record["workers"][str(update.worker)] = dict(update.metrics) | {"norm": norm(update.change)}
        lacking = self._rule.lacks(updates) if updates else ""
        if lacking:
            record["dropped"].append({"worker": None, "node": "", "name": "the round", "why": lacking})
        self._fruitless = 0 if updates and not lacking else self._fruitless + 1
        if updates and not lacking:
            state.weight, state.remainder = self._rule.combine(round_, updates, x)
            if settings.momenta == "travel":
                state.momentum = mean_momentum(updates)
            state.rule_momentum = self._rule.momentum
        elif self._fruitless == FRUITLESS:
            raise AutapseError(f"{FRUITLESS} rounds in a row brought nothing: " + "; ".join(sorted(
                f"{entry['name']}: {entry['why']}" for entry in (*record["refused"], *record["dropped"]))))
        elif not updates and round_ == 1 and record["dropped"] and not record["refused"]:
            # Answers come in any order; a sentence does not depend on it.
            raise AutapseError("no worker could train: " + "; ".join(sorted(
                f"{entry['name']}: {entry['why']}" for entry in record["dropped"])))
        state.round = round_
        self._finish_round(record)

    def _believe(self, node: int, stated: list, connected: set[int]) -> str:
        """Learns which worker a node is, from its own words; returns why it is not believed, or nothing.

        A number belongs to the node that first said it has it; in one round, to the node of the lower id. Without keys
        a worker that was restarted is a new node, and takes its number over when the old one is no longer connected.
        """
        numbers = self.state.numbers
        for worker in stated:
            if node in numbers or not isinstance(worker, int) or not 0 <= worker < self.settings.workers:
                continue
            owners = [other for other, number in numbers.items() if number == worker]
            if self._keyed:
                return f"it says it is worker {worker}, whose registered key is another"
            if any(owner in connected for owner in owners):
                return f"it says it is worker {worker}, which another node is"
            for owner in owners:
                del numbers[owner]
            numbers[node] = worker
        return ""

    def _taken(self, answers: list[Message], asked: dict[str, int], connected: set[int], record: dict, x: np.ndarray,
               sent: np.ndarray, round_: int) -> list[Update]:
        """The updates of the answers that the guard lets pass; the others are in the record, by name."""
        updates: list[Update] = []
        numbers = self.state.numbers

        def note(kind: str, node: int, why: str) -> None:
            name = f"worker {numbers[node]}" if node in numbers else f"node {node}"
            record[kind].append({"worker": numbers.get(node), "node": str(node), "name": name, "why": why})

        # By node: of two that claim one number in the same round, who is believed does not depend on the network.
        for message in sorted(answers, key=lambda message: asked.get(message.metadata.reply_to_message_id,
                                                                     message.metadata.src_node_id)):
            node = asked.pop(message.metadata.reply_to_message_id, message.metadata.src_node_id)
            if message.has_error():
                note("dropped", node, message.error.reason or f"Flower's error {message.error.code}")
                continue
            about = message.content.config_records.get("about", {})
            stated = [entry.get("worker") for entry in (*message.content.metric_records.values(), about)]
            doubt = self._believe(node, stated, connected)
            record["up"][str(numbers.get(node, f"node {node}"))] = bytes_of(message)
            if "failed" in about:
                self._holds.pop(node, None)
                note("dropped", node, str(about["failed"]))
                continue
            try:
                if doubt:
                    raise Refused(doubt)
                update = read_update(message.content, self.settings, node=node, size=len(x), x_global=x, sent=sent)
                if update.worker != numbers.get(node):
                    raise Refused(f"it says it is worker {update.worker}")
                updates.append(update)
                self._holds[node] = round_
            except Refused as error:
                note("refused", node, str(error))
        for node in asked.values():
            note("dropped", node, f"no answer within {1.25 * self.settings.timeout + self._patience:g} s")
        for worker, why in implausible(updates, self.settings.guard).items():
            note("refused", next(update.node for update in updates if update.worker == worker), why)
            updates = [update for update in updates if update.worker != worker]
        # Who was not even asked. A node that never said which worker it is may be any of those that are missing.
        told = [entry["worker"] for kind in ("refused", "dropped") for entry in record[kind]]
        missing = set(range(self.settings.workers)) - {*told, *(update.worker for update in updates)}
        if len(missing) > told.count(None):
            nameless = f", or one of {told.count(None)} nodes that did not say who they are" if None in told else ""
            record["dropped"] += [{"worker": worker, "node": "", "name": f"worker {worker}",
                                   "why": f"is not connected{nameless}"} for worker in sorted(missing)]
        # Nodes are keyed by message's own words at first; from now on by number.
        record["down"] = {key if not key.startswith("node ") else str(numbers.get(int(key[5:]), key)): value
                          for key, value in record["down"].items()}
        return updates

    def _record(self, round_: int, began: float) -> dict:
        return {"round": round_, "began": began, "workers": {}, "refused": [], "dropped": [], "down": {}, "up": {}}

    def _finish_round(self, record: dict) -> None:
        record["test_accuracy"] = self._score()
        record["ended"] = time.time()
        record["seconds"] = record["ended"] - record["began"]
        for kind in ("refused", "dropped"):
            record[kind].sort(key=lambda entry: entry["name"])
        self.state.records.append(record)
        if self._out is not None:
            self.state.save(self._out / STATE, self.settings)
            with (self._out / ROUNDS).open("a") as file:
                file.write(json.dumps(record) + "\n")
        self._on_round(record)

    def _score(self) -> float | None:
        if self._test is None:
            return None
        if self._device is None:
            self._device = open_device(self.settings.hub_device)
        trainer = Trainer.resume(Checkpoint(network=self.network, training=self.settings.training_spec(),
                                            state=self.layers(), other=self.settings.other), self._device)
        return trainer.evaluate(self._test).accuracy
