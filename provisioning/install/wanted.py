"""What a dock's computer is to be like: the one list of packages, users, folders, files, services."""

from collections.abc import Callable
from dataclasses import dataclass

from dock_station.settings import DockFolder, DockSettings
from evidence.errors import ExitCode, MirrorcamError
from provisioning.install import firewall
from provisioning.install.code import Code, Source
from provisioning.install.machine import Machine
from provisioning.install.running import Administrator, Bridge, CatalogueMade, Firewall, Service, is_set_up
from provisioning.install.shipped import shipped
from provisioning.install.steps import AtBoot, File, Folder, Owned, Packages, Step, User

DOCK = "/var/lib/mirrorcam/dock"
DOCK_USER = "mirrorcam-dock"
FIREWALL = "/etc/mirrorcam/firewall.nft"
FIREWALL_SERVICE = "mirrorcam-firewall.service"
_AGAIN = "nftables.service.d/mirrorcam.conf"
SERVICES = ("mirrorcam-bays.service", "mirrorcam-pages.service", "mirrorcam-retention.service")

# nftables: the firewall; udev: the library by which the dock sees its bays; python3-venv: where its code lives.
PACKAGES = ("nftables", "python3", "python3-venv", "systemd", "udev")
_NETWORKS = ("10-mirrorcam-bridge.netdev", "10-mirrorcam-bridge.network", "10-mirrorcam-port.network")
_RELOAD_UNITS = ("systemctl", "daemon-reload")
_RELOAD_NETWORKS = ("systemctl", "try-reload-or-restart", "systemd-networkd.service")
_NETWORK_MANAGER = "/etc/NetworkManager"

# NetworkManager, as Raspberry Pi OS has it, would ask every unit's cable for an address.
_UNMANAGED = b"""\
# The bays' network is systemd-networkd's.
[keyfile]
unmanaged-devices=interface-name:mirrorcam0;driver:cdc_ncm
"""


class SayWhetherSshError(MirrorcamError):
    """The firewall would close a door that is in use, and nobody has said that it should."""

    exit_code = ExitCode.USAGE

    def __init__(self) -> None:
        super().__init__(
            "This computer can be reached by ssh, and the dock's firewall lets nobody in by it unless you say so: give "
            "--ssh or --no-ssh."
        )


@dataclass(frozen=True)
class Wish:
    """What IT decides: whether ssh is let in (None: as it is now), where the code comes from, who signs in first."""

    with_ssh: bool | None
    source: Source
    administrator: str | None
    password: Callable[[], str]


def steps(machine: Machine, wish: Wish) -> list[Step]:
    """Return all steps in order; what only a running computer can take is left out for another one.

    Raises NotShippedError, NoFixedPortError or SettingsError.
    """
    settings = _settings(machine)
    rules = _rules(machine, wish, settings)
    return [
        Packages(_packages(settings)),
        File(
            "/etc/sysusers.d/mirrorcam-dock.conf",
            shipped("sysusers.d/mirrorcam-dock.conf"),
            "who the dock's services are",
        ),
        User(DOCK_USER, "mirrorcam-dock.conf"),
        Folder("/var/lib/mirrorcam", "root", 0o755),
        Folder(DOCK, DOCK_USER, 0o700),
        Owned(DOCK, DOCK_USER),
        Code(wish.source),
        *_networks(machine),
        Folder("/etc/mirrorcam", "root", 0o755),
        File(FIREWALL, rules.encode(), "firewall: the pages, the bays, and nothing else"),
        *_services(),
        *(_at_work(machine, wish, rules) if machine.is_booted else ()),
    ]


def require_a_word_about_ssh(machine: Machine, wish: Wish) -> None:
    """Raise SayWhetherSshError where ssh is in use, the firewall is new, and nobody has said what it shall do."""
    if wish.with_ssh is None and machine.is_booted and not machine.path(FIREWALL).exists():
        doors = ("ssh.service", "ssh.socket")
        if machine.run(("systemctl", "--quiet", "is-active", *doors)).code == 0:
            raise SayWhetherSshError


def is_complete(machine: Machine) -> bool:
    """Say whether nothing but the steps is needed: the dock was set up, or the machine is another one."""
    return not machine.is_here or is_set_up(machine.path(DOCK))


def _settings(machine: Machine) -> DockSettings | None:
    folder = DockFolder(machine.path(DOCK))
    return folder.settings() if is_set_up(folder.path) else None


def _packages(settings: DockSettings | None) -> tuple[str, ...]:
    is_postgresql = settings is not None and (settings.catalogue_url or "").startswith("postgresql")
    return (*PACKAGES, "postgresql-client") if is_postgresql else PACKAGES


def _rules(machine: Machine, wish: Wish, settings: DockSettings | None) -> str:
    with_ssh = wish.with_ssh
    if with_ssh is None:
        there = machine.path(FIREWALL)
        with_ssh = there.is_file() and firewall.SSH in there.read_text(encoding="utf-8", errors="replace")
    pages, bays, enrolment = (8443, 8444, 8445)
    if settings:
        pages, bays, enrolment = settings.pages_port, settings.bays_port, settings.enrolment_port
    return firewall.rules(pages_port=pages, bays_port=bays, enrolment_port=enrolment, with_ssh=with_ssh)


def _networks(machine: Machine) -> list[Step]:
    found: list[Step] = [
        File(f"/etc/systemd/network/{name}", shipped(f"network/dock/{name}"), "the bays' network", _RELOAD_NETWORKS)
        for name in _NETWORKS
    ]
    if machine.path(_NETWORK_MANAGER).is_dir():
        place = f"{_NETWORK_MANAGER}/conf.d/mirrorcam.conf"
        then = ("systemctl", "try-reload-or-restart", "NetworkManager.service")
        found.append(File(place, _UNMANAGED, "NetworkManager keeps away from the bays", then))
    return [*found, AtBoot("systemd-networkd.service", without="systemd-networkd-wait-online.service")]


def _services() -> list[Step]:
    units = (FIREWALL_SERVICE, *SERVICES)
    files = [File(f"/etc/systemd/system/{unit}", shipped(f"system/{unit}"), "service", _RELOAD_UNITS) for unit in units]
    files.append(
        File(f"/etc/systemd/system/{_AGAIN}", shipped(f"system/{_AGAIN}"), "firewall after Debian's own", _RELOAD_UNITS)
    )
    return [*files, AtBoot(FIREWALL_SERVICE, "sysinit.target"), *map(AtBoot, SERVICES)]


def _at_work(machine: Machine, wish: Wish, rules: str) -> list[Step]:
    found: list[Step] = [Firewall(rules, FIREWALL_SERVICE), Bridge()]
    if is_set_up(machine.path(DOCK)):
        found += [
            CatalogueMade(DOCK, DOCK_USER),
            *map(Service, SERVICES),
            Administrator(DOCK, DOCK_USER, wish.administrator, wish.password),
        ]
    return found
