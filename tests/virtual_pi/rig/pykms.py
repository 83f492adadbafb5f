"""Stands in for Raspberry Pi OS's pykms, of which picamera2 imports names for a preview that nobody opens."""


class _Names(type):
    """Knows every name."""

    def __getattr__(cls, name: str) -> str:
        return name


class PixelFormat(metaclass=_Names):
    """The kernel's pixel formats, by name only."""
