"""Root takes a bundle over: out of the folder where the unit's process may change it at any time, into root's own."""

import fcntl
import os
import stat

from appliance.updates.places import UpdatePlaces
from appliance.updates.rauc import BundleRefusedError


def take(places: UpdatePlaces) -> None:
    """Make what has arrived root's, so that what is judged is what is written.

    Contract: afterwards `taken` is a plain file which root alone can open, and which nobody has open for writing. What
    an earlier run took, and a cut left there, is gone on with where nothing else has arrived. Raises
    BundleRefusedError or OSError.
    """
    places.system.mkdir(mode=0o755, exist_ok=True)
    if os.path.lexists(places.bundle):
        drop_taken(places)
        _move(places)
    if not stat.S_ISREG(places.taken.lstat().st_mode):
        raise BundleRefusedError("it is no plain file")
    descriptor = os.open(places.taken, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, 0o600)
        # A lease is given only while nobody has the file open for writing, fcntl(2); from now on nobody can open it.
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        raise BundleRefusedError("something still writes to it") from None
    finally:
        os.close(descriptor)


def give_back(places: UpdatePlaces) -> None:
    """Put what was taken back to where it arrived: there it makes room where recordings need it. Raises OSError."""
    places.taken.rename(places.bundle)


def drop_taken(places: UpdatePlaces) -> None:
    """Remove what was taken; harmless where there is nothing. Raises OSError."""
    places.taken.unlink(missing_ok=True)


def _move(places: UpdatePlaces) -> None:
    # A link and not a rename, which would move a folder too, whose content would have to be removed one by one.
    try:
        os.link(places.bundle, places.taken, follow_symlinks=False)
    except PermissionError:
        raise BundleRefusedError("it is no plain file") from None
    places.bundle.unlink()
