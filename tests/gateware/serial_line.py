"""The far end of a serial line, for benches that step their design a cycle at a time."""

from collections import deque


class FarEnd:
    """Speaks and hears 8 bits, no parity, one stop bit, at `cycles` per bit, any number above 2.

    Attributes
    ----------
    items : bytes to be spoken, or None for ten bit times of rest
    heard : bytes, and None for each whose stop bit was low
    """

    def __init__(self, cycles: float):
        self.cycles = cycles
        self.items: deque[int | None] = deque()
        self.heard: list[int | None] = []
        self._now = self._since = 0.0
        self._bits: list[int] = []
        self._start: float | None = None    # of the byte being heard
        self._samples: list[int] = []
        self.broken = False     # the next stop bit is low

    @property
    def resting(self) -> bool:
        return not self.items and not self._bits

    def speak(self) -> int:
        """The line's level in this cycle."""
        if self._bits and self._now - self._since >= self.cycles:
            self._since += self.cycles
            self._bits.pop(0)
        if not self._bits and self.items:
            item = self.items.popleft()
            self._since = max(self._since, self._now - 1)
            self._bits = [1] * 10 if item is None else [0, *(item >> k & 1 for k in range(8)), int(not self.broken)]
            self.broken = False
        return self._bits[0] if self._bits else 1

    def hear(self, level: int):
        """Takes the other line's level in this cycle; time goes on by one."""
        if self._start is None:
            if not level:
                self._start, self._samples = self._now, []
        elif self._now >= self._start + (len(self._samples) + 0.5) * self.cycles:
            self._samples.append(level)
            if len(self._samples) == 10:
                value = sum(bit << k for k, bit in enumerate(self._samples[1:9]))
                self.heard.append(value if self._samples[9] and not self._samples[0] else None)
                self._start = None
        self._now += 1
