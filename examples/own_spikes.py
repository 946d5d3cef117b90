"""Your own spikes: three patterns in noise, a network with every option spelled out, stop and go on."""

import tempfile
from pathlib import Path

import numpy as np

import autapse as ap

rng = np.random.default_rng(1)
labels = rng.integers(0, 3, 300)
patterns = rng.random((3, 10, 12)) < 0.3
spikes = (patterns[labels] ^ (rng.random((300, 10, 12)) < 0.05)).astype(np.uint8)

net = ap.Network([
    ap.Linear(12, 20, bias=False),
    ap.LIF(decay=np.linspace(0.25, 0.9, 20), threshold=0.5, half_width=0.5, reset="soft", detach=True),
    ap.Linear(20, 3),
    ap.LI(decay=0.9),
], steps=10)

with tempfile.TemporaryDirectory() as folder:
    checkpoint = Path(folder) / "run.safetensors"
    trainer = ap.Trainer(net, ap.open("golden"), learning_rate=0.25, batch=20, loss="cross_entropy")
    trainer.fit((spikes, labels), epochs=2, checkpoint=checkpoint, progress=False)
    resumed = ap.Trainer.resume(checkpoint, ap.open("golden"))
    resumed.fit((spikes, labels), epochs=3, progress=False)
print(f"accuracy {100 * resumed.evaluate((spikes, labels)).accuracy:.1f} % after {resumed.epoch} epochs")
