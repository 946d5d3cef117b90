"""Meshes as the benches of the network have them: all streams side by side in three wide ports each way."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from autapse.hw.noc import Mesh


class WideMesh(wiring.Component):
    """A mesh whose streams are bits and words of wide ports: one access of a simulator's handle for all of them.

    Stream number p * channels + c is that of channel c at place p: the nodes, then the host.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        config = mesh.config
        self.names = [f"{place}_{channel}" for place in (*range(config.mesh.nodes), "host")
                      for channel in range(config.channels)]
        count, word = len(self.names), config.flit_bits + 1
        self.drops = [name for name in mesh.signature.members if name.startswith("dropped_")]
        self.counted = [name for name in mesh.signature.members if name.startswith("counts_")]
        super().__init__({
            "i_valid": In(count), "i_payload": In(count * word), "i_ready": Out(count),
            "o_valid": Out(count), "o_payload": Out(count * word), "o_ready": In(count),
            "dropped": Out(16 * len(self.drops)),
            **({"counts": Out(5 * 96 * len(self.counted))} if self.counted else {}),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.mesh = mesh = self.mesh
        word = mesh.config.flit_bits + 1
        for place, name in enumerate(self.names):
            into, out = getattr(mesh, f"i_{name}"), getattr(mesh, f"o_{name}")
            m.d.comb += [
                into.valid.eq(self.i_valid[place]), into.payload.eq(self.i_payload.word_select(place, word)),
                out.ready.eq(self.o_ready[place]),
            ]
        inputs = [getattr(mesh, f"i_{name}") for name in self.names]
        outputs = [getattr(mesh, f"o_{name}") for name in self.names]
        m.d.comb += [
            self.i_ready.eq(Cat(port.ready for port in inputs)),
            self.o_valid.eq(Cat(port.valid for port in outputs)),
            self.o_payload.eq(Cat(port.payload for port in outputs)),
            self.dropped.eq(Cat(getattr(mesh, name) for name in self.drops)),
        ]
        if self.counted:
            m.d.comb += self.counts.eq(Cat(getattr(mesh, name) for name in self.counted))
        return m
