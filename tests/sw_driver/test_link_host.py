"""The host's end of the link against a chip's end in Python, over lines that do harm."""

import random

import pytest

from autapse.sw_driver.link import HostLink, LinkError, SessionLost
from link_peer import ChipPeer, Harm

NO_HARM = {"flip": 0.0}


def connect(*, seed=1, harm=NO_HARM, **options):
    print(f"seed {seed}, harm {harm}")
    peer = ChipPeer(harm_in=Harm(seed=seed, **harm), harm_out=Harm(seed=seed + 1, **harm), seed=seed + 2, **options)
    return peer, HostLink(peer, clock=peer.clock)


def packets(count, *, longest, seed=5):
    source = random.Random(seed)
    return [source.choices((b"\x7e", b"\x7d", b"\x00", b"\xff", bytes([source.randrange(256)])), k=1)[0]
            + source.randbytes(source.randrange(longest)) for _ in range(count)]


def exchange(peer, link, sent):
    for packet in sent:
        link.send(packet)
    back = link.receive(sum(map(len, sent)))
    link.flush()
    return back


@pytest.mark.parametrize("harm", [
    NO_HARM,
    {"flip": 1e-3},
    {"lose": 2e-3},
    {"repeat": 2e-3},
    {"flip": 2e-4, "lose": 1e-3, "repeat": 1e-3},
], ids=str)
@pytest.mark.parametrize("room, lazy", [(8, 0.0), (3, 0.6), (1, 0.5)])
def test_every_byte_arrives_once_in_order(harm, room, lazy):
    sent = packets(700, longest=57)
    peer, link = connect(harm=harm, room=room, lazy=lazy)
    assert exchange(peer, link, sent) == b"".join(sent)
    assert b"".join(peer.taken) == b"".join(sent)
    assert peer.most_waiting <= room
    assert (link.statistics.frames_damaged > 0) == (harm != NO_HARM)
    if harm == NO_HARM:
        assert link.statistics.frames_resent == 0


def test_sequence_numbers_go_round():
    sent = [bytes([number % 251]) * 250 for number in range(600)]
    peer, link = connect(harm={"flip": 2e-5}, seed=3)
    assert exchange(peer, link, sent) == b"".join(sent)
    assert link.statistics.frames_sent > 512


def test_no_packet_is_cut():
    sent = packets(300, longest=200)
    peer, link = connect(harm={"flip": 1e-4}, lazy=0.3)
    exchange(peer, link, sent)
    ends = set()
    total = 0
    for packet in sent:
        total += len(packet)
        ends.add(total)
    total = 0
    for payload in peer.taken:
        total += len(payload)
        assert total in ends


def test_bulk_traffic_fills_frames():
    _, link = connect(respond=lambda payload: b"")
    for _ in range(200):
        link.send(bytes(256))
    link.flush()
    assert 0.95 < link.statistics.payload_sent / link.statistics.line_sent < 1


def test_a_chip_that_does_not_check_is_noticed():
    sent = packets(300, longest=57)
    peer, link = connect(harm={"flip": 1e-3}, checked=False)
    for packet in sent:
        link.send(packet)
    with pytest.raises(LinkError):
        link.receive(sum(map(len, sent)), timeout=10)
    assert not b"".join(sent).startswith(b"".join(peer.taken))


def test_a_silent_chip_is_given_up():
    with pytest.raises(LinkError, match=r"^The chip has not answered for 1\d\.\d s, asked \d+ times; check cable and "
                                        r"power, then reconnect\.$"):
        connect(dead=True)


def test_a_chip_lost_on_the_way_and_found_again():
    peer, link = connect()
    assert exchange(peer, link, [b"abc"]) == b"abc"
    peer.dead = True
    link.send(b"def")
    with pytest.raises(LinkError, match=r"has not answered"):
        link.receive(3)
    peer.dead = False
    link.reconnect()
    assert exchange(peer, link, [b"ghi"]) == b"ghi"
    assert link.statistics.sessions == 2


@pytest.mark.parametrize("seed", range(6))
def test_a_cable_pulled_and_put_back_loses_and_repeats_nothing(seed):
    sent = packets(900, longest=57, seed=seed)
    peer, link = connect(seed=seed, lazy=0.3)
    source, pulls = random.Random(seed), 0
    for packet in sent:
        link.send(packet)
        if source.random() < 0.02:
            link._pump(0)
            peer.pull()
            pulls += 1
    assert link.receive(sum(map(len, sent))) == b"".join(sent)
    link.flush()
    assert b"".join(peer.taken) == b"".join(sent)
    assert link.statistics.outages == pulls > 5
    assert link.statistics.sessions == 1


@pytest.mark.parametrize("pulled", [False, True])
@pytest.mark.parametrize("ahead", range(0, 256, 17))
def test_a_chip_that_lost_its_power_is_never_gone_on_with(ahead, pulled):
    peer, link = connect()
    for _ in range(ahead):      # wherever the numbers stand as it happens
        assert exchange(peer, link, [b"abc"]) == b"abc"
    for _ in range(9):
        link.send(bytes(256))
    link._transmit()
    peer.power_up()
    if pulled:
        peer.pull()
    link.send(b"more")
    with pytest.raises(SessionLost, match=r"start again, from a checkpoint if there is one"):
        link.receive(9 * 256 + 4)


def test_a_chip_that_served_another_program_is_never_gone_on_with():
    peer, link = connect()
    assert exchange(peer, link, [b"abc"]) == b"abc"
    peer.pull()
    other = HostLink(peer, clock=peer.clock)
    assert exchange(peer, other, [b"def"]) == b"def"
    link.send(b"ghi")
    with pytest.raises(SessionLost, match=r"^The chip is not in this session any more: it lost power, was programmed "
                                          r"anew, or served another program"):
        link.receive(3)


def test_another_program_on_an_open_line_is_noticed():
    peer, link = connect()
    for _ in range(100):
        assert exchange(peer, link, [b"abc"]) == b"abc"
    other = HostLink(peer, clock=peer.clock)
    assert exchange(peer, other, [b"def"]) == b"def"
    link.send(b"ghi")
    with pytest.raises(SessionLost, match=r"another program uses the port"):
        link.receive(3)


def test_a_chip_that_is_alive_and_says_nothing():
    peer, link = connect(respond=lambda payload: b"")
    link.send(b"abc")
    with pytest.raises(LinkError, match=r"^The chip is alive but sent 0 of 3 bytes within 60 s; allow more time, or "
                                        r"reconnect\.$"):
        link.receive(3, timeout=60)
    assert link.statistics.polls > 20


def test_another_version_is_refused():
    with pytest.raises(LinkError, match=r"^The chip speaks version 9 of the link and this driver 3; install the driver "
                                        r"the chip was built with\.$"):
        connect(version=9)


@pytest.mark.parametrize("size", [0, 257])
def test_packet_size_is_checked(size):
    _, link = connect()
    with pytest.raises(ValueError, match=f"^a packet must be 1 to 256 bytes, not {size}$"):
        link.send(bytes(size))
