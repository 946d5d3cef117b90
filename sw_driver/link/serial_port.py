"""The line to a board: a serial port that may be pulled and come back."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .transport import LinkError

try:
    # No OSError, and pyserial lets it through when it opens a port that is just dying.
    from termios import error as TermiosError
except ImportError:
    TermiosError = OSError

BAUD = 3_000_000
RECONNECT = 60.0        # seconds
_LOOK_AGAIN = 0.1       # seconds between looks for a port that is gone
_GROUP_MAY = stat.S_IRGRP | stat.S_IWGRP
_WRITE_PATIENCE = 20.0  # seconds for one write, which is at most a few frames


class PortError(LinkError):
    """The serial port cannot be had; the message says why and what to do."""


class SerialTransport:
    """A serial port, 8 data bits, no parity, one stop bit, no flow control, for this program alone.

    If the port vanishes while in use, because its cable was pulled, `read` and `write` wait for it to come back under
    the same name and open it again; `outages` counts how often. What was on the way is lost then, as by any other
    damage of the line. A `LinkError` comes of it only if the port stays away.

    Parameters
    ----------
    port : its name: /dev/ttyUSB0, a link to it such as those in /dev/serial/by-id, COM3
    baud : bits per second
    reconnect : seconds to wait for a port that vanished; 0 gives up at once
    notice : called with a sentence when the port vanishes and when it is back

    Raises
    ------
    PortError
        If the port does not exist, is no serial port, is in use, may not be opened, or cannot do this rate; or if
        pyserial is missing.
    """

    def __init__(self, port: str | os.PathLike, *, baud: int = BAUD, reconnect: float = RECONNECT,
                 notice: Callable[[str], None] | None = None):
        self.port, self.baud, self.reconnect = os.fspath(port), baud, reconnect
        self.outages = 0
        self.away = 0.0     # seconds that the port was gone, all told
        self._notice = notice or (lambda sentence: None)
        self._closed = False
        self._line: Any = None
        self._line = self._open()

    def read(self, count, timeout):
        self._check_open()
        if self._line is None:
            self._await_port()
            return b""
        try:
            self._line.timeout = max(timeout, 0)
            # What is there, or the first byte to come: waiting for all of `count` would wait for the timeout.
            content = self._line.read(1)
            if content:
                content += self._line.read(min(self._line.in_waiting, count - 1))
            return content
        except (OSError, TermiosError) as error:    # pyserial's own is an OSError
            self._restore(error)
            return b""

    def write(self, content):
        self._check_open()
        if self._line is None:
            self._await_port()
            return
        try:
            self._line.write(content)
        except (OSError, TermiosError) as error:
            if type(error).__name__ == "SerialTimeoutException":
                raise LinkError(f"{self.port} took no more bytes for {_WRITE_PATIENCE:.0f} s; check the cable, or "
                                "whether its driver hangs, then open it again.") from None
            self._restore(error)

    def close(self):
        self._closed = True
        if self._line is not None:
            try:
                self._line.close()
            except OSError:
                pass    # the port is gone already
            self._line = None

    def _open(self):
        try:
            import serial
        except ModuleNotFoundError:
            raise PortError("A serial port needs pyserial, which is not installed; pip install 'autapse[serial]'.") \
                from None
        try:
            line = serial.Serial(self.port, self.baud, timeout=0, write_timeout=_WRITE_PATIENCE, exclusive=True)
        except (OSError, ValueError, TermiosError) as error:
            raise PortError(explained(self.port, self.baud, error)) from None
        try:
            line.reset_input_buffer()
            # A USB adapter collects bytes for 16 ms otherwise, longer than the chip's ring lasts.
            line.set_low_latency_mode(True)
        except (OSError, ValueError, AttributeError, NotImplementedError, TermiosError):
            pass
        return line

    def _restore(self, error):
        """Opens the port that was lost with `error` anew, once it is back."""
        try:
            self._line.close()
        except OSError:
            pass
        self._line = None
        self._notice(f"{self.port} is gone ({getattr(error, 'strerror', '') or 'its other end was closed'}); waiting "
                     f"{self.reconnect:.0f} s for it to come back")
        self._await_port()

    def _await_port(self):
        """Without a line: waits for the port. Interrupted, it is to be called again."""
        began = time.monotonic()
        while True:
            try:
                self._line = self._open()
                break
            except PortError as refusal:
                waited = time.monotonic() - began
                if waited >= self.reconnect:
                    self._closed = True
                    raise LinkError(f"{self.port} was lost and did not come back within {self.reconnect:.0f} s: "
                                    f"{refusal}") from None
            time.sleep(min(_LOOK_AGAIN, max(self.reconnect - waited, 0.0)))
        self.outages += 1
        self.away += time.monotonic() - began
        self._notice(f"{self.port} is back after {time.monotonic() - began:.1f} s; going on")

    def _check_open(self):
        if self._closed:
            raise LinkError(f"{self.port} is closed; open it again.")


def explained(port: str, baud: int, error: Exception) -> str:
    """Why a port could not be opened, and what to do."""
    if isinstance(error, TermiosError):
        error = OSError(*error.args)
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.ENOENT or "FileNotFoundError" in text:
        ports = [entry.device for entry in _ports()]
        return f"There is no serial port {port}; " + (
            f"there are {', '.join(ports)}." if ports else "no serial port was found: plug the board in, or check the "
            "cable, some only charge.")
    if code in (errno.EACCES, errno.EPERM) or "PermissionError" in text:
        group = _group(port)
        if group is None:
            return (f"There is no permission to open {port}, and no group has it: a udev rule must give it to one, "
                    "such as dialout.")
        return (f"There is no permission to open {port}; it belongs to the group {group}: "
                f"sudo usermod -aG {group} $USER, then log in again.")
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        user = _user_of(port)
        return f"{port} is in use by {user or 'another program'}; close that first."
    if code in (errno.ENOTTY, errno.EINVAL, errno.EISDIR, errno.ENODEV) or "Could not configure port" in text:
        return f"{port} is no serial port; name one such as /dev/ttyUSB0."
    if isinstance(error, ValueError):
        return f"{port} cannot do {baud} baud ({text}); state another rate with baud=."
    return f"{port} cannot be opened: {os.strerror(code) if code else text}."


def _ports() -> list:
    from serial.tools.list_ports import comports
    return sorted(comports())


def _group(port: str) -> str | None:
    """The group that may open the port, None if none may but root's; dialout where that cannot be known."""
    try:
        import grp
        about = os.stat(port)
        name = grp.getgrgid(about.st_gid).gr_name
        return name if about.st_mode & _GROUP_MAY == _GROUP_MAY and name != "root" else None
    except (ImportError, OSError, KeyError):
        return "dialout"


def _user_of(port: str) -> str | None:
    """Who has locked the port, or else has it open, as far as /proc tells this user."""
    for process in (*_lockers(port), *_openers(port)):
        if process != str(os.getpid()):
            try:
                return f"{Path('/proc', process, 'comm').read_text().strip()} (process {process})"
            except OSError:
                continue
    return None


def _lockers(port: str) -> list[str]:
    try:
        about = os.stat(port)
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return []
    file = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    return [lock[4] for lock in locks if lock[1] == "FLOCK" and lock[5] == file]


def _openers(port: str) -> Iterator[str]:
    device = os.path.realpath(port)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == device:
                yield link.parts[2]
        except OSError:
            continue
