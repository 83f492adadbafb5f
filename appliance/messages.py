"""Every sentence that the wearer reads: short, plain, and saying what to do."""

from datetime import datetime

KEEP_HOLDING = "Keep holding to stop"


def elapsed(seconds: int) -> str:
    """Return a running clip's length as 03:07, from an hour on as 1:03:07."""
    hours, rest = divmod(seconds, 3600)
    clock = f"{rest // 60:02}:{rest % 60:02}"
    return f"{hours}:{clock}" if hours else clock


def date_and_time(moment: datetime) -> str:
    """Return a moment as the wearer's own clock shows it, day first, which no reader of two lands takes for another."""
    return f"{moment:%d %b %Y  %H:%M:%S}"


def storage_left(minutes: int) -> str:
    """Return how long one can still record."""
    hours, rest = divmod(minutes, 60)
    return f"Storage {hours} h {rest:02} min" if hours else f"Storage {rest} min"
