"""HostBus alone, for small and large meshes, and with the bus servers of two cores behind it, as one bank."""

import sys
from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from autapse.gateware.command import BUS_REPLY, BUS_REQUEST
from autapse.gateware.host_bus import HostBus
from autapse.hw.contract.chip import ChipConfig
from autapse.hw.contract.program import Space
from autapse.hw.engine.links import LinkView
from autapse.hw.engine.registers import Counters, Identity, Registers
from autapse.hw.engine.timeline import Timeline

ENGINE = Path(__file__).parents[1] / "hw" / "engine"
sys.path.append(str(ENGINE))

from engine_bank import Bank  # noqa: E402
from engine_parts import Served  # noqa: E402

SIZES = {"host_2": ChipConfig(mesh_width=2), "host_6": ChipConfig(lanes=4, mesh_width=3, mesh_height=2),
         "host_20": ChipConfig(lanes=1, units=1, training=False, mesh_width=4, mesh_height=5)}
SMALL = ChipConfig(lanes=4, units=2, layers=3, synapses=12, parameters=5, spike_rows=11, mask_rows=6, membrane_rows=7,
                   error_rows=9, history_words=8, active_words=3, readouts=3, error_inputs=5, mesh_width=2,
                   remote_rows=6, routes=7)


class Hosted(wiring.Component):
    """HostBus before two cores' BusServer; memories stand for registers, counters and the like, as many words each."""

    def __init__(self):
        self.config, self.bus = SMALL, HostBus(SMALL)
        super().__init__({
            "i_select": In(2), "i_bus": In(BUS_REQUEST), "o_bus": Out(BUS_REPLY), "o_busy": Out(1),
            "i_running": In(2),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.bus = bus = self.bus
        m.d.comb += [bus.i_select.eq(self.i_select), bus.i_bus.eq(self.i_bus), self.o_bus.eq(bus.o_bus),
                     self.o_busy.eq(bus.o_busy)]
        depths = {Space.REGISTERS: Registers(), Space.COUNTERS: Counters(), Space.IDENTITY: Identity(SMALL),
                  Space.TIMELINE: Timeline(), Space.LINKS: LinkView()}
        for number in range(2):
            core = Served(SMALL, small={space: unit.depth for space, unit in depths.items()})
            m.submodules[f"core_{number}"] = core
            reply = bus.i_replies[number]
            m.d.comb += [
                core.space.eq(bus.o_request.space), core.address.eq(bus.o_request.address),
                core.write_data.eq(bus.o_request.write_data), core.write.eq(bus.o_write[number]),
                core.read.eq(bus.o_read[number]), core.i_busy.eq(self.i_running[number]),
                core.i_slots.eq(self.i_running[number].replicate(len(core.i_slots))),
                reply.ready.eq(core.ready), reply.read_data.eq(core.read_data),
                reply.read_valid.eq(core.read_valid), reply.error.eq(core.error),
            ]
        return m


def host_bank() -> Bank:
    return Bank({**{name: HostBus(config) for name, config in SIZES.items()}, "hosted": Hosted()})
