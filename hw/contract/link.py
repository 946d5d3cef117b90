"""The framed host link, as plain data that gateware and driver both derive from.

A frame on the line is `FLAG body FLAG`, where the body is byte-stuffed (`ESCAPE`, then the byte xor `ESCAPE_XOR`):

    control  seq  ack  window  payload (0 to MAX_PAYLOAD bytes)  CRC-32, low byte first

The checksum is that of zlib over the unstuffed control .. payload. Sequence numbers count frames that carry a
payload; a frame without one states in `seq` the number its sender will put on the next such frame it transmits.
"""

LINK_VERSION = 3

FLAG = 0x7E         # opens and closes a frame; never appears inside one
ESCAPE = 0x7D       # the next byte is meant xor ESCAPE_XOR
ESCAPE_XOR = 0x20

HEADER_BYTES = 4    # control, seq, ack, window
CRC_BYTES = 4
MAX_PAYLOAD = 256

# The control byte: a kind in the low four bits, flags above.
KIND_MASK = 0x0F
KIND_DATA = 0       # payload or none
KIND_HELLO = 1      # NONCE_BYTES of payload; starts a session, both sequence spaces at 0; the chip answers in kind,
                    # with LINK_VERSION as seq. Without payload it starts nothing and is answered all the same: the
                    # nonce tells whose session it is
RESEND = 0x10       # a frame was lost: its receiver asks for every frame from `ack` on again
POLL = 0x20         # host to chip: answer this frame, whatever it holds
FRESH = 0x40        # chip to host: no session since power-up, so what was loaded before is gone
NONCE_BYTES = 4

RECEIVE_BYTES = 2048    # ring of payload the chip has accepted and not yet executed
SEND_BYTES = 2048       # ring of payload the host has not yet acknowledged
SEND_FRAMES = 16        # frames the chip lets be unacknowledged; a power of two
