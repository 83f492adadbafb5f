"""Stands in for PiDNG, which PyPI has as sources only: nobody asks a body-worn camera for DNG files."""
