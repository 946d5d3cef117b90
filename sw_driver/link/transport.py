"""What carries the bytes of the link: a process now, any other byte stream that keeps the same three calls."""

import os
import select
import signal
import subprocess
import tempfile
import weakref
from typing import Protocol

from ..errors import AutapseError

CHUNK = 65536


class LinkError(AutapseError):
    """The link to the chip is lost, or was used in a way it cannot serve; the message says what to do."""


class Transport(Protocol):
    """A stream of bytes each way that may damage them; it need not keep frames or order of writes apart."""

    def read(self, count: int, timeout: float) -> bytes:
        """Up to `count` bytes, waiting at most `timeout` seconds for the first; none where none came.

        Raises LinkError if the other end is gone.
        """
        ...

    def write(self, content: bytes) -> None:
        """Sends all of `content`. Raises LinkError if the other end is gone."""

    def close(self) -> None:
        """Ends the stream; may be called twice."""


def _end(process, errors=None):
    """Ends a process and all it started, and collects it; closes its streams, and its errors where given."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    for stream in (process.stdin, process.stdout, errors):
        if stream is not None:
            stream.close()


class ProcessTransport:
    """A program whose standard input and output are the line: the simulated chip.

    The program runs in its own session, so that an interrupt at the terminal does not reach it, and ends when this
    object is closed or lost, or when the program itself sees the end of its input.

    Parameters
    ----------
    command : the program and its arguments
    patience : seconds that `close` leaves the program to end by itself

    Raises
    ------
    LinkError
        If the program cannot be started; later, from `read` and `write`, if it has ended, with what it printed last.
    """

    def __init__(self, command, *, patience=5.0):
        self.command = [os.fspath(part) for part in command]
        self.patience = patience
        self.log = ""           # what the program wrote to its standard error, known once it has ended
        self._early = bytearray()   # read while a write had to wait
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=self._errors, bufsize=0, start_new_session=True)
        except OSError as error:
            self._errors.close()
            raise LinkError(f"{self.command[0]} could not be started: {error.strerror}; build it again.") from error
        self._finalizer = weakref.finalize(self, _end, self._process, self._errors)
        assert self._process.stdin is not None and self._process.stdout is not None, "both were asked for as pipes"
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        self._closed = False

    def read(self, count, timeout):
        if self._early:
            content = bytes(self._early[:count])
            del self._early[:count]
            return content
        self._check_open()
        if not select.select([self._output], [], [], max(timeout, 0))[0]:
            return b""
        content = os.read(self._output, count)
        if not content:
            self._fail()
        return content

    def write(self, content):
        self._check_open()
        rest = memoryview(content)
        while rest:
            readable, writable, _ = select.select([self._output], [self._input], [])
            if writable:
                try:
                    rest = rest[os.write(self._input, rest):]
                except BlockingIOError:
                    pass
                except BrokenPipeError:
                    self._fail()
            elif readable:
                # A program that waits for its output to be read would never read its input.
                more = os.read(self._output, CHUNK)
                if not more:
                    self._fail()
                self._early += more

    def close(self):
        if self._closed:
            return
        self._closed = True
        try:
            # This ends its input, and reads on: a program that waits for its output to be read would not end.
            self._process.communicate(timeout=self.patience)
        except subprocess.TimeoutExpired:
            pass
        self._finalizer.detach()
        _end(self._process)
        self._errors.seek(0)
        self.log = self._errors.read().decode(errors="replace")
        self._errors.close()

    def _check_open(self):
        if self._closed:
            raise LinkError(f"The line to {self.command[0]} is closed; open it again.")

    def _fail(self):
        self.close()
        last = self.log.strip().splitlines()[-1:] or ["it printed nothing"]
        raise LinkError(f"{self.command[0]} ended with code {self._process.returncode} ({last[0]}); start it again.")
