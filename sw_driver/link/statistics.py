"""What a link has carried: frames, bytes, rates."""

from dataclasses import asdict, dataclass


@dataclass
class LinkStatistics:
    """What a link has carried since it was made."""

    frames_sent: int = 0        # with payload, first time
    frames_resent: int = 0
    frames_received: int = 0    # whole, of any kind
    frames_damaged: int = 0     # from the chip
    payload_sent: int = 0       # bytes, once each
    payload_received: int = 0
    line_sent: int = 0          # bytes on the line, all told
    line_received: int = 0
    polls: int = 0
    sessions: int = 0
    outages: int = 0            # of the line, after each of which the session went on
    seconds: float = 0.0        # since the first session began, outages included

    @property
    def rates(self) -> tuple[float, float]:
        """Bytes of payload per second, there and back."""
        sent, received = (count / self.seconds if self.seconds else 0.0
                          for count in (self.payload_sent, self.payload_received))
        return sent, received

    def as_dict(self) -> dict[str, float]:
        """All fields, and the rates, as plain numbers."""
        sent, received = self.rates
        return asdict(self) | {"bytes_per_second_sent": sent, "bytes_per_second_received": received}
