"""Depths that fill the memories of an iCE40 UP5K."""

from ..contract.chip import ChipConfig


def up5k_config(*, training: bool = True) -> ChipConfig:
    """A sequenced core whose one memory takes the four single-port memories of an iCE40 UP5K (65,536 words of 16 bits).

    Room to train 64-128-10 with momentum and hard reset, 8 steps, batches of 16.
    """
    return ChipConfig(
        lanes=1, units=1, shared=True, slots=1, training=training, layers=4, events=256, synapses=32768,
        parameters=256, neurons=256, spike_rows=2048, mask_rows=1536, membrane_rows=1536, error_rows=20480,
        history_words=1024, active_words=640, readouts=32, error_inputs=256)
