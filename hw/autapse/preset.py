"""What fits an iCE40 UP5K."""

from ..contract.autapse_chip import AutapseChip


def up5k_chip() -> AutapseChip:
    """An autapse core whose memory takes the four single-port memories of an iCE40 UP5K (65,536 words of 16 bits).

    256 nodes: 64 inputs, 246 + 10 nodes train with momentum, 4 sweeps, batches of 4; with 196 inputs, images of
    14 x 14, they fit for inference; 784 inputs would take three times the memory. Reservoirs keep delays up to 128.
    """
    return AutapseChip(units=1, words=65536, line=128, events=256, segments=4, readouts=16, code_words=0, training=True)
