"""Packets inside the host link: words of 16 bits, low byte first, as plain data for gateware and driver.

The first word of every packet is `opcode | tag << 8`; an answer carries the tag of what it answers.

    WRITE      head, space, address low, address high, count, count words     no answer
    READ       head, space, address low, address high, count                  READ_DATA
    FILL       head, space, address low, address high, count low, count high, value      no answer
    RUN        head, mask, sample                                              no answer; waits until the core takes it
    ECHO       head, word                                                      ECHO, once no run is under way
    WRITE_ROWS head, space, address low, address high, count, words    no answer; `count` words are written that hold a
               row of bits each, as narrow as a row of spikes on this chip, packed in as few words as hold them, the
               lowest bits first. Chips with rows of 16 bits or more do not know it
    SELECT     head, cores low, cores high      no answer; what follows is for these cores of a mesh, a bit each; a READ
               is answered by the lowest of them. A session starts with all cores selected; runs are for all always
    READ_DATA  head, space, count, count words, status: 0, or the Reason why the words mean nothing
    ERROR      head, reason, word                                              tag of the packet at fault

From host to chip a frame holds whole packets. From chip to host packets are a stream of bytes that frames cut
anywhere.
"""

from enum import IntEnum

from .link import MAX_PAYLOAD

SPACE_BITS = 8
ADDRESS_BITS = 24
CORE_BITS = 32                      # of a mask of cores, a bit each
ALL_CORES = (1 << CORE_BITS) - 1    # what a session starts with
FRAME_WORDS = MAX_PAYLOAD // 2


class Opcode(IntEnum):
    """Low byte of a packet's first word."""

    WRITE = 0x01
    READ = 0x02
    FILL = 0x03
    RUN = 0x04
    ECHO = 0x05
    SELECT = 0x06
    WRITE_ROWS = 0x07
    READ_DATA = 0x82
    ERROR = 0xFF


class Reason(IntEnum):
    """Second word of an ERROR packet; in brackets what its third word holds."""

    OPCODE = 1      # not a request [the packet's first word]; the rest of its frame is dropped
    CUT = 2         # the frame ended inside the packet [the last word that came]
    SPACE = 3       # the chip has no such space or address [the space]; the packet is otherwise carried out; a READ
                    # tells it in its status and sends no ERROR


HEADER_WORDS = {Opcode.WRITE: 5, Opcode.READ: 5, Opcode.FILL: 7, Opcode.RUN: 3, Opcode.ECHO: 2, Opcode.SELECT: 3,
                Opcode.WRITE_ROWS: 5,
                Opcode.READ_DATA: 3, Opcode.ERROR: 3}
MAX_WRITE_WORDS = FRAME_WORDS - HEADER_WORDS[Opcode.WRITE]  # of one WRITE packet: it must fit a frame
MAX_READ_WORDS = 0xFFFF
MAX_FILL_WORDS = 0xFFFF_FFFF
