"""The unit's root file system: the packages, this checkout, our services, and nothing that anybody could log in by."""

import os
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from evidence.release import RELEASE_FILE, Installed, Release
from provisioning.image.alike import all_of, make_alike, put
from provisioning.image.bootstrap import modules_of, this_arch
from provisioning.image.profiles import RECIPE, Profile
from provisioning.image.python_packages import HOME, PROJECT, SITE, compile_python, install_checkout
from provisioning.stock_programs import run

_SERVICES = ("mirrorcam-gadget.service", "mirrorcam-cable.service", "mirrorcam-unit.service")
_FAULTS = ("mirrorcam-fault@.service", "mirrorcam-crashed.service")
_ENROLMENT = ("mirrorcam-enrolled.path", "mirrorcam-enrolled.service")
_UPDATES = (
    *("mirrorcam-update.path", "mirrorcam-update.service", "mirrorcam-trial.service"),
    *("mirrorcam-guard.timer", "mirrorcam-guard.service"),
)
_ENABLED = {
    "multi-user.target": (
        *_SERVICES,
        *("mirrorcam-crashed.service", "mirrorcam-enrolled.path", "mirrorcam-update.path", "mirrorcam-trial.service"),
        "systemd-networkd.service",
    ),
    "local-fs.target": ("mirrorcam-grow.service",),
    "timers.target": ("mirrorcam-guard.timer",),
}
# Nobody logs in or restarts it by a keyboard, nothing is fetched or tidied by the clock, nothing waits for a network.
_MASKED = (
    *("getty@.service", "serial-getty@.service", "console-getty.service", "container-getty@.service", "getty.target"),
    *("rescue.service", "debug-shell.service", "systemd-logind.service", "ctrl-alt-del.target"),
    *("systemd-ask-password-console.path", "systemd-ask-password-wall.path"),
    *(
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "e2scrub_reap.service",
    ),
    *("fstrim.timer", "systemd-networkd-wait-online.service", "systemd-repart.service", "systemd-firstboot.service"),
    *("systemd-random-seed.service", "systemd-update-utmp.service", "systemd-user-sessions.service"),
    *("ldconfig.service", "systemd-pcrmachine.service", "systemd-pcrphase.service", "systemd-pcrphase-sysinit.service"),
)
# Drivers of radios: what is not there cannot be loaded.
RADIOS = (
    *("kernel/drivers/net/wireless", "kernel/net/wireless", "kernel/net/mac80211", "kernel/net/rfkill"),
    *("kernel/drivers/bluetooth", "kernel/net/bluetooth", "kernel/drivers/nfc", "kernel/net/nfc"),
    *("kernel/drivers/net/ieee802154", "kernel/net/ieee802154", "kernel/net/mac802154", "kernel/net/6lowpan"),
    *("kernel/drivers/net/wwan", "kernel/drivers/net/hamradio"),
    *("kernel/net/ax25", "kernel/net/netrom", "kernel/net/rose"),
    # Drivers of Wi-Fi that the kernel has not yet taken among the others.
    *(f"kernel/drivers/staging/{each}" for each in ("rtl8192e", "rtl8712", "rtl8723bs", "vt6655", "vt6656", "wlan-ng")),
)


def finish_tree(profile: Profile, packages: Path, runnable: Path, target: Path) -> None:
    """Make `target` the unit's root of the tree of `packages`; `runnable` is a tree that can be run here.

    Raises NotAReleaseError or ProgramFailedError.
    """
    run("cp", "-a", "--reflink=auto", str(packages), str(target))
    install_checkout(target)
    compile_python(runnable, target / SITE)
    make_alike(target / HOME, profile.epoch)
    put_our_files(profile, target)
    _make_people(target, profile.epoch)
    _take_radios_out(target)
    _list_libraries(target)
    clamp_times(target, profile.epoch)


def installed_by(profile: Profile) -> Installed:
    """Return what a root of this checkout and this profile is; raises NotAReleaseError."""
    release = Release.made(version("mirrorcam"), datetime.fromtimestamp(profile.epoch, UTC))
    return Installed(release, f"mirrorcam-{profile.name}")


def put_our_files(profile: Profile, tree: Path) -> None:
    """Put into a root, or into a folder that is laid over one, all that is a unit's and of no package.

    Raises NotAReleaseError.
    """
    put(RECIPE / "overlay", tree)
    (tree / "var/lib/mirrorcam/unit").mkdir(parents=True)  # where the data partition is mounted
    _put_services(tree)
    installed = installed_by(profile)
    _tell_rauc_what_it_is(tree, installed.compatible)
    (tree / RELEASE_FILE).write_text(installed.text(), encoding="ascii")
    (tree / "etc/machine-id").write_bytes(b"")  # a new one at each start, in RAM: machine-id(5)
    (tree / "usr/lib/clock-epoch").touch()  # a unit's clock never begins before its image: systemd-timesyncd(8)
    for place in ("etc/.updated", "var/.updated"):
        (tree / place).touch()  # nothing is to be made anew at each start: systemd-update-done.service(8)


def _put_services(tree: Path) -> None:
    system, target = PROJECT / "systemd", tree / "usr/lib/systemd/system"
    for service in (*_SERVICES, *_FAULTS, *_ENROLMENT, *_UPDATES, "rauc.service.d"):
        put(system / "system" / service, target / service)
    (tree / "usr/lib/sysusers.d").mkdir(exist_ok=True)
    put(system / "sysusers.d/mirrorcam-unit.conf", tree / "usr/lib/sysusers.d/mirrorcam-unit.conf")
    put(system / "network/unit", tree / "usr/lib/systemd/network")
    for wanting, units in _ENABLED.items():
        wants = tree / f"etc/systemd/system/{wanting}.wants"
        wants.mkdir(parents=True, exist_ok=True)
        for unit in units:
            _link(wants / unit, f"/usr/lib/systemd/system/{unit}")
    for unit in _MASKED:
        _link(tree / "etc/systemd/system" / unit, "/dev/null")


def _tell_rauc_what_it_is(tree: Path, compatible: str) -> None:
    config = tree / "etc/rauc/system.conf"
    config.write_text(config.read_text(encoding="utf-8").replace("@COMPATIBLE@", compatible), encoding="utf-8")


def _link(place: Path, target: str) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def _make_people(tree: Path, epoch: int) -> None:
    run("systemd-sysusers", f"--root={tree}", environment={"SOURCE_DATE_EPOCH": str(epoch)})
    for backup in (tree / "etc").glob("*-"):  # passwd-, shadow- and their like, as they were before
        backup.unlink()


def _take_radios_out(tree: Path) -> None:
    modules = modules_of(tree)
    for place in RADIOS:
        shutil.rmtree(modules / place, ignore_errors=True)
    run("depmod", "-b", str(tree), modules.name)


def _list_libraries(tree: Path) -> None:
    """Write the linker's cache, by which Python finds a library too; the tree's own ldconfig knows its processor."""
    emulator = () if this_arch() == "arm64" else ("qemu-aarch64",)
    run(*emulator, str(tree / "usr/sbin/ldconfig"), "-r", str(tree))


def clamp_times(tree: Path, epoch: int) -> None:
    """Let nothing be younger than the packages; what is older keeps its time: by it Python knows what is compiled."""
    for place in all_of(tree):
        # Only root can make devices: who builds without being root has touched their folder, who is root has not.
        if place.lstat().st_mtime > epoch or place == tree / "dev":
            os.utime(place, (epoch, epoch), follow_symlinks=False)
