"""Counts what really goes over the wire: a TCP relay in front of the hub, one port per worker."""

import socket
import threading
import time
from contextlib import suppress


class Relay:
    """Passes on every connection to `port` of this machine to (host, target), and counts the bytes.

    Members
    -------
    port : int
        Where it listens, on 127.0.0.1.
    """

    def __init__(self, target: tuple[str, int]):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._log: list[tuple[float, int, int]] = []  # when, bytes up (to the hub), bytes down
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=10)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            for source, sink, up in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, sink, up), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self._log.append((time.time(), len(data) if up else 0, 0 if up else len(data)))
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def between(self, began: float, ended: float) -> tuple[int, int]:
        """Bytes to the hub and from it in that span of time.time()."""
        with self._lock:
            chosen = [entry for entry in self._log if began <= entry[0] < ended]
        return sum(entry[1] for entry in chosen), sum(entry[2] for entry in chosen)

    def close(self) -> None:
        """Stops listening and ends every connection."""
        # Shut down first: closing alone leaves a thread that waits in accept or recv, and with it the port.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
