"""The line to a board: a serial port that may be pulled and come back."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .transport import LinkError

BAUD = 3_000_000
RECONNECT = 60.0        # seconds
_LOOK_AGAIN = 0.1       # seconds between looks for a port that is gone
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
        If the port does not exist, is no serial port, is in use, may not be opened, or cannot do this rate.
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
        try:
            self._line.timeout = max(timeout, 0)
            # What is there, or the first byte to come: waiting for all of `count` would wait for the timeout.
            content = self._line.read(1)
            if content:
                content += self._line.read(min(self._line.in_waiting, count - 1))
            return content
        except OSError as error:    # pyserial's own is one
            self._restore(error)
            return b""

    def write(self, content):
        self._check_open()
        try:
            self._line.write(content)
        except OSError as error:
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
        import serial
        try:
            line = serial.Serial(self.port, self.baud, timeout=0, write_timeout=_WRITE_PATIENCE, exclusive=True)
        except (OSError, ValueError) as error:
            raise PortError(explained(self.port, self.baud, error)) from None
        try:
            line.reset_input_buffer()
            # A USB adapter collects bytes for 16 ms otherwise, longer than the chip's ring lasts.
            line.set_low_latency_mode(True)
        except (OSError, ValueError, AttributeError, NotImplementedError):
            pass
        return line

    def _restore(self, error):
        """Opens the port that was lost with `error` anew, once it is back."""
        began = time.monotonic()
        try:
            self._line.close()
        except OSError:
            pass
        self._line = None
        self._notice(f"{self.port} is gone ({error.strerror or 'its other end was closed'}); waiting "
                     f"{self.reconnect:.0f} s for it to come back")
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
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.ENOENT or "FileNotFoundError" in text:
        ports = [entry.device for entry in _ports()]
        return f"There is no serial port {port}; " + (
            f"there are {', '.join(ports)}." if ports else "no serial port was found: plug the board in, or check the "
            "cable, some only charge.")
    if code in (errno.EACCES, errno.EPERM) or "PermissionError" in text:
        group = _group(port)
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


def _group(port: str) -> str:
    """The group that may open the port, dialout where that cannot be known."""
    try:
        import grp
        name = grp.getgrgid(os.stat(port).st_gid).gr_name
        return "dialout" if name == "root" else name
    except (ImportError, OSError, KeyError):
        return "dialout"


def _user_of(port: str) -> str | None:
    """Who has the port open, as far as /proc tells this user."""
    try:
        device = os.path.realpath(port)
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if os.readlink(link) == device and link.parts[2] != str(os.getpid()):
                    name = Path("/proc", link.parts[2], "comm").read_text().strip()
                    return f"{name} (process {link.parts[2]})"
            except OSError:
                continue
    except OSError:
        pass
    return None
