"""The chip's end of the framed host link; the host's end is `sw_driver.link`."""

from .link import Link
from .stream import BYTE, WORD, WordGather, WordScatter

__all__ = ["BYTE", "WORD", "Link", "WordGather", "WordScatter"]
