"""Frames in Python: every single flipped bit and every truncation is seen."""

import random

import pytest

from autapse.sw_driver.link.frame import Deframer, Frame, decode, encode


def crc32_by_bits(content):
    state = 0xFFFF_FFFF
    for byte in content:
        for bit in range(8):
            feedback = (state ^ byte >> bit) & 1
            state = state >> 1 ^ (0xEDB8_8320 if feedback else 0)
    return state ^ 0xFFFF_FFFF


def test_the_checksum_is_the_published_one():
    assert crc32_by_bits(b"123456789") == 0xCBF4_3926   # the check value of the catalogues of CRCs


def test_a_frame_by_hand():
    body = bytes([0x20, 1, 2, 3, 0x7E, 0x7D, 0x41])
    checksum = crc32_by_bits(body).to_bytes(4, "little")
    line = bytes([0x7E, 0x20, 1, 2, 3, 0x7D, 0x5E, 0x7D, 0x5D, 0x41]) + checksum + b"\x7e"
    assert encode(Frame(0x20, 1, 2, 3, b"\x7e\x7dA")) == line


@pytest.mark.parametrize("payload", [b"", b"\x7e", b"}]}^", bytes(range(256)), b"\x7d" * 256])
def test_there_and_back(payload):
    frame = Frame(0, 255, 7, 0, payload)
    line = encode(frame)
    assert line[1:-1].count(0x7E) == 0
    assert decode(line[1:-1]) == frame


def test_every_flipped_bit_is_seen():
    frame = Frame(0, 3, 4, 5, b"weights \x7e\x7d\x5d\x5e")
    line = encode(frame)
    for bit in range(8 * len(line)):
        broken = bytearray(line)
        broken[bit // 8] ^= 1 << bit % 8
        got = [found for found in Deframer().push(bytes(broken) + b"\x7e") if found is not None]
        # A flag flipped to another byte only moves the border to the next flag, which this line has at its end too.
        assert got in ([], [frame]), bit
        assert got == [] or bit < 8 or bit >= 8 * len(line) - 8, bit


def test_every_truncation_is_seen():
    line = encode(Frame(0, 3, 4, 5, bytes(range(100, 140))))
    for length in range(2, len(line) - 1):
        assert Deframer().push(line[:length] + b"\x7e") == [None]


@pytest.mark.parametrize("size", [1, 7, 300])
def test_pieces_of_any_size(size):
    frames = [Frame(0, number, 0, 1, random.Random(number).randbytes(number)) for number in range(60)]
    line = b"".join(map(encode, frames))
    deframer = Deframer()
    got = []
    for start in range(0, len(line), size):
        got += deframer.push(line[start:start + size])
    assert got == frames
    assert deframer.damaged == 0


def test_noise_without_flags_is_not_kept():
    deframer = Deframer()
    for _ in range(100):
        assert deframer.push(b"noise" * 100) == []
    assert deframer.push(b"\x7e") == [None]
    assert deframer.push(encode(Frame(0, 1, 2, 3))) == [Frame(0, 1, 2, 3)]


def test_too_long_a_payload():
    with pytest.raises(ValueError, match="^payload must be at most 256 bytes, not 257$"):
        encode(Frame(0, 0, 0, 0, bytes(257)))
