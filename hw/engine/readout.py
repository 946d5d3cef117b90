"""Loss phase: every readout against its target, one class after the other."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.program import Space
from ..neuron.pipeline import delay
from .loss import MeanSquaredError
from .memory import ROW_LATENCY, ReadPort, WritePort, shape_of


class LossEngine(wiring.Component):
    """Writes the error of each class from its exact readout and its target.

    One class per cycle; `o_idle` rises `classes` + the unit's latency + 3 cycles after `i_start`. With `borrows`
    some ports go to an `UpdateEngine` that lends (`MeanSquaredErrorUnit`).
    """

    def __init__(self, config: ChipConfig, *, borrows: bool = False):
        self.config = config
        self.unit = MeanSquaredError(width=config.sum_bits, borrows=borrows)
        super().__init__({
            **self.unit.borrowed_ports,
            "i_start": In(1), "i_classes": In(16), "i_inverse_steps": In(16), "i_gain": In(16),
            "readout": Out(ReadPort(**shape_of(config, Space.READOUTS))),
            "targets": Out(ReadPort(**shape_of(config, Space.TARGETS))),
            "errors": Out(WritePort(**shape_of(config, Space.ERROR_INPUTS))),
            "o_idle": Out(1), "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        bits = ceil_log2(self.config.units)
        m.submodules.unit = unit = self.unit.create()
        left, sent, taken = Signal(16), Signal(16), Signal(16)
        out = Signal(16)
        valid, lane = Signal(), Signal(max(bits, 1))
        m.d.comb += [
            self.readout.address.eq(sent >> bits), self.targets.address.eq(sent >> bits),
            unit.i_valid.eq(valid),
            unit.i_readout.eq(self.readout.data.word_select(lane, 64)[:self.config.sum_bits].as_signed()),
            unit.i_target.eq(self.targets.data.word_select(lane, 16)),
            unit.i_inverse_steps.eq(self.i_inverse_steps), unit.i_gain.eq(self.i_gain),
            self.errors.address.eq(taken >> bits),
            self.errors.data.eq(unit.o_error.replicate(self.config.units)),
            self.errors.enable.eq((unit.o_valid << taken[:bits]) if bits else unit.o_valid),
            self.o_idle.eq((left == 0) & (out == 0)),
            self.o_overflow.eq(unit.o_valid & unit.o_overflow),
        ]
        for name in self.unit.borrowed_ports:
            inner, outer = getattr(unit, name), getattr(self, name)
            m.d.comb += outer.eq(inner) if name.startswith("o_") else inner.eq(outer)
        m.d.comb += [
            valid.eq(delay(m, left != 0, ROW_LATENCY, name="asked", reset_less=False)),
            lane.eq(delay(m, sent[:bits], ROW_LATENCY, name="lane") if bits else 0),
        ]
        with m.If(self.i_start):
            m.d.sync += [left.eq(self.i_classes), out.eq(self.i_classes), sent.eq(0), taken.eq(0)]
        with m.Else():
            with m.If(left != 0):
                m.d.sync += [left.eq(left - 1), sent.eq(sent + 1)]
            with m.If(unit.o_valid):
                m.d.sync += [taken.eq(taken + 1), out.eq(out - 1)]
        return m
