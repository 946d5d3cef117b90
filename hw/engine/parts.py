"""One sequence of runs for many cores: parts are told to all, and end when all have ended."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .sequence import Command, Sequencer

_LEVELS = tuple(name for part in Sequencer.parts for name in (part, f"{part}_start"))

Parts = data.StructLayout({
    **dict.fromkeys(_LEVELS, 1), "clear": 1, "front_slot": 1, "rear_slot": 1, "offset": 16, "busy": 1, "slots": 2,
})
"""What the sequencer of a mesh tells every core: its outputs, by their names."""

Report = data.StructLayout({**dict.fromkeys(Sequencer.parts, 1), "clearing": 1, "counting": 1, "busy": 1})
"""What a core answers: parts that it has done and that are still under way, histories or counters being cleared, and
whether anything is under way."""


class Follower(wiring.Component):
    """In a core of a mesh what `Sequencer` is in a core alone, for the parts that the mesh's sequencer tells.

    A part done is remembered until the sequencer ends the part. Parts reach the core one cycle, reports the
    mesh one cycle after they are told.

    Members
    -------
    i_parts, o_report : from and to the sequencer of the mesh
    i_counting, i_busy : of the core's counters
    and those of `Sequencer`, but for its stream of runs
    """

    def __init__(self, *, slots: int = 2):
        self._slots = slots
        super().__init__({
            "i_parts": In(Parts), "o_report": Out(Report), "i_counting": In(1), "i_busy": In(1),
            "i_clearing": In(1), "o_clear": Out(1),
            **{f"o_{part}": Out(1) for part in Sequencer.parts},
            **{f"o_{part}_start": Out(1) for part in Sequencer.parts},
            **{f"i_{part}_done": In(1) for part in Sequencer.parts},
            "o_front_slot": Out(1), "o_rear_slot": Out(1), "o_offset": Out(16), "o_busy": Out(1),
            "o_slots": Out(slots),
        })

    def elaborate(self, platform):
        m = Module()
        heard = Signal(Parts)
        m.d.sync += heard.eq(self.i_parts)
        for name in (*_LEVELS, "clear", "front_slot", "rear_slot", "offset", "busy", "slots"):
            m.d.comb += getattr(self, f"o_{name}").eq(heard[name])
        for part in Sequencer.parts:
            done = Signal(name=f"{part}_done")
            with m.If(heard[f"{part}_start"] | ~heard[part]):
                m.d.sync += done.eq(0)
            with m.Elif(getattr(self, f"i_{part}_done")):
                m.d.sync += done.eq(1)
            m.d.sync += self.o_report[part].eq(done & heard[part])
        m.d.sync += [
            self.o_report.clearing.eq(self.i_clearing | heard.clear), self.o_report.counting.eq(self.i_counting),
            self.o_report.busy.eq(self.i_busy),
        ]
        return m


class Conductor(wiring.Component):
    """The sequencer of a mesh: one `Sequencer`, whose parts are those of all cores together.

    A part ends once every core has reported it done, after all were seen at it: at the cores `round_trip` cycles after
    the last of them was done, where a core alone takes one.

    Members
    -------
    i : runs; they wait while a core clears its counters, which is known two cycles after its `i_counting`
    o_parts, i_reports : to every core, from each of them
    o_busy : a run is under way, or a core is at work for one
    """

    round_trip = 5

    def __init__(self, *, cores: int, slots: int):
        self._cores = cores
        self._sequencer = Sequencer(slots=slots)
        super().__init__({
            "i": In(stream.Signature(Command)), "o_parts": Out(Parts),
            "i_reports": In(Report).array(cores), "o_busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sequencer = sequencer = self._sequencer
        for name in (*_LEVELS, "clear", "front_slot", "rear_slot", "offset", "busy", "slots"):
            m.d.comb += self.o_parts[name].eq(getattr(sequencer, f"o_{name}"))
        any_busy, counting = Signal(), Signal()
        told = Signal(3)        # that a run is under way; what the cores answer to it follows at once
        settle = Signal(range(self.round_trip + 1))  # reports of what was told last are still to come
        m.d.sync += [
            any_busy.eq(Cat(report.busy for report in self.i_reports).any()),
            counting.eq(Cat(report.counting for report in self.i_reports).any()),
        ]
        m.d.sync += told.eq(Cat(sequencer.o_busy, told))
        clearing = Signal()
        m.d.sync += clearing.eq(Cat(report.clearing for report in self.i_reports).any())
        with m.If(sequencer.o_clear):
            m.d.sync += settle.eq(self.round_trip)
        with m.Elif(settle != 0):
            m.d.sync += settle.eq(settle - 1)
        m.d.comb += [
            sequencer.i.payload.eq(self.i.payload), sequencer.i.valid.eq(self.i.valid & ~counting),
            self.i.ready.eq(sequencer.i.ready & ~counting),
            sequencer.i_clearing.eq(clearing | (settle != 0)),
            self.o_busy.eq(sequencer.o_busy | told.any() | any_busy),
        ]
        for part in Sequencer.parts:
            done, seen = Signal(name=f"{part}_done"), Signal(name=f"{part}_seen")
            m.d.sync += done.eq(Cat(report[part] for report in self.i_reports).all())
            # What was reported of the part before may still stand.
            with m.If(getattr(sequencer, f"o_{part}_start")):
                m.d.sync += seen.eq(0)
            with m.Elif(~done):
                m.d.sync += seen.eq(1)
            m.d.comb += getattr(sequencer, f"i_{part}_done").eq(done & seen)
        return m
