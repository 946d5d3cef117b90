"""Space against time: perceptrons of one autapse neuron on digits, by nodes and by units side by side, as a plot."""

import sys

import numpy as np
from matplotlib.figure import Figure

import autapse as ap
from autapse.sw_driver.autapse_cost import additions, layer_state_bits, state_bits

STEPS = 4
data = ap.load_data("digits", encoder="planes")


def network(nodes, units=1):
    """Two segments of multiples of 16, so that 16 units side by side take nodes of one segment; 16 nodes are one."""
    last = max(16, nodes * 2 // 5 // 16 * 16)
    segments = [nodes - last, last] if last < nodes else [nodes]
    return ap.Autapse(64, nodes, segments=segments, readout="prototype", classes=10, units=units)


def trained(nodes):
    """Test accuracy in percent, and the spikes of one sample."""
    net = ap.Network([network(nodes)], steps=STEPS)
    device = ap.open("golden")
    trainer = ap.Trainer(net, device, loss="prototype", learning_rate=0.1)
    trainer.fit(data, epochs=12, progress=False)
    sample = data.test.spikes(np.array([0]), STEPS)
    trace = device.accumulate(sample, **trainer.loss.request(data.test.labels[:1]), capture=True).traces[0][0]
    return 100 * trainer.history[-1]["test_accuracy"], sample[0], trace["s"]


rows = []
for nodes in (16, 32, 64, 128, 256):
    accuracy, inputs, spikes = trained(nodes)
    for units in (1, 4, 16):
        spec = network(nodes, units).spec
        latency = sum(additions(spec, spikes[step], inputs[step]) for step in range(STEPS))
        bits = state_bits(spec, STEPS)
        rows.append((nodes, units, latency, sum(bits.values()) - bits["prototypes"], bits["prototypes"], accuracy,
                     sum(layer_state_bits(spec.segments).values())))

print(f"{'nodes':>6}{'units':>6}{'additions':>11}{'state bits':>11}{'prototypes':>11}{'LIF layers':>11}  accuracy")
for nodes, units, latency, bits, prototypes, accuracy, layers in rows:
    print(f"{nodes:>6}{units:>6}{latency:>11,}{bits:>11,}{prototypes:>11,}{layers:>11,}{accuracy:>9.1f} %")

figure = Figure(figsize=(8, 3.4), layout="constrained")
space, score = figure.subplots(1, 2)
for units, colour in ((1, "#2563eb"), (4, "#ea580c"), (16, "#0d9488")):
    points = [row for row in rows if row[1] == units]
    space.plot([row[3] for row in points], [row[2] for row in points], "o-", color=colour,
               label=f"{units} unit{'s' if units > 1 else ''}")
    for row in points:
        space.annotate(str(row[0]), (row[3], row[2]), xytext=(4, 4), textcoords="offset points", fontsize=7)
space.set(xscale="log", yscale="log", xlabel="state: membranes, delay line, code (bits)",
          ylabel="latency (additions per sample)", title="space against time; numbers are nodes")
space.legend(frameon=False)
single = [row for row in rows if row[1] == 1]
score.plot([row[0] for row in single], [row[5] for row in single], "o-", color="#2563eb")
score.set(xscale="log", xlabel="nodes", ylabel="test accuracy (%)", title="accuracy, digits")
score.set_xticks([row[0] for row in single], [str(row[0]) for row in single])
score.minorticks_off()
for axes in (space, score):
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e7eb")
place = sys.argv[1] if len(sys.argv) > 1 else "autapse_tradeoff.svg"
figure.savefig(place, dpi=150)
print(f"plot: {place}")
