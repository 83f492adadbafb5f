"""The service at the cable: it reads where the dock is, opens its socket, and forwards until it is told to end."""

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from appliance.settings import UnitFolder
from appliance.usb.cable_journal import CableJournal
from appliance.usb.calling import way_to
from appliance.usb.forwarder import MAX_CONNECTIONS, Forwarder
from appliance.usb.link import Link
from evidence.errors import EnvironmentalError
from evidence.strict import SettingsError
from evidence.supervisor import Supervisor

INTERFACE = "usb0"
SOCKET = Path("/run/mirrorcam/cable.sock")

_FIRST_GIVEN = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)
_HTTPS = 443


class SocketPlaceError(EnvironmentalError):
    """The forwarder's socket cannot be where it should."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"No socket can be opened at {path} ({reason}): name a place in a folder of this user.")


def be_the_cable(folder: UnitFolder, interface: str, socket_path: Path, journal: CableJournal) -> None:
    """Forward until SIGTERM or SIGINT comes; of the folder the settings are read, and nothing else.

    Raises NotEnrolledError, SettingsError, SocketPlaceError or OSError.
    """
    dock_url, said_in = folder.dock_url_on_cable()
    host, port = _dock(dock_url, said_in)
    listener = given_listener(os.environ) or open_listener(socket_path)
    with Link(interface) as link:
        forwarder = Forwarder(
            listener,
            link,
            lambda: way_to(host, port, interface),
            journal=journal,
            supervisor=Supervisor.from_environment(),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: forwarder.stop())
        journal.ready(socket=str(socket_path), dock=dock_url, interface=interface)
        forwarder.run()
    journal.stopped()


def given_listener(environ: Mapping[str, str]) -> socket.socket | None:
    """Return the one socket that the service manager has opened for this process, if it has: sd_listen_fds(3)."""
    if environ.get("LISTEN_PID") == str(os.getpid()) and environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=_FIRST_GIVEN)
    return None


def open_listener(path: Path) -> socket.socket:
    """Listen at `path`, for this user and its group, where an earlier process may have left its own.

    Raises SocketPlaceError.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            path.unlink()
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise SocketPlaceError(path, error.strerror or str(error)) from error
    return listener


def _dock(dock_url: str, said_in: Path) -> tuple[str, int]:
    try:
        url = urlsplit(dock_url)
        if url.hostname:
            return url.hostname, url.port or _HTTPS
        reason = "it names no host"
    except ValueError as error:
        reason = str(error)
    raise SettingsError(said_in, f"dock_url is no address ({reason})")
