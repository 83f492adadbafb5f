"""Numbering a sensor's pictures, so that one that was lost anywhere on its way leaves a hole."""

from collections import deque
from statistics import median

# Enough that a few lost pictures do not change the median, few enough to follow a webcam into the dark in a second.
_INTERVALS = 15


def frames_between(earlier_us: int, later_us: int, *, period_us: float) -> int:
    """Return how many pictures later the picture at `later_us` was captured than the one at `earlier_us`; never 0."""
    return max(1, round((later_us - earlier_us) / period_us))


class FrameNumbers:
    """Numbers pictures that the sensor captures every `period_us`, by what shows the larger hole.

    That is the driver's own count, or the time: where pictures go through an image processor its driver counts what
    comes out, and knows nothing of what was lost before it.
    """

    def __init__(self, *, period_us: int, first: int = 0) -> None:
        self._period_us = period_us
        self._first = first
        self._newest: tuple[int, int, int] | None = None

    def number(self, *, count: int, time_us: int) -> int:
        """Return the number of the next picture, which the driver calls `count`, captured at `time_us`."""
        if self._newest is None:
            number = self._first
        else:
            newest_number, newest_count, newest_us = self._newest
            by_time = frames_between(newest_us, time_us, period_us=self._period_us)
            number = newest_number + max(by_time, count - newest_count)
        self._newest = (number, count, time_us)
        return number


class UncountedFrameNumbers:
    """Numbers pictures whose driver counts nothing and may change its rate: by the usual time between the last few."""

    def __init__(self, *, first: int = 0) -> None:
        self._next = first
        self._newest_us: int | None = None
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)

    def number(self, *, time_us: int | None) -> int:
        """Return the number of the next picture; `time_us` is when it was captured, None when nobody knows exactly."""
        number = self._next
        if self._newest_us is not None and time_us is not None:
            interval_us = max(1, time_us - self._newest_us)
            usual_us = median(self._intervals) if self._intervals else interval_us
            number += frames_between(0, interval_us, period_us=usual_us) - 1
            self._intervals.append(interval_us)
        self._newest_us = time_us
        self._next = number + 1
        return number


class FramesInEncoder:
    """Remembers which number each picture has while an encoder works on it, for encoders that give only a time stamp.

    One thread puts pictures in, one thread takes packets out. A picture that the encoder skipped is forgotten when a
    later one comes out of it.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int]] = deque()
        self._newest = 0

    def put(self, *, stamp_us: int, number: int) -> None:
        """Remember the picture with the sensor's time stamp `stamp_us`; stamps only grow."""
        self._waiting.append((stamp_us, number))

    def take(self, *, stamp_us: int) -> int:
        """Return the number of the picture stamped `stamp_us`, or of the last one before that."""
        while self._waiting and self._waiting[0][0] <= stamp_us:
            _, self._newest = self._waiting.popleft()
        return self._newest


def boottime_lead_us(stamp_us: int, *, monotonic_us: int, boottime_us: int) -> int:
    """Return what to subtract from a sensor's stamps to have them on the monotonic clock.

    libcamera documents SensorTimestamp as CLOCK_BOOTTIME, but hands on what V4L2 gives, and that is CLOCK_MONOTONIC
    (https://bugs.libcamera.org/show_bug.cgi?id=254). The two differ by the time that the machine was suspended. A stamp
    that lies in the future of one clock was not made by it.
    """
    return boottime_us - monotonic_us if stamp_us > monotonic_us else 0
