"""Flower's own processes on one machine: a SuperLink, a SuperNode per worker, TLS and keys if wanted."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import AutapseError
from ..files import write_text
from . import flower, keys
from .appfolder import write_app
from .hub import ROUNDS
from .relay import Relay
from .server import FAILED
from .settings import Settings

START = 60.0  # seconds for the SuperLink to listen
_CONNECTION = "hub"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Processes:
    """A hub and its workers; use as a context, which ends every process it started.

    Parameters
    ----------
    devices
        What each worker opens.
    out
        Where the hub leaves its state; the logs of the processes go to `out`/logs.
    port
        Of the hub, or None for a free one.
    secure
        TLS, and only workers whose key is registered.
    worker
        Python that takes the place of the ClientApp; see `write_app`.

    Members
    -------
    nodes : dict[int, subprocess.Popen]
        The SuperNode of each worker.
    relays : list[Relay]
        Through which each worker reaches the hub.
    """

    def __init__(self, settings: Settings, devices: Sequence[str], out: Path, *, port: int | None = None,
                 secure: bool = False, worker: str | None = None):
        flower.require_flower()
        self.settings, self.out, self.secure, self._worker = settings, Path(out).resolve(), secure, worker
        self._devices = list(devices)
        self.home = Path(tempfile.mkdtemp(prefix="autapse-fl-"))
        self.keys = self.home / "keys"
        # Unless stated otherwise by the user, none of this calls home; programs are found beside this Python.
        self.environment = flower.QUIET | os.environ | {
            "FLWR_HOME": str(self.home / "flwr"), "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1", "PYTHONUNBUFFERED": "1"}
        if port is not None:
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except OSError as error:
                shutil.rmtree(self.home)
                raise AutapseError(f"port {port} of 127.0.0.1 cannot be used ({error.strerror}); choose another with "
                                   "--port") from None
        self.port = port or free_port()
        self.hub: subprocess.Popen | None = None
        self.nodes: dict[int, subprocess.Popen] = {}
        self.relays = [Relay(("127.0.0.1", self.port)) for _ in devices]
        self._all: list[subprocess.Popen] = []
        self._ids: dict[int, int] = {}  # Flower's number of a node whose key is registered: its worker
        self._gone: set[int] = set()  # workers that were killed here, and not started again
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Processes":
        self._catch()
        try:
            self.start_hub()
            for worker in range(len(self._devices)):
                self.start_worker(worker)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _catch(self) -> None:
        """Until `close`, SIGTERM and SIGHUP end this program as an exception does: its processes go with it."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._handlers[number] = signal.signal(number, _leave)

    def _start(self, name: str, *command: str) -> subprocess.Popen:
        logs = self.out / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home,
                                       env=self.environment, start_new_session=True)
        self._all.append(process)
        return process

    def start_hub(self) -> None:
        """Starts the SuperLink and waits until it listens; with keys, registers every worker's.

        It keeps its workers in a file: started again after a crash it knows them, and they come back by themselves.
        """
        safety = ["--insecure"]
        connection = (f'[superlink]\ndefault = "{_CONNECTION}"\n\n[superlink.{_CONNECTION}]\n'
                      f'address = "127.0.0.1:{self.port}"\n')
        if self.secure:
            if not self.keys.exists():
                keys.write_keys(self.keys, names=["127.0.0.1", "localhost"], workers=len(self._devices))
            safety = ["--ssl-ca-certfile", str(self.keys / keys.CA), "--ssl-certfile",
                      str(self.keys / keys.CERTIFICATE), "--ssl-keyfile", str(self.keys / keys.KEY),
                      "--enable-supernode-auth"]
            connection += f'root-certificates = "{self.keys / keys.CA}"\n'
        else:
            connection += "insecure = true\n"
        write_text(self.home / "flwr" / "config.toml", connection)
        self.hub = self._start("hub", "flower-superlink", *safety, "--port", str(self.port),
                               "--database", str(self.home / "hub.db"), "--disable-runtime-dependency-installation")
        end = time.monotonic() + START
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                break
            if self.hub.poll() is not None or time.monotonic() > end:
                raise AutapseError(f"Flower's SuperLink did not start; see {self.out / 'logs' / 'hub.log'}")
            time.sleep(0.2)
        if self.secure and not self._ids:
            for worker in range(len(self._devices)):
                key = str(self.keys / f"worker-{worker}.pub")
                self._ids[int(self._asked("node-id", "supernode", "register", key, _CONNECTION))] = worker

    def start_worker(self, worker: int) -> None:
        """Starts (again) the SuperNode of a worker."""
        safety = ["--insecure"]
        if self.secure:
            safety = ["--root-certificates", str(self.keys / keys.CA),
                      "--auth-supernode-private-key", str(self.keys / f"worker-{worker}")]
        self.nodes[worker] = self.start_node(f"worker-{worker}", worker, *safety)
        self._gone.discard(worker)

    def start_node(self, name: str, worker: int, *safety: str) -> subprocess.Popen:
        """A SuperNode that says it is `worker`, with `safety` for what it shows at the door; its log has that name."""
        config = {"partition-id": worker, "num-partitions": len(self._devices), "device": self._devices[worker],
                  "keep": str(self.out / "kept")}
        return self._start(
            name, "flower-supernode", *safety, "--superlink", f"127.0.0.1:{self.relays[worker].port}",
            "--port", str(free_port()), "--node-config",
            " ".join(f"{name}={json.dumps(value)}" for name, value in config.items()))

    def kill_worker(self, worker: int) -> None:
        """SIGKILL for the SuperNode and everything it started: the power of its host fails."""
        self._gone.add(worker)
        _signal(self.nodes[worker], signal.SIGKILL)

    def kill_hub(self) -> None:
        """SIGKILL for the SuperLink and the ServerApp."""
        assert self.hub is not None
        _signal(self.hub, signal.SIGKILL)

    def _flwr(self, *arguments: str) -> str:
        done = subprocess.run(["flwr", *arguments], cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise AutapseError(f"flwr {' '.join(arguments[:2])} failed: "
                               f"{(done.stderr.strip() or done.stdout.strip())[-300:]}")
        return done.stdout

    def _asked(self, key: str, *arguments: str):
        """The entry `key` of what `flwr` answers; it is asked again while a hub that was just started is not ready."""
        end = time.monotonic() + START
        while True:
            text = self._flwr(*arguments, "--format", "json")
            answer = json.loads(text[text.index("{"):])
            if answer.get(key) is not None:
                return answer[key]
            if time.monotonic() > end:
                raise AutapseError(f"flwr {' '.join(arguments[:2])} failed: {answer.get('error-message', answer)}")
            time.sleep(1)

    def submit(self, *, resume: bool = False) -> int:
        """Submits the run and returns Flower's number of it."""
        (self.out / FAILED).unlink(missing_ok=True)
        if not resume:
            (self.out / ROUNDS).unlink(missing_ok=True)
            shutil.rmtree(self.out / "kept", ignore_errors=True)
        folder = self.home / "app"
        write_app(folder, self.settings, out=str(self.out), resume=resume, worker=self._worker, nodes=self._ids)
        return int(self._asked("run-id", "run", str(folder), _CONNECTION))

    def status(self, run: int) -> str:
        """Flower's word for how the run is: "pending", "running", "finished:completed", …"""
        return self._asked("runs", "list", _CONNECTION, "--run-id", str(run))[0]["status"]

    def rounds(self) -> list[dict]:
        """The records of the rounds so far."""
        try:
            lines = (self.out / ROUNDS).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def wait(self, run: int, *, on_round: Callable[[dict], None] = lambda record: None, poll: float = 0.5,
             seen: int = 0) -> None:
        """Waits for the end of a run; calls `on_round` with each record beyond the first `seen`.

        Raises
        ------
        AutapseError
            With the hub's own sentence if the run failed.
        """
        asked = time.monotonic()
        while True:
            records = self.rounds()
            for record in records[seen:]:
                on_round(record)
            seen = max(seen, len(records))
            if self.hub is None or self.hub.poll() is not None:
                raise AutapseError(f"the hub has ended; see {self.out / 'logs' / 'hub.log'}")
            if (self.out / FAILED).exists():
                raise AutapseError((self.out / FAILED).read_text())
            if len(records) < 2:
                # Later a worker may go, and is named in the round; one that never came is a mistake in the set-up.
                for worker, node in self.nodes.items():
                    if worker not in self._gone and node.poll() is not None:
                        raise AutapseError(f"the SuperNode of worker {worker} ended before the first round did; see "
                                           f"{self.out / 'logs' / f'worker-{worker}.log'}")
            # Asking takes a second of a processor, so it is asked rarely, and soon only after the last round.
            last = bool(records) and records[-1]["round"] >= self.settings.rounds
            if time.monotonic() - asked > (2 if last else 20):
                status, asked = self.status(run), time.monotonic()
                if status.startswith("finished"):
                    if status != "finished:completed":
                        sentence = (self.out / FAILED).read_text() if (self.out / FAILED).exists() else \
                            f"the run ended as {status}; see {self.out / 'logs' / 'hub.log'}"
                        raise AutapseError(sentence)
                    # Rounds may have ended while Flower was asked.
                    records = self.rounds()
                    for record in records[seen:]:
                        on_round(record)
                    if not records or records[-1]["round"] < self.settings.rounds:
                        raise AutapseError(f"the run ended after {len(records)} rounds; see "
                                           f"{self.out / 'logs' / 'hub.log'}")
                    return
            time.sleep(poll)

    def close(self) -> None:
        """Ends every process that was started here, and removes what they left."""
        # Listed while their parents live: Flower's apps run in sessions of their own and may outlive them.
        below = {pid for process in self._all if process.poll() is None for pid in _descendants(process.pid)}
        for process in self._all:
            _signal(process, signal.SIGTERM)
        end = time.monotonic() + 5
        for process in self._all:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
            _signal(process, signal.SIGKILL)
            process.wait()
        for pid in below | self.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for relay in self.relays:
            relay.close()
        shutil.rmtree(self.home, ignore_errors=True)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def left(self) -> set[int]:
        """Processes of this federation, also those whose parents are gone: they carry its FLWR_HOME (Linux)."""
        mark, found = f"FLWR_HOME={self.environment['FLWR_HOME']}".encode(), set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.add(int(path.parent.name))
        return found


def _leave(number: int, _) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one does not break off the clearing up
    raise SystemExit(128 + number)


def _descendants(root: int) -> list[int]:
    """The processes that `root` started, and those that they started, whatever session they moved to."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        pid, parent = line.split()
        children.setdefault(int(parent), []).append(int(pid))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


def _signal(process: subprocess.Popen, number: int) -> None:
    """To the process and, to kill, all it started: Flower's apps outlive their parents otherwise, and go on working."""
    if process.poll() is not None:
        return
    below = _descendants(process.pid) if number == signal.SIGKILL else []
    for pid in (process.pid, *below):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
