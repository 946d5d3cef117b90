"""Area and Fmax of the units on an ECP5-85F, as the tables of docs/numeric.md and docs/neuron.md.

    python tests/hw/neuron/measure_units.py [NAME ...]

Each unit goes alone through the flow of whole chips, its inputs in a shift register and registers on its outputs, with
Yosys and nextpnr from PyPI (`pip install autapse[synth]`), and takes about a minute.
"""

import sys
import tempfile
from pathlib import Path

from autapse.gateware.synthesis import synthesise
from autapse.hw.engine.loss import MeanSquaredError
from autapse.hw.engine.optimiser import MomentumDescent
from autapse.hw.neuron.addition import Addition
from autapse.hw.neuron.lif import LIFForward
from autapse.hw.neuron.lif_backward import LIFBackward
from autapse.hw.numeric.accumulator import ExactProductSum, ExactSum
from autapse.hw.numeric.multiplication import Multiplication
from autapse.hw.numeric.rounding import Rounding
from autapse.verification.bench.configurations import Framed

UNITS = {
    "Rounding(width=52, fraction=24)": Rounding(width=52, fraction=24),
    "Multiplication()": Multiplication(),
    "ExactSum()": ExactSum(),
    "ExactProductSum()": ExactProductSum(),
    "Addition()": Addition(),
    "LIFForward()": LIFForward(),
    "LIFBackward()": LIFBackward(),
    "MeanSquaredError()": MeanSquaredError(),
    "MomentumDescent()": MomentumDescent(),
}


def main(names: list[str]):
    print("| unit | latency | cells (LUT4 and carry) | DSP | Fmax, MHz |\n|---|---|---|---|---|")
    for name in names or UNITS:
        with tempfile.TemporaryDirectory() as folder:
            figures = synthesise(Framed(UNITS[name].create()), folder=Path(folder), say=lambda text: None)
        row = [figures["cells (LUT4 and carry)"], figures["DSP (MULT18X18D)"], round(figures["Fmax (MHz)"])]
        print(f"| `{name}` | {UNITS[name].latency} | " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
