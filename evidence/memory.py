"""Keeping what is in memory out of storage: no swapping out, no core dump, no other process looking in."""

import ctypes
import errno
import os
import resource
from pathlib import Path

from evidence.errors import EnvironmentalError

# mman-common.h. ONFAULT locks a page when it is first used, not the stacks and arenas that are only reserved.
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
# prctl.h
_PR_SET_DUMPABLE = 4
# capability.h
_CAP_IPC_LOCK = 14


class MemoryNotLockedError(EnvironmentalError):
    """The system does not let this process lock its memory, so what it holds could reach the swap partition."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The memory cannot be locked ({reason}): switch swap off, or set LimitMEMLOCK=infinity for this service."
        )


def lock_memory() -> None:
    """Keep every page of this process in RAM from now on; raises MemoryNotLockedError.

    A limit that is merely high enough for now is refused too: the process would run into it in the middle of its work.
    """
    if not _may_lock_without_limit():
        raise MemoryNotLockedError("this process may lock only a part of it")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        raise MemoryNotLockedError(os.strerror(ctypes.get_errno()))


def forbid_core_dumps() -> None:
    """Make sure that a crash writes nothing and that no process of this user can read this one's memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), errno.errorcode[ctypes.get_errno()])


def _may_lock_without_limit() -> bool:
    _, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if most == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (most, most))
        return True
    return bool(_effective_capabilities() >> _CAP_IPC_LOCK & 1)


def _effective_capabilities() -> int:
    lines = Path("/proc/self/status").read_bytes().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith(b"CapEff:"))
