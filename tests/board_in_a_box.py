"""A simulated board behind a pseudo-terminal, as a process for tests."""

import json
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).parents[1] / "build" / "simulators"


class Box:
    """The board's process; `port` is its name, `stats` what it says at its end."""

    def __init__(self, program, folder, *options, clock_hz):
        self.port = folder / "port"
        self.process = subprocess.Popen([str(program), "--clock", str(clock_hz), "--link", str(self.port), "--stats",
                                         *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stats: dict = {}
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    @property
    def device(self):
        return f"serial:{self.port}"

    def pull(self):
        self.process.send_signal(signal.SIGUSR1)
        while self.port.is_symlink():
            time.sleep(0.01)

    def put_back(self):
        self.process.send_signal(signal.SIGUSR2)
        while not self.port.is_symlink():
            time.sleep(0.01)

    def close(self):
        self.process.terminate()
        _, errors = self.process.communicate(timeout=30)
        self.stats = json.loads(errors.strip().splitlines()[-1])


@contextmanager
def boxed(program, folder, *options, clock_hz):
    box = Box(program, folder, *options, clock_hz=clock_hz)
    try:
        yield box
    finally:
        box.close()
