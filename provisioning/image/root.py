"""The root of packages: what apt and pip bring, built once and kept under the digest of all that it is made from."""

import fcntl
import shutil
from pathlib import Path

from provisioning.image.bootstrap import Arch, build_tree, this_arch
from provisioning.image.profiles import RECIPE, Profile
from provisioning.image.python_packages import SITE, compile_python, install_locked


def ready_tree(profile: Profile, arch: Arch, cache: Path) -> Path:
    """Return the tree of a profile's packages, built now if `cache` has it not; nobody may write to it.

    Raises KeyringMissingError, ArchiveUnreachableError or ProgramFailedError.
    A build that is interrupted leaves nothing; one that was killed leaves what the next one removes.
    """
    cache.mkdir(parents=True, exist_ok=True)
    done = cache / f"{profile.name}-{arch}-{profile.digest}"
    with (cache / f"{profile.name}-{arch}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            unfinished = done.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            for archive in profile.archives:
                archive.check_keyring()
            for archive in profile.archives:
                archive.check()
            unfinished.mkdir()
            try:
                _build(profile, arch, cache, unfinished)
                unfinished.rename(done)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            _forget_others(done, f"{profile.name}-{arch}-*")
    return done / "tree"


def _build(profile: Profile, arch: Arch, cache: Path, folder: Path) -> None:
    native = this_arch()
    tree = build_tree(profile.packages, arch, folder, lambda: ready_tree(profile, native, cache))
    install_locked(tree, arch, RECIPE / "requirements.lock")
    runnable = tree if arch == native else ready_tree(profile, native, cache)
    compile_python(runnable, tree / SITE)


def _forget_others(kept: Path, pattern: str) -> None:
    for other in kept.parent.glob(pattern):
        if other != kept:
            shutil.rmtree(other)
