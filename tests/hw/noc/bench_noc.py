"""cocotb benches of whole meshes: those that the parameters name."""

import random

import cocotb

from autapse.hw.contract.noc import MeshShape
from bench import bench_parameters
from noc_agents import Network

PARAMETERS = bench_parameters()
SHAPE = MeshShape(*PARAMETERS["shape"])
MOST = 150      # cycles that a packet of 16 flits may take where single flits of all others are under way
PLACES = range(SHAPE.nodes + 1)


def only(name):
    return cocotb.test(skip=name not in PARAMETERS["parts"])


def to_any(source):
    """A destination's bit; the host does not send to itself."""
    return 1 << random.randrange(SHAPE.nodes + (source != SHAPE.host))


def transposed(node):
    """Column and row swapped, folded into the mesh where it is not square."""
    x, y = SHAPE.at(node)
    return y % SHAPE.width + SHAPE.width * (x % SHAPE.height)


def everybody(source):
    return (1 << SHAPE.nodes + (source != SHAPE.host)) - 1


def some(source):
    return random.randrange(1, everybody(source) + 1)


PATTERNS = {
    "uniform": to_any,
    "transpose": lambda source: 1 << (0 if source == SHAPE.host else transposed(source)),
    "hot spot": lambda source: 1 << SHAPE.nodes // 2 if random.random() < 0.5 else to_any(source),
    "all to one": lambda source: 1 << SHAPE.nodes - 1,
    "one to all": lambda source: everybody(source) if source == SHAPE.nodes - 1 else None,
    "all to all": everybody,
    "some to some": some,
}


def most_cycles(links):
    """From a packet's last flit handed over to its last one taken, as `Router` says: W(h) at each router, h links
    before its destination, behind at most three others in the buffer."""
    waits = [16]
    for _ in range(links + 1):
        waits.append(5 * (4 * waits[-1] + 3 * 5 * 16))
    return 4 * sum(waits)


@only("traffic")
async def what_is_sent_arrives_once_and_in_order(dut):
    """Every pattern on every channel, without stalls and with many."""
    for stall_in, stall_out in ((0, 0), (0.3, 0.5)):
        net = Network(dut, SHAPE, stall_in=stall_in, stall_out=stall_out, clock=not stall_in)
        await net.start()
        for name, pattern in PATTERNS.items():
            before, packets = net.arrived, []
            for _ in range(PARAMETERS["packets"]):
                for source in PLACES:
                    for channel in range(3):
                        mask = pattern(source)
                        if mask is not None:
                            flits = random.choice((1, 1, 2, 3, 5, 8, 15, 16))
                            packets.append((source, net.packet(source, mask, flits, channel)))
            await net.finish()
            if not stall_out:
                for source, packet in packets:
                    for to, cycle in packet.arrivals.items():
                        assert cycle - packet.sent <= most_cycles(SHAPE.hops(source, to)), (name, source, to)
            assert net.arrived - before >= PARAMETERS["packets"], name
        assert int(dut.dropped.value) == 0


@only("latency")
async def header_comes_two_cycles_a_link_and_two_more(dut):
    net = Network(dut, SHAPE)
    await net.start()
    for source in PLACES:
        for to in PLACES:
            if source == to == SHAPE.host:
                continue
            for flits in (1, 16) if source % 2 else (2,):
                packet = net.packet(source, 1 << to, flits, channel=(source + to) % 3)
                await net.finish(quiet=2)
                expected = 2 * (SHAPE.hops(source, to) + 1) - (to == SHAPE.host)
                assert packet.sent - packet.begun == flits - 1
                assert packet.arrivals[to] - packet.sent == expected + flits - 1, (source, to, flits)


@only("throughput")
async def links_carry_a_flit_every_cycle(dut):
    """From one end of the mesh to the other; back to back behind the first packet."""
    net = Network(dut, SHAPE)
    await net.start()
    for flits in (1, 2, 3, 4, 5, 8, 16):
        count = 9
        packets = [net.packet(0, 1 << SHAPE.nodes - 1, flits) for _ in range(count)]
        await net.finish()
        first, last = (p.arrivals[SHAPE.nodes - 1] for p in (packets[0], packets[-1]))
        cocotb.log.info("%d flits: %.3f flits/cycle", flits, (count - 1) * flits / (last - first))
        # A packet of more than a share of the core's buffer needs all of it: it comes when the last flit is gone.
        assert last - first == (flits + (flits > 4)) * (count - 1), flits


@only("independence")
async def a_channel_that_nobody_drains_stops_no_other(dut):
    net = Network(dut, SHAPE)
    await net.start()
    for stuck in ({1, 2}, {0, 2}, {0, 1}):
        net.blocked = sum(1 << port for port in range(net.count) if port % 3 in stuck)
        for _ in range(6):
            for source in PLACES:
                for channel in stuck:
                    net.packet(source, some(source), random.randrange(1, 17), channel)
        await net.step(200)
        arrived, free = net.arrived, ({0, 1, 2} - stuck).pop()
        packets = [net.packet(source, some(source), random.randrange(1, 17), free) for source in PLACES
                   for _ in range(6)]
        for _ in range(20_000):
            if all(len(packet.arrivals) == packet.mask.bit_count() for packet in packets):
                break
            await net.step()
        assert net.arrived - arrived == sum(packet.mask.bit_count() for packet in packets)
        net.blocked = 0
        await net.finish()


@only("malformed")
async def what_is_no_packet_is_dropped_whole(dut):
    net = Network(dut, SHAPE)
    await net.start()
    nodes = SHAPE.nodes

    def header(mask, length):
        return mask | length << nodes + 1 | random.getrandbits(3) << nodes + 5

    for _ in range(3):
        for source in PLACES:
            for channel in range(3):
                good = some(source)
                kinds = [
                    [header(0, 0)],                                             # to nobody
                    [header(0, 3), 1, 2, 3],
                    [header(good, 5), 1, 2],                                    # cut short
                    [header(good, 1)],
                    [header(good, 0), 7],                                       # too long
                    [header(good, 2), *range(3, 40)],
                    [header(good, 15), *range(1, 17)],
                ]
                if source == SHAPE.host:
                    kinds.append([header(1 << nodes, 0)])                       # to itself
                net.broken(source, random.choice(kinds), channel)
                net.packet(source, good, random.randrange(1, 17), channel)
    await net.finish()
    dropped = int(dut.dropped.value)
    assert [dropped >> 16 * place & 0xFFFF for place in PLACES] == net.malformed
    assert sum(net.malformed) == 3 * 3 * len(PLACES)


@only("fairness")
async def short_packets_do_not_keep_a_long_one_waiting(dut):
    """Everybody sends single flits to one place without end, and one sends the longest packets there."""
    net = Network(dut, SHAPE)
    await net.start()
    to, victim = 0, SHAPE.nodes - 1
    others = [node for node in range(SHAPE.nodes) if node != victim]
    longest = []
    for _ in range(5):
        packet = net.packet(victim, 1 << to, 16)
        begin = net.cycle
        while not packet.arrivals:
            for node in others:
                queue = net.queues[node * 3]
                if len(queue) < 2:
                    net.packet(node, 1 << to, 1)
            await net.step()
            assert net.cycle - begin <= MOST, f"still waiting; before: {longest}"
        longest.append(net.cycle - begin)
    cocotb.log.info("waits of the long packets: %s", longest)
    await net.finish()


@only("counters")
async def counters_count(dut):
    net = Network(dut, SHAPE)
    await net.start()
    sent = {}
    for _ in range(30):
        source, flits = random.randrange(SHAPE.nodes), random.randrange(1, 17)
        to = random.randrange(SHAPE.nodes + 1)
        net.packet(source, 1 << to, flits)
        for link in way(source, to):
            packets, total = sent.get(link, (0, 0))
            sent[link] = packets + 1, total + flits
    await net.finish()
    counts = int(dut.counts.value)
    for node in range(SHAPE.nodes):
        for side in range(5):
            word = counts >> 96 * (5 * node + side)
            flits, packets, stalled = (word >> 32 * k & 0xFFFF_FFFF for k in range(3))
            assert (packets, flits) == sent.get((node, side), (0, 0)), (node, side)
            assert stalled < net.cycle
    assert sum(counts >> 96 * k + 64 & 0xFFFF_FFFF for k in range(5 * SHAPE.nodes)) > 0


def way(source, to):
    """Links as (router, side) from a node to its destination, the port of a core last; X, then Y."""
    x, y = SHAPE.at(source)
    u, v = (0, 0) if to == SHAPE.host else SHAPE.at(to)
    links = []
    while (x, y) != (u, v):
        side = 1 if x < u else 3 if x > u else 2 if y < v else 0
        links.append((y * SHAPE.width + x, side))
        x, y = x + (side == 1) - (side == 3), y + (side == 2) - (side == 0)
    return [*links, (v * SHAPE.width + u, 3 if to == SHAPE.host else 4)]
