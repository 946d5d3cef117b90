"""Train on 8x8 digits in a few seconds; say `python examples/digits.py sim` for the simulated chip."""

import sys

import autapse as ap

net = ap.Network([ap.Linear(64, 128), ap.LIF(decay=0.5), ap.Linear(128, 10), ap.LI(decay=0.5)], steps=8)
with ap.open(sys.argv[1] if len(sys.argv) > 1 else "golden") as device:
    trainer = ap.Trainer(net, device, learning_rate=0.3, momentum=0.9)
    trainer.fit(ap.load_data("digits"), epochs=2)
    print(f"test accuracy {100 * trainer.evaluate(ap.load_data('digits')).accuracy:.2f} %")
