"""Installing a dock into a real root file system, of this computer's own tools: made, checked, made again."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from dock_station.dock import Dock
from dock_station.people import People
from dock_station.rights import Role
from dock_station.settings import DockFolder
from provisioning.install import code, wanted
from provisioning.install.code import Code, Source
from provisioning.install.firewall import NoFixedPortError, comment_of, rules
from provisioning.install.installing import StepFailedError, differences, install
from provisioning.install.machine import Machine, OtherSystemError, this_machine
from provisioning.install.running import Administrator, CatalogueMade, Firewall, NoAdministratorError, Service
from provisioning.install.shipped import shipped
from provisioning.install.steps import AtBoot, Packages, Step
from provisioning.install.wanted import DOCK, FIREWALL, SERVICES, SayWhetherSshError, Wish
from provisioning.stock_programs import Done, NotRootError, finish
from tests.conftest import ROOT
from tests.dock import set_up
from tests.pki import Pki

PACKAGES = ("nftables", "python3", "python3-venv", "systemd", "udev")
WISH = Wish(with_ssh=None, source=Source(), administrator=None, password=lambda: "")


def small_root(path: Path, *, release: str = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"\n') -> Path:
    """Make a root file system that holds no more than what an installation asks for."""
    for folder in ("etc/systemd/system", "usr/lib/systemd/system", "var/lib/dpkg/info", "usr/bin", "opt/mirrorcam"):
        (path / folder).mkdir(parents=True)
    (path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\n")
    (path / "etc/os-release").write_text(release)
    (path / "usr/bin/python3").symlink_to("python3.13")
    (path / "usr/bin/python3.13").touch()
    networkd = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    for name in ("systemd-networkd.service", "systemd-networkd-wait-online.service"):
        (path / "usr/lib/systemd/system" / name).write_text(networkd)
    paragraphs = (
        f"Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n"
        for name in PACKAGES
    )
    (path / "var/lib/dpkg/status").write_text("\n".join(paragraphs))
    return path


def with_code(machine: Machine) -> Machine:
    """Say of a machine that today's code is there; no test copies a hundred packages."""
    wanted_stamp = Code(Source())._wanted(machine)
    assert wanted_stamp
    machine.path(code.STAMP).write_text(wanted_stamp)
    return machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A file system that nothing was installed in but the code."""
    assert os.geteuid() == 0, "run this as root: files are handed to users that a test has made"
    return with_code(this_machine(small_root(tmp_path / "root"), euid=lambda: 0))


@pytest.fixture
def installed(machine: Machine) -> Machine:
    """A file system that a dock was installed in."""
    assert install(wanted.steps(machine, WISH), machine, lambda _: None) == []
    return machine


def told(machine: Machine, wish: Wish = WISH) -> list[str]:
    """Return what `--check` says, which must change nothing."""
    before = digest(machine.root)
    found = list(differences(wanted.steps(machine, wish), machine))
    assert digest(machine.root) == before, "a check changes nothing"
    return found


def digest(root: Path) -> str:
    """Return what changes when anything changes below a folder: names, modes, owners, times, contents, links."""
    found = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        found.update(f"{path} {state.st_mode} {state.st_uid} {state.st_gid} {state.st_mtime_ns} {content}\n".encode())
    return found.hexdigest()


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_of_a_dock_that_is_not_set_up_yet_is_started_again_and_again(
    installed: Machine, service: str
) -> None:
    lines = installed.path(f"/etc/systemd/system/{service}").read_text().splitlines()
    assert f"ConditionPathExists={DockFolder(Path(DOCK)).settings_file}" in lines


def test_what_was_installed_is_what_the_files_of_systemd_say(installed: Machine) -> None:
    for unit in (*SERVICES, "mirrorcam-firewall.service", "nftables.service.d/mirrorcam.conf"):
        assert (
            installed.path(f"/etc/systemd/system/{unit}").read_bytes() == (ROOT / "systemd/system" / unit).read_bytes()
        )
    networks = {path.name for path in installed.path("/etc/systemd/network").iterdir()}
    assert networks == {path.name for path in (ROOT / "systemd/network/dock").iterdir()}
    wants = installed.path("/etc/systemd/system/multi-user.target.wants")
    assert {path.name for path in wants.iterdir()} == {*SERVICES, "systemd-networkd.service"}
    assert installed.path("/etc/systemd/system/sysinit.target.wants/mirrorcam-firewall.service").is_symlink()
    ids = installed.ids_of("mirrorcam-dock")
    folder = installed.path(DOCK).stat()
    assert (folder.st_uid, folder.st_gid) == ids
    assert folder.st_mode & 0o777 == 0o700
    assert told(installed) == []


def test_a_second_run_changes_nothing_not_even_a_time(installed: Machine) -> None:
    before = digest(installed.root)
    taken: list[Step] = []
    assert install(wanted.steps(installed, WISH), installed, taken.append) == []
    assert taken == []
    assert digest(installed.root) == before


def test_on_an_empty_system_each_step_is_told_of_before_and_after(machine: Machine) -> None:
    expected = told(machine)
    assert any("There is no user mirrorcam-dock." in sentence for sentence in expected)
    taken: list[Step] = []
    install(wanted.steps(machine, WISH), machine, taken.append)
    assert len(taken) == len(expected)


def _remove(place: str) -> Callable[[Path], object]:
    return lambda root: (root / place).unlink()


def _append(place: str) -> Callable[[Path], object]:
    return lambda root: (root / place).write_text((root / place).read_text() + "\n# more\n")


def _open_up(place: str, mode: int) -> Callable[[Path], object]:
    return lambda root: (root / place).chmod(mode)


def _mask(root: Path) -> None:
    unit = root / "etc/systemd/system/mirrorcam-pages.service"
    unit.unlink()
    unit.symlink_to("/dev/null")


def _foreign(root: Path) -> None:
    (root / "var/lib/mirrorcam/dock/dock.key").touch()
    os.chown(root / "var/lib/mirrorcam/dock/dock.key", 12345, 12345)


DEVIATIONS: dict[str, Callable[[Path], object]] = {
    "10-mirrorcam-bridge.netdev is missing": _remove("etc/systemd/network/10-mirrorcam-bridge.netdev"),
    "mirrorcam-bays.service has another content": _append("etc/systemd/system/mirrorcam-bays.service"),
    "mirrorcam-pages.service is no file": _mask,
    "firewall.nft has another content": _append("etc/mirrorcam/firewall.nft"),
    "firewall.nft has mode 0666, not 0644": _open_up("etc/mirrorcam/firewall.nft", 0o666),
    "/var/lib/mirrorcam/dock has mode 0755, not 0700": _open_up("var/lib/mirrorcam/dock", 0o755),
    "/var/lib/mirrorcam/dock is missing": lambda root: (root / "var/lib/mirrorcam/dock").rmdir(),
    "holds 1 files or folders that are not mirrorcam-dock's": _foreign,
    "/var/lib/mirrorcam does not belong to root": lambda root: os.chown(root / "var/lib/mirrorcam", 12345, 12345),
    "Nothing starts mirrorcam-retention.service at boot": _remove(
        "etc/systemd/system/multi-user.target.wants/mirrorcam-retention.service"
    ),
    "Nothing starts systemd-networkd.service at boot": _remove(
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    ),
}


@pytest.mark.parametrize("words", DEVIATIONS)
def test_each_single_deviation_is_named_alone_and_mended(installed: Machine, words: str) -> None:
    DEVIATIONS[words](installed.root)
    (sentence,) = told(installed)
    assert words in sentence
    install(wanted.steps(installed, WISH), installed, lambda _: None)
    assert told(installed) == []


def test_a_user_who_is_gone_is_named_and_made_again(installed: Machine) -> None:
    passwd = installed.path("/etc/passwd")
    passwd.write_text("".join(line for line in passwd.read_text().splitlines(True) if "mirrorcam" not in line))
    assert "There is no user mirrorcam-dock." in told(installed)
    install(wanted.steps(installed, WISH), installed, lambda _: None)
    assert told(installed) == []


def test_packages_and_code_are_only_checked_in_another_file_system(installed: Machine) -> None:
    status = installed.path("/var/lib/dpkg/status")
    status.write_text(status.read_text().replace("Package: nftables", "Package: other"))
    installed.path(code.STAMP).unlink()
    assert told(installed) == ["Packages are missing: nftables.", "Mirrorcam is not installed in /opt/mirrorcam."]
    before = digest(installed.root)
    left = install(wanted.steps(installed, WISH), installed, lambda _: None)
    assert len(left) == 2
    assert "nftables" in left[0]
    assert digest(installed.root) == before


def test_a_dock_with_postgresql_needs_its_client(installed: Machine) -> None:
    (installed.path(DOCK) / "dock.toml").write_text(
        'dock_id = "dock-1"\nhost_names = ["localhost"]\ncatalogue_url = "postgresql://localhost/dock"\n'
    )
    assert "Packages are missing: postgresql-client." in told(installed)


def test_where_networkmanager_is_it_is_told_to_keep_away(machine: Machine) -> None:
    machine.path("/etc/NetworkManager").mkdir()
    install(wanted.steps(machine, WISH), machine, lambda _: None)
    assert "driver:cdc_ncm" in machine.path("/etc/NetworkManager/conf.d/mirrorcam.conf").read_text()
    assert told(machine) == []


@dataclass
class Refusing:
    """Runs commands, but for one that refuses as often as it is told to."""

    name: str
    times: int = 1
    asked: list[Sequence[str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], *, user: str | None = None, lines: str = "") -> Done:
        self.asked.append(command)
        if command[0] == self.name and self.times:
            self.times -= 1
            return Done(1, "", "some words\nit does not want to\n")
        return finish(command, user=user, lines=lines)


def test_a_step_that_fails_says_how_far_it_came_and_the_next_run_goes_on(machine: Machine) -> None:
    refusing = replace(machine, run=Refusing("systemctl"))
    taken: list[Step] = []
    with pytest.raises(StepFailedError) as failed:
        install(wanted.steps(refusing, WISH), refusing, taken.append)
    assert "The step 'systemd-networkd.service at boot' failed" in str(failed.value)
    assert "(it does not want to)" in str(failed.value)
    assert f"{len(taken)} before it are done" in str(failed.value)
    more: list[Step] = []
    install(wanted.steps(refusing, WISH), refusing, more.append)
    assert not {step.name for step in taken} & {step.name for step in more}
    assert told(machine) == []


@pytest.mark.parametrize(
    "release",
    ["", "ID=ubuntu\nVERSION_ID=24.04\nPRETTY_NAME='Ubuntu 24.04'\n", "ID=debian\nVERSION_ID=11\n", "ID=debian\n"],
)
def test_any_other_system_is_refused_in_a_sentence(tmp_path: Path, release: str) -> None:
    with pytest.raises(OtherSystemError, match="Debian or Raspberry Pi OS, release 12"):
        this_machine(small_root(tmp_path / "root", release=release), euid=lambda: 0)


def test_raspberry_pi_os_is_taken(tmp_path: Path) -> None:
    root = small_root(tmp_path / "root", release='PRETTY_NAME="Raspbian 12"\nID=raspbian\nVERSION_ID="12"\n')
    assert this_machine(root, euid=lambda: 0).python() == "3.13"


def test_whoever_is_not_root_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotRootError, match="sudo"):
        this_machine(small_root(tmp_path / "root"), euid=lambda: 1000)


@pytest.mark.parametrize("with_ssh", [True, False])
def test_nft_takes_the_rules_and_lists_them_with_their_digest(tmp_path: Path, *, with_ssh: bool) -> None:
    text = rules(pages_port=443, bays_port=8444, enrolment_port=8445, with_ssh=with_ssh)
    file = tmp_path / "firewall.nft"
    file.write_text(text)
    listing = "nft --file firewall.nft && nft --file firewall.nft && nft list table inet mirrorcam"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", listing], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("table inet mirrorcam") == 1, "loading it again replaces it"
    assert comment_of(done.stdout) == comment_of(text)
    assert ("tcp dport 22" in done.stdout) is with_ssh
    doors = [line.strip() for line in done.stdout.splitlines() if "dport" in line]
    assert len(doors) == 3 + with_ssh
    assert "policy drop" in done.stdout


def test_ports_are_those_of_the_dock_and_ssh_stays_as_it_was_said_last(installed: Machine) -> None:
    settings = installed.path(DOCK) / "dock.toml"
    settings.write_text('dock_id = "dock-1"\nhost_names = ["localhost"]\npages_port = 443\n')
    os.chown(settings, *(installed.ids_of("mirrorcam-dock") or (0, 0)))
    (sentence,) = told(installed)
    assert "firewall.nft has another content" in sentence
    install(wanted.steps(installed, replace(WISH, with_ssh=True)), installed, lambda _: None)
    text = installed.path(FIREWALL).read_text()
    assert "tcp dport 443 accept" in text
    assert "tcp dport 22 accept" in text
    assert told(installed) == []
    assert told(installed, replace(WISH, with_ssh=False)) != []
    settings.write_text('dock_id = "dock-1"\nhost_names = ["localhost"]\npages_port = 0\n')
    with pytest.raises(NoFixedPortError, match=r"dock\.toml"):
        wanted.steps(installed, WISH)


def test_a_computer_that_is_reached_by_ssh_is_not_closed_by_surprise(machine: Machine) -> None:
    def active(command: Sequence[str], *, user: str | None = None, lines: str = "") -> Done:
        return Done(0, "", "")

    booted = replace(machine, run=active, is_booted=True)
    with pytest.raises(SayWhetherSshError, match="--no-ssh"):
        wanted.require_a_word_about_ssh(booted, WISH)
    wanted.require_a_word_about_ssh(booted, replace(WISH, with_ssh=False))
    wanted.require_a_word_about_ssh(machine, WISH)


@pytest.mark.parametrize("place", ["network/dock/10-mirrorcam-port.network", "sysusers.d/mirrorcam-dock.conf"])
def test_the_files_of_systemd_are_found(place: str) -> None:
    assert shipped(place) == (ROOT / "systemd" / place).read_bytes()


def test_the_lock_of_a_dock_has_what_the_big_one_has_and_no_tool_of_ours() -> None:
    big, small = (file.read_text().splitlines() for file in (ROOT / "requirements.lock", code.LOCK))
    assert set(small) <= set(big)
    assert not [line for line in small if line.startswith(("pytest", "ruff", "mypy", "playwright"))]


def test_any_changed_file_of_the_code_is_another_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*code.PACKAGES, "pyproject.toml", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(code, "_PROJECT", tmp_path)
    before = Source().digest()
    (tmp_path / "systemd/system/mirrorcam-bays.service").write_text("another")
    assert Source().digest() not in {before, None}
    shutil.rmtree(tmp_path / "systemd")
    assert Source().digest() is None


@dataclass
class Computer:
    """What a running computer would answer, and what it was asked."""

    answers: dict[str, Done]
    asked: list[tuple[Sequence[str], str | None, str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], *, user: str | None = None, lines: str = "") -> Done:
        self.asked.append((command, user, lines))
        said = " ".join(command)
        return next((done for words, done in self.answers.items() if words in said), Done(0, "", ""))


def test_rules_that_somebody_flushed_or_changed_are_loaded_again(machine: Machine) -> None:
    text = rules(pages_port=8443, bays_port=8444, enrolment_port=8445, with_ssh=False)
    step = Firewall(text, "mirrorcam-firewall.service")
    for answer, is_right in ((Done(0, text, ""), True), (Done(1, "", "No such file"), False), (Done(0, "", ""), False)):
        computer = replace(machine, run=Computer({"nft list": answer}), is_booted=True)
        assert (step.differs(computer) is None) is is_right


@pytest.mark.parametrize(
    ("state", "since", "words"),
    [
        ("inactive", 0, "does not run"),
        ("active", 1, "since before it was changed"),
        ("active", 1 << 33, None),
    ],
)
def test_a_service_runs_with_what_is_there_now(machine: Machine, state: str, since: int, words: str | None) -> None:
    answer = Done(0, f"ActiveState={state}\nActiveEnterTimestamp=@{since}\n", "")
    found = Service("mirrorcam-bays.service").differs(replace(machine, run=Computer({"show": answer})))
    assert found is None if words is None else words in (found or "")


def test_the_first_administrator_s_password_goes_through_a_pipe_alone(machine: Machine) -> None:
    nobody = Done(0, "Nobody may sign in yet: 'mirrorcam-dock person add' lets somebody.\n", "")
    computer = Computer({"person list": nobody})
    step = Administrator(DOCK, "mirrorcam-dock", "it-example", lambda: "a password of words")
    booted = replace(machine, run=computer)
    assert step.differs(booted) == "nobody may sign in at this dock yet"
    step.apply(booted)
    command, user, lines = computer.asked[-1]
    assert (user, lines) == ("mirrorcam-dock", "a password of words\n")
    assert "a password of words" not in " ".join(command)
    with pytest.raises(NoAdministratorError, match="--administrator"):
        replace(step, login=None).apply(booted)
    computer.answers["person list"] = Done(0, "\n  Login       Role\n ───\n  it-example  it\n", "")
    assert step.differs(booted) is None
    assert replace(step, login=None).differs(booted) is None
    assert replace(step, login="b-example").differs(booted) == "the administrator b-example may not sign in"


def test_an_administrator_is_known_again_however_long_anybodys_name_is(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "60")  # as a shell may export it
    folder = set_up(tmp_path / "dock", Pki())
    folder.keyslots.mkdir()

    def dock_command(command: Sequence[str], *, user: str | None = None, lines: str = "") -> Done:
        return finish((sys.executable, "-m", "dock_station.cli", *command[1:]), lines=lines)

    booted = replace(machine, run=dock_command)
    step = Administrator(str(folder.path), "mirrorcam-dock", "it-administrator-example", lambda: "a password of words")
    assert step.differs(booted) == "nobody may sign in at this dock yet"
    step.apply(booted)
    with closing(Dock.open(folder)) as dock:
        wearer = "wearer-of-the-second-shift-town-hall-north"
        People(dock).add("b-example", Role.EVIDENCE_OFFICER, "a password of words", "shell:test", wearer=wearer)
    assert step.differs(booted) is None
    assert replace(step, login="b-exampl").differs(booted) == "the administrator b-exampl may not sign in"


def test_a_catalogue_that_is_not_there_is_made_and_one_that_fails_is_told(machine: Machine) -> None:
    step = CatalogueMade(DOCK, "mirrorcam-dock")
    empty = Done(5, "", "mirrorcam-dock: The catalogue is empty: run 'mirrorcam-dock migrate' first.\n")
    assert "is not there yet" in (step.differs(replace(machine, run=Computer({"list": empty}))) or "")
    broken = Done(5, "", "mirrorcam-dock: The catalogue cannot be opened.\n")
    found = step.differs(replace(machine, run=Computer({"list": broken})))
    assert found == "the dock's catalogue cannot be used: The catalogue cannot be opened"


def test_only_packages_that_are_missing_are_asked_for(machine: Machine) -> None:
    computer = Computer({"dpkg-query": Done(1, "installed python3\nnot-installed udev\n", "")})
    Packages(("python3", "udev", "nftables")).apply(Machine(run=computer))
    assert computer.asked[-1][0][-2:] == ("udev", "nftables")
    assert AtBoot("x.service").differs(machine) == "nothing starts x.service at boot"
