"""The name that picamera2 imports from PiDNG's camera definitions."""


class Picamera2Camera:
    """Never made: no DNG file is written."""
