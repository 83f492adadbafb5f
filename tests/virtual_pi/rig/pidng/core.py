"""The name that picamera2 imports from PiDNG's core."""


class PICAM2DNG:
    """Never made: no DNG file is written."""
