"""How pages write moments, spans of time and sizes: for people at this dock, in its local time."""

from datetime import UTC, date, datetime, time, timedelta

UNITS = ("kB", "MB", "GB", "TB")


def moment(at: datetime, *, seconds: bool = False) -> str:
    """Return a moment in the dock's local time."""
    local = _local(at)
    return f"{local:%-d %b %Y, %H:%M:%S}" if seconds else f"{local:%-d %b %Y, %H:%M}"


def moment_utc(at: datetime) -> str:
    """Return a moment in UTC, to the second: what stands in manifests and in the custody log."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def day(on: date) -> str:
    """Return a calendar day; a moment's is its day in the dock's local time."""
    return f"{_local(on) if isinstance(on, datetime) else on:%-d %b %Y}"


def clock_time(at: datetime) -> str:
    """Return the time of day in the dock's local time."""
    return f"{_local(at):%H:%M}"


def duration(seconds: float) -> str:
    """Return a length of time as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: int) -> str:
    """Return a number of bytes in decimal units, as disks are sold."""
    if count < 1000:
        return f"{count} bytes"
    step = next((step for step in range(1, len(UNITS)) if count < 999.5 * 1000**step), len(UNITS))
    value = count / 1000**step
    return f"{value:.1f} {UNITS[step - 1]}" if value < 9.95 else f"{value:.0f} {UNITS[step - 1]}"


def beginning(on: date) -> datetime:
    """Return the moment at which a day begins in the dock's local time."""
    return datetime.combine(on, time.min).astimezone()


def day_after(on: date) -> date:
    """Return the next day."""
    return on + timedelta(days=1)


def _local(at: datetime) -> datetime:
    """Return the moment in the dock's local time; in UTC on the calendar's first and last day, beyond which is none.

    A unit may state any moment, and the list of all clips must not fail by one of them.
    """
    try:
        return at.astimezone()
    except OverflowError:
        return at
