"""The autapse neuron of docs/autapse.md in integers, word by word and as slowly as it is written there."""

from dataclasses import dataclass, field

from autapse.hw.numeric.binary16 import decode, encode

FRACTION = 24


@dataclass
class SlowNeuron:
    """One neuron; words of binary16 in and out. `overflow` notes a saturated result that is used."""

    leak: int
    threshold: int
    half_width: int
    soft: bool = False
    strict: bool = False
    spiking: bool = True
    v: int = 0
    passed: int | None = None   # in place of mul(λ, v), of the next node
    overflow: bool = False
    spikes: list[int] = field(default_factory=list)     # of all nodes so far, the last one at the end

    def begin(self):
        self.v = 0

    def product(self) -> int:
        """mul(λ, v)."""
        return encode(decode(self.leak) * decode(self.v), fraction=2 * FRACTION)[0]

    def node(self, words: list[int], *, last: bool = False) -> tuple[int, int, int, int]:
        """u, spike, mask and the cycles from the end of the sum to the end of the node, of a sum of these words."""
        leak = self.product() if self.passed is None else self.passed
        leak, self.passed = leak if self.spiking else 0, None
        u, over = encode(decode(leak) + sum(map(decode, words)))
        self.overflow |= over
        if not self.spiking:
            self.spikes.append(0)
            return u, 0, 0, 8
        above = decode(u) - decode(self.threshold)
        spike, near = above > 0 if self.strict else above >= 0, abs(above) < decode(self.half_width)
        self.v, over = (encode(above) if self.soft else (0, False)) if spike else (u, False)
        used = bool(self.leak) and not last
        self.overflow |= over and used
        self.spikes.append(int(spike))
        return u, int(spike), int(near), 15 + (spike and self.soft) + 5 * (used and self.v & 0x7FFF != 0)

    def delayed(self, delay: int) -> int:
        """The spike that many nodes ago."""
        return self.spikes[-delay] if delay <= len(self.spikes) else 0
