"""A mesh with all its streams side by side in wide ports, for harnesses that drive them all."""

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hw.noc import Mesh

STRIDE = 64     # bits from one stream's payload to the next: whole words of a simulator


class WideMesh(wiring.Component):
    """A mesh whose streams are bits and words of wide ports.

    Stream number p * channels + c is that of channel c at place p: the nodes, then the host. Its payload is the flit's
    data with `last` above it, from bit 64 (p * channels + c) on.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        config = mesh.config
        self.names = [f"{place}_{channel}" for place in (*range(config.mesh.nodes), "host")
                      for channel in range(config.channels)]
        count = len(self.names)
        members = list(mesh.signature.members)
        self.drops = [name for name in members if name.startswith("dropped_")]
        self.counted = [name for name in members if name.startswith("counts_")]
        super().__init__({
            "i_valid": In(count), "i_payload": In(count * STRIDE), "i_ready": Out(count),
            "o_valid": Out(count), "o_payload": Out(count * STRIDE), "o_ready": In(count),
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
                into.valid.eq(self.i_valid[place]), into.payload.eq(self.i_payload[STRIDE * place:][:word]),
                out.ready.eq(self.o_ready[place]), self.i_ready[place].eq(into.ready),
                self.o_valid[place].eq(out.valid), self.o_payload[STRIDE * place:][:word].eq(out.payload),
            ]
        m.d.comb += self.dropped.eq(Cat(getattr(mesh, name) for name in self.drops))
        if self.counted:
            m.d.comb += self.counts.eq(Cat(getattr(mesh, name) for name in self.counted))
        return m
