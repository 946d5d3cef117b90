"""The ClientApp of Flower: it owns a device, trains on it what the hub sends, and sends back what came of it.

What a node is told when it is started (`--node-config`): `partition-id`, the number of the worker from 0; `device`,
what `autapse.open` takes; if wanted `data`, its own copy of the data, and `keep`, a folder for what stays with it.
"""

import atexit
import fcntl
import hashlib
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import numpy as np

from . import flower  # noqa: F401  (before Flower: it decides what Flower tells the world)

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict  # isort: skip
from flwr.clientapp import ClientApp  # isort: skip

from ..data import SpikeSet
from ..device import Device
from ..device import open as open_device
from ..errors import AutapseError, DeviceError
from .exact import join
from .kept import Kept
from .settings import Settings
from .wire import decode_change, encode_change, largest, pack, parse_compression, rounded, unpack
from .worker import TooSlow, part_of, train_round

LOCK_WAIT = 10.0  # seconds that a worker waits for a device that an earlier process still holds


class Post:
    """What a process keeps open from one message to the next: devices and data. Flower's own processes live for one."""

    def __init__(self):
        self._devices: dict[tuple[str, int], Device] = {}
        self._locks: dict[tuple[str, int], TextIO] = {}
        self._parts: dict[tuple[str, int, str | None], tuple[SpikeSet, SpikeSet | None]] = {}

    def device(self, name: str, worker: int) -> Device:
        """The device `name` of a worker, opened at the first call."""
        if (name, worker) not in self._devices:
            if name.partition(":")[0] not in ("golden", "sim"):
                if any(held == name for held, _ in self._locks):
                    raise DeviceError(f"device {name!r} is another worker's of this process; name one for each worker")
                self._locks[name, worker] = self._lock(name)
            try:
                self._devices[name, worker] = open_device(name)
            except BaseException:
                self.release(name, worker)
                raise
        return self._devices[name, worker]

    def release(self, name: str, worker: int) -> None:
        """Closes the device of a worker and frees its lock: after a failure it is opened anew, not found broken."""
        device, lock = self._devices.pop((name, worker), None), self._locks.pop((name, worker), None)
        if device is not None:
            with suppress(AutapseError, OSError):
                device.close()
        if lock is not None:
            lock.close()

    def _lock(self, name: str) -> TextIO:
        """One process per board: a worker that was killed may leave a process that still talks to it."""
        path = Path(tempfile.gettempdir()) / f"autapse-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
        file = path.open("w")
        end = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    file.close()
                    raise DeviceError(f"device {name!r} is held by another process; end that one first") from None
                time.sleep(0.2)
        return file

    def part(self, settings: Settings, worker: int, data: str | None) -> tuple[SpikeSet, SpikeSet | None]:
        """What the worker trains on and is scored on."""
        key = (settings.to_json(), worker, data)
        if key not in self._parts:
            self._parts[key] = part_of(settings, worker, data=data)
        return self._parts[key]

    def close(self) -> None:
        """Closes every device and forgets the data."""
        for name, worker in (*self._devices, *self._locks):
            self.release(name, worker)
        self._parts = {}


POST = Post()
atexit.register(POST.close)


def failed(message: Message, worker: int, sentence: str) -> Message:
    """The answer of a worker that has nothing to give but the reason."""
    about = ConfigRecord({"worker": worker, "failed": " ".join(sentence.split())})
    return Message(RecordDict({"about": about}), reply_to=message)


def _received(message: Message, settings: Settings, kept: Kept) -> np.ndarray:
    """The weights (synapses,) that the hub sent, whole or as a change to those of an earlier round."""
    about = message.content.config_records["config"]
    if "change" not in about:
        return message.content.array_records["arrays"]["weight"].numpy()
    wanted = int(about["base"])  # type: ignore[arg-type]
    if wanted == 0:
        base = pack(settings.build_network().initial_state(settings.seed), "weight")
    elif wanted == kept.round and "base" in kept.vectors:
        base = kept.vectors["base"]
    else:
        raise AutapseError(f"lacks the weights of round {wanted} that the hub's change is made to; it was restarted")
    change = decode_change(about["change"], base.size)  # type: ignore[arg-type]
    return rounded(base.astype(np.float64) + change.astype(np.float64))


def train(message: Message, context: Context) -> Message:
    """A round of local training: the answer holds weights or a change of them, and how it went."""
    worker = int(context.node_config.get("partition-id", -1))
    device = str(context.node_config.get("device", "golden"))
    try:
        settings = Settings.from_json(str(context.run_config["settings"]))
        if not 0 <= worker < settings.workers:
            raise AutapseError(f"partition-id is {worker}; with {settings.workers} workers it is from 0 to "
                               f"{settings.workers - 1}")
        return _train(message, context, settings, worker, device)
    except TooSlow as error:
        return failed(message, worker, str(error))
    except AutapseError as error:
        POST.release(device, worker)
        return failed(message, worker, str(error))
    except Exception as error:
        POST.release(device, worker)
        traceback.print_exc()
        return failed(message, worker, f"{type(error).__name__}: {error}")


def _train(message: Message, context: Context, settings: Settings, worker: int, name: str) -> Message:
    arrays, about = message.content.array_records.get("arrays", {}), message.content.config_records["config"]
    round_ = int(about["server-round"])  # type: ignore[arg-type]
    data = context.node_config.get("data")
    samples, test = POST.part(settings, worker, None if data is None else str(data))
    device = POST.device(name, worker)
    folder = context.node_config.get("keep")
    kept = Kept(context, None if folder is None else str(folder), f"{about['federation']}-worker-{worker}")
    kept.load(before=round_)
    weight = _received(message, settings, kept)
    rest = {name: arrays[name].numpy() if choice == "travel" else kept.vectors.get(name) if choice == "stay" else None
            for name, choice in (("remainder", settings.remainders), ("momentum", settings.momenta))}
    network = settings.build_network()
    result = train_round(settings, device, worker=worker, samples=samples, test=test, round_=round_,
                         state=unpack(network, weight, rest["remainder"], rest["momentum"]),
                         proximal_mu=float(about.get("proximal-mu", 0.0)))  # type: ignore[arg-type]
    keep, reply, changes = {}, {}, {}
    for name, choice in (("remainder", settings.remainders), ("momentum", settings.momenta)):
        if choice != "zero":
            (keep if choice == "stay" else reply)[name] = pack(result.state, name)
    kind, share = parse_compression(settings.compress)
    trained = pack(result.state, "weight")
    if kind == "none":
        reply["weight"] = trained
    else:
        # What binary16 or the share cannot carry is not lost: it is held back and added to the next change.
        after = join(trained, pack(result.state, "remainder") if settings.remainders == "zero" else None)
        change = after - weight.astype(np.float64)
        if "held" in kept.vectors:
            change += kept.vectors["held"].astype(np.float64)
        sent = rounded(change)
        if kind == "topk":
            sent = largest(sent, share)
        changes["change"] = encode_change(sent)
        keep |= {"held": rounded(change - sent.astype(np.float64)), "base": weight}
    if keep:
        kept.put(round_, keep)
    metrics = MetricRecord({
        "num-examples": result.samples, "worker": worker, "loss": result.loss, "accuracy": result.accuracy,
        "test-accuracy": float("nan") if result.test_accuracy is None else result.test_accuracy,
        "skipped": result.skipped, "seconds": result.seconds})
    # Changes go as plain bytes: an Array of Flower's has 600 bytes of names, hashes and headers around it.
    content = RecordDict({"metrics": metrics})
    if changes:
        content["change"] = ConfigRecord(changes)
    else:
        content["arrays"] = ArrayRecord({name: Array(vector) for name, vector in reply.items()})
    return Message(content, reply_to=message)


app = ClientApp()
app.train()(train)
