"""The dock's processes as a service manager starts them: side by side, told apart, and watched."""

import contextlib
import fcntl
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from dock_station import running
from dock_station.catalogue import schema
from dock_station.catalogue.database import Catalogue
from dock_station.dock import Dock
from dock_station.settings import DockFolder
from tests.dock import PATIENCE, until
from tests.pki import Pki, dock_folder
from tests.postgresql import PostgreSql, postgresql

MIRRORCAM_DOCK = Path(sys.executable).with_name("mirrorcam-dock")
AT_ONCE = 8
LOCKS = Path("/proc/locks")  # "->": somebody who waits, proc_locks(5)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> DockFolder:
    """A dock that was never started."""
    if request.param == "sqlite":
        return dock_folder(tmp_path / "dock", Pki())
    server: PostgreSql = request.getfixturevalue("server")
    return dock_folder(tmp_path / "dock", Pki(), settings=f'catalogue_url = "{server.new_database()}"')


class Manager:
    """A service manager: what a process tells it, by a real socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"}

    def hears(self, wanted: str) -> None:
        """Wait for a message."""
        deadline = time.monotonic() + PATIENCE
        while self._socket.recv(4096).decode() != wanted:
            assert time.monotonic() < deadline

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with contextlib.closing(Manager(tmp_path / "notify")) as manager:
        yield manager


@contextmanager
def process(command: str, folder: DockFolder, **environment: str) -> Iterator[subprocess.Popen[str]]:
    words = [str(MIRRORCAM_DOCK), command, "--folder", str(folder.path)]
    with subprocess.Popen(words, text=True, stdout=subprocess.PIPE, env={**os.environ, **environment}) as begun:
        try:
            yield begun
        finally:
            begun.kill()


def end(begun: subprocess.Popen[str]) -> tuple[int, str]:
    """Tell a process to end, and return how it did and all that it wrote."""
    begun.terminate()
    written, _ = begun.communicate(timeout=PATIENCE)
    return begun.returncode, written


@pytest.mark.parametrize("command", ["serve", "bays", "pages", "retention"])
def test_a_service_says_when_it_is_ready_that_it_lives_and_that_it_stops(
    tmp_path: Path, manager: Manager, command: str
) -> None:
    folder = dock_folder(tmp_path / "dock", Pki())
    running.make_catalogue(folder)
    with process(command, folder, **manager.environment) as begun:
        manager.hears("READY=1")
        manager.hears("WATCHDOG=1")
        manager.hears("WATCHDOG=1")
        begun.terminate()
        manager.hears("STOPPING=1")
        assert begun.wait(PATIENCE) == 0


def test_bays_and_pages_begin_a_new_dock_at_the_same_moment(folder: DockFolder) -> None:
    with process("bays", folder) as bays, process("pages", folder) as pages:
        for begun in (bays, pages):
            assert begun.stdout
            assert '"event": "listening"' in begun.stdout.readline()
        assert [end(begun)[0] for begun in (bays, pages)] == [0, 0]
    with contextlib.closing(Dock.open(folder)):
        pass  # what it has is current


def test_of_many_processes_that_find_no_catalogue_one_makes_it_and_all_go_on(folder: DockFolder) -> None:
    read, write = os.pipe()
    children = []
    for _ in range(AT_ONCE):
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # ends for all at once
            try:
                running.make_catalogue(folder)
                Dock.open(folder).close()
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(write)
    os.close(read)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * AT_ONCE
    with contextlib.closing(Dock.open(folder)) as dock:
        assert schema.differences(dock.catalogue) == []


def test_who_comes_second_waits_until_the_first_is_done(tmp_path: Path) -> None:
    folder = dock_folder(tmp_path / "dock", Pki())
    catalogue, inode = folder.path / "catalogue.sqlite3", folder.path.stat().st_ino
    first = os.open(folder.path, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    second = threading.Thread(target=running.make_catalogue, args=(folder,))
    second.start()
    until(lambda: any("->" in line and f":{inode} " in line for line in LOCKS.read_text().splitlines()))
    assert not catalogue.exists()
    os.close(first)
    second.join(PATIENCE)
    assert catalogue.exists()


def test_each_side_listens_at_its_own_door_only(tmp_path: Path) -> None:
    folder = dock_folder(tmp_path / "dock", Pki())
    with ExitStack() as stack:
        bays, pages = (stack.enter_context(process(command, folder)) for command in ("bays", "pages"))
        assert pages.stdout
        line = pages.stdout.readline()
        assert '"listener": "pages"' in line
        port = int(line.rpartition('"port": ')[2].rstrip("}\n"))
        context = ssl.create_default_context(cafile=str(folder.authority_file))
        with urlopen(f"https://localhost:{port}/bays", context=context, timeout=PATIENCE) as page:
            assert b"does not see its bays" in page.read(), "there is no udev here, and nothing is made up"
        assert bays.stdout
        assert '"listener": "bays"' in bays.stdout.readline()
        assert '"listener": "bays"' not in end(pages)[1]
        assert '"listener": "pages"' not in end(bays)[1]


def test_a_catalogue_of_an_earlier_version_is_not_migrated_by_a_start(folder: DockFolder) -> None:
    catalogue = Catalogue(folder.catalogue_url(folder.settings()))
    schema.migrate(catalogue, "0001")
    running.make_catalogue(folder)
    assert schema.revision(catalogue) == "0001"
    catalogue.close()
