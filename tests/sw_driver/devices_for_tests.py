"""Devices that misbehave on purpose, around the golden model."""

import numpy as np

from autapse.sw_driver.devices.golden import GoldenDevice


class Flipped(GoldenDevice):
    """Flips the lowest bit of one word: of a trace at one sample of one batch, of the readouts, or of the state."""

    name = "flipped"

    def __init__(self, *, word: str, batch: int = 1, sample: int = 2, layer: int = 0, at=(1, 3)):
        super().__init__()
        self.word, self.batch, self.sample, self.layer, self.at = word, batch, sample, layer, at
        self.done = self.reads = -1

    def accumulate(self, *arguments, **options):
        result = super().accumulate(*arguments, **options)
        self.done += 1
        if self.done == self.batch and self.word in ("u", "s", "m", "d"):
            trace = result.traces[self.sample][self.layer][self.word]
            trace.view(f"u{trace.itemsize}")[self.at] ^= 1
        if self.done == self.batch and self.word == "readout":
            result.readouts[self.sample, self.at[1]] ^= 1
        if self.done == self.batch and self.word == "overflow":
            result.overflow = True
        return result

    def read_state(self):
        state = super().read_state()
        self.reads += 1
        if self.reads == self.batch + 1 and hasattr(state[self.layer], self.word):
            words = getattr(state[self.layer], self.word)
            words.view(np.uint16)[self.at if words.ndim == 2 else self.at[1]] ^= 1
        return state


class Blind(GoldenDevice):
    """Keeps no membranes, as a chip without memory for them."""

    name = "blind"

    def accumulate(self, *arguments, **options):
        result = super().accumulate(*arguments, **options)
        for sample in result.traces or ():
            for layer in sample:
                layer["u"] = None
        return result


class Overflowing(GoldenDevice):
    """Says that chosen batches overflowed."""

    name = "overflowing"

    def __init__(self, *, batches):
        super().__init__()
        self.batches, self.done = batches, -1

    def accumulate(self, *arguments, **options):
        result = super().accumulate(*arguments, **options)
        self.done += 1
        result.overflow |= self.done in self.batches
        return result
