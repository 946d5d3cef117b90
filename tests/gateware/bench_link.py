"""cocotb bench of the whole link: the driver's HostLink, in a thread, talks to the gateware over a harmful line."""

import random

import cocotb
from cocotb.task import bridge, resume

from autapse.sw_driver.link import HostLink
from bench import bench_parameters
from link_peer import Harm
from stream_agents import Agent, Bench, Sink, Source

PARAMETERS = bench_parameters()
CYCLE = 1e-6    # seconds, as the host counts them


class CycleTransport:
    """A transport whose time is the design's cycles."""

    def __init__(self, bench, source, sink, harm):
        self.bench, self.source, self.sink = bench, source, sink
        self.harm_in = Harm(seed=PARAMETERS["seed"], **harm)
        self.harm_out = Harm(seed=PARAMETERS["seed"] + 1, **harm)
        self.wait = resume(self.steps)

    def clock(self):
        return self.bench.cycle * CYCLE

    async def steps(self, count):
        for _ in range(count):
            await self.bench.step()
            if len(self.sink.items) >= 400:
                break

    def read(self, count, timeout):
        self.wait(max(1, min(int(timeout / CYCLE), 600)))
        content = self.harm_out.through(bytes(self.sink.items))
        self.sink.items.clear()
        return content

    def write(self, content):
        self.source.items += self.harm_in.through(content)

    def close(self):
        pass


@cocotb.test()
async def every_byte_comes_back_once_and_in_order(dut):
    stall = PARAMETERS["stall"]
    line_in, line_out = Source(dut, "i_line"), Sink(dut, "o_line", stall=stall)
    taken, given = Sink(dut, "o_packet", stall=stall), Source(dut, "i_packet", stall=stall)

    def loop():
        # What the chip took goes back; a frame's end ends an answer, and a new session drops what is on its way.
        if int(dut.o_session.value):
            given.items.clear()
            given.holding = False
            taken.offered = None
        given.items += taken.items
        taken.items.clear()

    bench = Bench(dut, line_in, line_out, taken, given, Agent(sample=loop))
    await bench.start()
    source = random.Random(PARAMETERS["seed"] + 2)
    packets = [source.randbytes(source.randrange(1, 90)) for _ in range(PARAMETERS["packets"])]

    def talk():
        transport = CycleTransport(bench, line_in, line_out, PARAMETERS["harm"])
        link = HostLink(transport, poll=0.002, patience=1.0, clock=transport.clock)
        for packet in packets:
            link.send(packet)
        back = link.receive(sum(map(len, packets)))
        link.flush()
        return back, link.statistics

    back, statistics = await bridge(talk)()
    assert back == b"".join(packets)
    harmed = any(PARAMETERS["harm"].values())
    assert (statistics.frames_damaged > 0) == harmed
    assert (int(dut.o_frames_bad.value) > 0) == harmed
    if not harmed:
        assert int(dut.o_frames_ok.value) > statistics.frames_sent
        assert statistics.frames_resent == 0
