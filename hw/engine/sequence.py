"""The sequence of runs: one sample forward while the one before it goes backward."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..contract.program import Run

Command = data.StructLayout({"mask": 16, "sample": 16})

_FRONT = Run.CLEAR | Run.FORWARD | Run.LOSS
_REAR = Run.BACKWARD | Run.UPDATE


class Sequencer(wiring.Component):
    """Takes runs apart and keeps two of them under way.

    ::

        i ──┬─> front: clear, forward, loss ──> rear: backward, update
            └──────── (rear parts alone) ─────┘

    The front takes a run while its slot is at rest; a run of rear parts alone goes past the front. So forward
    of one slot and backward of the other overlap, and with `overlap` False nothing does. A run that clears
    waits until the rear is at rest, one that updates waits until all is, and nothing goes past either, since
    both are the batch's.

    Members
    -------
    o_<part> : the part is under way; its `o_<part>_start` is high in the first cycle
    i_<part>_done : the part ends in this cycle, not before the one after its start
    i_clearing : histories are being cleared, backward has to wait
    o_front_slot, o_rear_slot, o_offset : slots of the runs under way, first step in the batch of the rear's
    o_busy : a run is under way; o_slots : by slot
    """

    parts = ("forward", "loss", "backward", "update")

    def __init__(self, *, slots: int = 2, overlap: bool = True):
        self._slots, self._overlap = slots, overlap
        super().__init__({
            "i": In(stream.Signature(Command)), "i_clearing": In(1), "o_clear": Out(1),
            **{f"o_{part}": Out(1) for part in self.parts}, **{f"o_{part}_start": Out(1) for part in self.parts},
            **{f"i_{part}_done": In(1) for part in self.parts},
            "o_front_slot": Out(1), "o_rear_slot": Out(1), "o_offset": Out(16), "o_busy": Out(1), "o_slots": Out(slots),
        })

    def elaborate(self, platform):
        m = Module()
        front, rear = Signal(Command), Signal(Command)
        front_busy, rear_busy, hand_over = Signal(), Signal(), Signal()
        offered = self.i.payload
        slot_of = (lambda command: command.mask[Run.SLOT.bit_length() - 1]) if self._slots > 1 else (lambda command: 0)

        def has(command, parts):
            return (command.mask & int(parts)).any()

        slot_free = Signal()
        m.d.comb += [
            self.o_busy.eq(front_busy | rear_busy),
            self.o_front_slot.eq(slot_of(front)), self.o_rear_slot.eq(slot_of(rear)),
            self.o_offset.eq(rear.sample),
        ]
        for slot in range(self._slots):
            m.d.comb += self.o_slots[slot].eq(
                (front_busy & (self.o_front_slot == slot)) | (rear_busy & (self.o_rear_slot == slot)))
        m.d.comb += slot_free.eq(~rear_busy | (slot_of(offered) != self.o_rear_slot) if self._overlap else ~rear_busy)

        def part(name, following):
            start = Signal(name=f"{name}_first", init=1)
            m.d.comb += [getattr(self, f"o_{name}").eq(1), getattr(self, f"o_{name}_start").eq(start)]
            m.d.sync += start.eq(0)
            with m.If(~start & getattr(self, f"i_{name}_done")):
                m.d.sync += start.eq(1)
                m.next = following

        with m.FSM(name="front"):
            with m.State("Idle"):
                with m.If(self.i.valid & has(offered, _FRONT)):
                    m.d.comb += self.i.ready.eq(
                        slot_free & ~(rear_busy & (has(offered, Run.CLEAR) | has(rear, Run.UPDATE))))
                    with m.If(self.i.ready):
                        m.d.sync += front.eq(offered)
                        m.next = "Start"
            with m.State("Start"):
                m.d.comb += [front_busy.eq(1), self.o_clear.eq(has(front, Run.CLEAR))]
                m.next = "Handover"
                with m.If(has(front, Run.FORWARD)):
                    m.next = "Forward"
                with m.Elif(has(front, Run.LOSS)):
                    m.next = "Loss"
            with m.State("Forward"):
                m.d.comb += front_busy.eq(1)
                part("forward", "After")
            with m.State("After"):
                m.d.comb += front_busy.eq(1)
                m.next = "Handover"
                with m.If(has(front, Run.LOSS)):
                    m.next = "Loss"
            with m.State("Loss"):
                m.d.comb += front_busy.eq(1)
                part("loss", "Handover")
            with m.State("Handover"):
                # Clearing may outlast a short forward pass; backward would write what it clears.
                m.d.comb += [front_busy.eq(1), hand_over.eq(has(front, _REAR) & ~rear_busy & ~self.i_clearing)]
                with m.If(hand_over | ~(has(front, _REAR) | self.i_clearing)):
                    m.next = "Idle"
        front_only_rear = self.i.valid & ~has(offered, _FRONT)
        with m.FSM(name="rear"):
            with m.State("Idle"):
                with m.If(hand_over):
                    m.d.sync += rear.eq(front)
                    m.next = "Start"
                with m.Elif(front_only_rear & ~(front_busy & (
                        has(offered, Run.UPDATE) | has(front, Run.CLEAR | Run.UPDATE)))):
                    busy_in_front = front_busy & (slot_of(offered) == self.o_front_slot)
                    m.d.comb += self.i.ready.eq(~busy_in_front if self._overlap else ~front_busy)
                    with m.If(self.i.ready):
                        m.d.sync += rear.eq(offered)
                        m.next = "Start"
            with m.State("Start"):
                m.d.comb += rear_busy.eq(1)
                m.next = "Idle"
                with m.If(has(rear, Run.BACKWARD)):
                    m.next = "Backward"
                with m.Elif(has(rear, Run.UPDATE)):
                    m.next = "Wait"
            with m.State("Backward"):
                m.d.comb += rear_busy.eq(1)
                part("backward", "Wait")
            with m.State("Wait"):
                m.d.comb += rear_busy.eq(1)
                m.next = "Idle"
                with m.If(has(rear, Run.UPDATE)):
                    # Weights change: no other sample may be on its way.
                    m.next = "Wait"
                    with m.If(~front_busy):
                        m.next = "Update"
            with m.State("Update"):
                m.d.comb += rear_busy.eq(1)
                part("update", "Idle")
        return m
