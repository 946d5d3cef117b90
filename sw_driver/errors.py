"""What the host says when it refuses: one sentence each, naming what is wrong, where, and what to do."""


class AutapseError(Exception):
    """Bad input or a device that cannot serve; the command line prints it and exits with code 2."""


class SpecError(AutapseError, ValueError):
    """A network, a state or a training setting that is outside what the arithmetic allows."""


class Misfit(AutapseError):
    """A network or a batch that the device has no room for: what was asked, what there is, what to change."""


class DataError(AutapseError):
    """A data set that is missing, damaged, or does not match the network."""


class CheckpointError(AutapseError):
    """A checkpoint that is missing, damaged, or of another network."""


class DeviceError(AutapseError):
    """A device that is unknown, lacks a package it needs, or is used out of order."""


class Interrupted(AutapseError):
    """The user stopped a run; the message says what was kept."""
