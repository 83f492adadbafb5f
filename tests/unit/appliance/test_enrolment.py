"""The unit's side of its first docking, against a real dock's door over TLS, and against one that lies."""

import dataclasses
import hashlib
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from appliance import settings as unit_settings
from appliance.docking.client import DockUnreachableError
from appliance.enrolment import keeping
from appliance.enrolment.asking import LONGEST_PAUSE_SECONDS, Asking, Pace
from appliance.enrolment.client import EnrolmentClient
from appliance.enrolment.own_key import own_key, request_for
from appliance.front.messages import NEW_UNIT, Message, Tone
from appliance.installation import Installation
from appliance.journal import Journal
from appliance.settings import NotEnrolledError, UnitFolder
from appliance.spool import Spool
from dock_station.catalogue import chains, units
from dock_station.enrolment import opening
from dock_station.serving.listeners import listening
from evidence.chain import Link
from evidence.durable import write_durably
from evidence.enrolment import Begun, Issued, Revealed, Standing, requested_key
from evidence.errors import NotGenuineError
from evidence.signature import SigningKeyError
from tests.dock import until
from tests.newcomers import BAYS, Hall, Newcomer, answering, hall
from tests.pki import Pki, policy_toml, write_policy
from tests.worn import RECIPIENT

IT = "person:it-example"
QUICK = Pace(look=0.02, again=0.05, shown=0.0)
PATIENCE = 20


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Hall]:
    with hall(tmp_path) as here:
        write_policy(here.dock.folder, here.pki, policy_toml(recipients=(str(RECIPIENT),)))
        yield here


@contextmanager
def open_door(here: Hall) -> Iterator[int]:
    with here.files.opened(), listening("enrolment", opening._server(here.dock)) as listener:
        yield listener.port


def card(path: Path, pki: Pki, port: int, more: str = "") -> UnitFolder:
    folder = UnitFolder(path)
    folder.path.mkdir()
    folder.authority_file.write_bytes(pki.pem)
    folder.enrolment_file.write_text(f'dock_url = "https://localhost:{port}"\n{more}')
    return folder


class NewUnit:
    """A unit to be, with what its screen has shown; `on_code` is what somebody does who reads the code."""

    def __init__(
        self, folder: UnitFolder, on_code: Callable[[str], None] = lambda _: None, stop_at: str | None = None
    ) -> None:
        self.folder = folder
        self.shown: list[Message] = []
        self.stop = threading.Event()
        self._on_code = on_code
        self._stop_at = stop_at

    def run(self) -> str | None:
        """Ask until it is enrolled or has shown what it was to stop at; fails where neither comes."""
        too_long = threading.Timer(PATIENCE, self.stop.set)
        too_long.start()
        unit_id = self._ask()
        assert too_long.is_alive(), self.shown[-1:]
        too_long.cancel()
        return unit_id

    def _ask(self) -> str | None:
        return Asking(
            self.folder,
            self.folder.enrolment_settings(),
            software="mirrorcam test",
            cable=None,
            journal=Journal(),
            tell=self.tell,
            pace=QUICK,
        ).run(self.stop)

    def tell(self, message: Message) -> None:
        is_new = not self.shown or self.shown[-1] != message
        self.shown.append(message)
        if self._stop_at and self._stop_at in f"{message.headline} {message.sentence}":
            self.stop.set()
        digits = message.headline.replace(" ", "")
        if is_new and digits.isdigit():
            self._on_code(digits)

    @property
    def faults(self) -> list[str]:
        return [message.sentence for message in self.shown if message.tone is Tone.FAULT]


def confirming(here: Hall, unit_id: str = "unit-01") -> Callable[[str], None]:
    return lambda digits: here.desk.confirm(digits, unit_id, actor=IT)


@pytest.fixture
def umask_of_the_service() -> Iterator[None]:
    """As mirrorcam-unit.service has it."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask_of_the_service")
def test_it_becomes_a_unit_whose_every_file_is_as_the_unit_wants_it(here: Hall, tmp_path: Path) -> None:
    with open_door(here) as port, answering(here):
        folder = card(tmp_path / "unit", here.pki, port, "screen_width = 640\nvideo_bits_per_second = 4000000\n")
        assert folder.is_to_be_enrolled()
        with pytest.raises(NotEnrolledError):
            Installation.open(folder.path)
        unit = NewUnit(folder, confirming(here))
        assert unit.run() == "unit-01"
    assert unit.shown[-1].headline == "unit-01"
    assert not unit.faults
    assert not folder.is_to_be_enrolled()
    installation = Installation.open(folder.path)
    assert folder.settings_file.read_text() == (
        f'unit_id = "unit-01"\ndock_url = "{BAYS}"\nvideo_bits_per_second = 4000000\nscreen_width = 640\n'
    )
    assert installation.folder.policy().policy.policy_id == "test"
    assert stat.S_IMODE(folder.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.settings_file.stat().st_mode) == 0o644, "the gadget and the cable read it as other users"
    assert stat.S_IMODE(folder.data.stat().st_mode) == 0o700
    for path in here.dock.folder.path.rglob("*"):
        assert not (path.is_file() and folder.key_file.read_bytes()[28:60] in path.read_bytes()), path


def test_the_code_stands_on_the_screen_in_two_groups_until_somebody_has_typed_it(here: Hall, tmp_path: Path) -> None:
    with open_door(here) as port:
        unit = NewUnit(card(tmp_path / "unit", here.pki, port), stop_at="IT types this code")
        assert unit.run() is None
    headline = unit.shown[-1].headline
    assert len(headline) == 7
    assert headline[3] == " "
    assert unit.folder.is_to_be_enrolled()
    assert unit.folder.key_file.exists(), "it was made at the first contact"


def test_while_no_dock_answers_it_asks_to_be_docked_and_makes_no_key(here: Hall, tmp_path: Path) -> None:
    unit = NewUnit(card(tmp_path / "unit", here.pki, 1), stop_at=NEW_UNIT.headline)
    assert unit.run() is None
    assert unit.shown == [NEW_UNIT]
    assert not unit.folder.key_file.exists()


def test_a_dock_of_another_authority_is_told_nothing_and_that_is_said(here: Hall, tmp_path: Path) -> None:
    with open_door(here) as port, capture_logs():
        unit = NewUnit(card(tmp_path / "unit", Pki(), port), stop_at="another authority issued it")
        assert unit.run() is None
    assert not unit.folder.key_file.exists()
    assert here.desk.waiting() == []


@pytest.mark.parametrize("years", [-50, 50])
def test_a_unit_whose_clock_is_wrong_by_years_is_enrolled_all_the_same(tmp_path: Path, years: int) -> None:
    with hall(tmp_path, timedelta(days=365 * years)) as here:
        write_policy(here.dock.folder, here.pki, policy_toml(recipients=(str(RECIPIENT),)))
        with open_door(here) as port, answering(here):
            unit = NewUnit(card(tmp_path / "unit", here.pki, port), confirming(here))
            assert unit.run() == "unit-01"
    assert not unit.faults
    assert Installation.open(unit.folder.path).folder.policy()


def test_a_certificate_that_is_not_valid_yet_by_the_docks_clock_is_said_to_be_a_matter_of_clocks(
    here: Hall, tmp_path: Path
) -> None:
    def confirm_and_issue(digits: str) -> None:
        here.desk.confirm(digits, "unit-01", actor=IT)
        here.issue(valid_from=here.dock.clock() + timedelta(days=2))

    with open_door(here) as port, capture_logs():
        folder = card(tmp_path / "unit", here.pki, port)
        unit = NewUnit(folder, confirm_and_issue, stop_at="look at the clocks")
        assert unit.run() is None
    assert folder.is_to_be_enrolled()
    assert not folder.certificate_file.exists()


def test_what_the_dock_refuses_stands_on_the_screen_and_is_tried_again_with_the_same_key(
    here: Hall, tmp_path: Path
) -> None:
    codes: list[str] = []

    def act(digits: str) -> None:
        codes.append(digits)
        here.desk.confirm(digits, "unit-01", actor=IT)
        if len(codes) == 1:
            here.decline("There is another unit-01.")
        else:
            here.issue()

    with open_door(here) as port, capture_logs():
        unit = NewUnit(card(tmp_path / "unit", here.pki, port), act)
        assert unit.run() == "unit-01"
    assert set(unit.faults) == {"There is another unit-01."}
    assert len(codes) == 2


def test_a_dock_that_goes_away_and_comes_back_finds_the_same_code_on_the_screen(here: Hall, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    again = msgspec.structs.replace(here.dock.settings, enrolment_port=port)
    here.dock = dataclasses.replace(here.dock, settings=again)
    unit = NewUnit(card(tmp_path / "unit", here.pki, port))
    result: list[str | None] = []
    thread = threading.Thread(target=lambda: result.append(unit.run()), daemon=True)
    with open_door(here):
        thread.start()
        until(lambda: bool(unit.shown) and unit.shown[-1].headline[:3].isdigit())
        code = unit.shown[-1].headline
    until(lambda: "does not answer" in unit.shown[-1].sentence)
    assert unit.shown[-1].headline == code
    with open_door(here):
        here.desk.confirm(code.replace(" ", ""), "unit-01", actor=IT)
        here.issue()
        thread.join(PATIENCE)
    assert result == ["unit-01"]


class PowerCutError(Exception):
    """The power goes."""


@pytest.mark.parametrize("step", range(8))
def test_a_power_cut_at_any_step_leaves_it_to_be_enrolled_or_enrolled_and_the_next_start_ends_it(
    here: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    done: list[Path] = []
    real = write_durably

    def cut(path: Path, content: bytes, *, mode: int = 0o644) -> None:
        if len(done) == step:
            raise PowerCutError
        done.append(path)
        real(path, content, mode=mode)

    with open_door(here) as port, answering(here):
        folder = card(tmp_path / "unit", here.pki, port)
        with monkeypatch.context() as patch:
            for module in (keeping, unit_settings):
                patch.setattr(module, "write_durably", cut)
            patch.setattr(keeping, "publish_durably", cut)
            try:
                NewUnit(folder, confirming(here)).run()
            except PowerCutError:
                assert folder.is_to_be_enrolled()
        key = folder.key_file.read_bytes()
        if folder.is_to_be_enrolled():
            unit = NewUnit(folder, lambda _: None)
            assert unit.run() == "unit-01", "nobody typed a code again"
        assert folder.key_file.read_bytes() == key
    assert done[-1:] == [folder.settings_file] or step < 6
    Installation.open(folder.path).folder.policy()


def issued(here: Hall, key_pem: Path, unit_id: str = "unit-01") -> Issued:
    folder = UnitFolder(key_pem.parent)
    return here.issued(unit_id, here.pki.unit_for(unit_id, own_key(folder).public_key()))


def test_nothing_that_does_not_fit_is_kept(here: Hall, tmp_path: Path) -> None:
    folder = card(tmp_path / "unit", here.pki, 1)
    key = own_key(folder).public_key()
    authority, now = folder.authority(), here.dock.clock()
    good = issued(here, folder.key_file)
    keeping.check(good, authority, key, now)
    other = Pki()
    revoked = here.pki.unit_for("unit-01", key)
    here.revoke(revoked)
    policy = good.policy
    change = msgspec.structs.replace
    for wrong, sentence in (
        (change(good, certificate=b"none"), "cannot be read"),
        (change(good, unit_id="unit-02"), "is for unit-01, not for unit-02"),
        (here.issued("unit-01", here.pki.unit_for("unit-01", Newcomer().key.public_key())), "another key"),
        (here.issued("unit-01", other.unit_for("unit-01", key)), "another authority issued it"),
        (here.issued("unit-01", revoked), "it was revoked"),
        (change(good, revocations=other.revocations_pem()), "not signed by the authority"),
        (change(good, policy=change(policy, content=policy.content + b"\n")), "signature of this policy does not fit"),
    ):
        with pytest.raises(NotGenuineError, match=sentence):
            keeping.check(wrong, authority, key, now)
    early = here.issued("unit-01", here.pki.unit_for("unit-01", key, valid_from=now + timedelta(hours=1)))
    with pytest.raises(keeping.ClocksDisagreeError, match="set the clocks"):
        keeping.check(early, authority, key, now)


def test_a_dock_that_shows_another_nonce_than_it_had_committed_to_is_not_believed(
    here: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EnrolmentClient, "submit", lambda *_: Revealed(nonce=b"x" * 32))
    with open_door(here) as port:
        unit = NewUnit(card(tmp_path / "unit", here.pki, port), stop_at="does not fit what it had said before")
        assert unit.run() is None
    assert not any(message.headline[:3].isdigit() for message in unit.shown)


def test_whoever_breaks_exchanges_off_to_hope_for_another_code_waits_longer_each_time(
    here: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0)
            if len(waited) == 8:
                self.set()
            return self.is_set()

    def begin(_: EnrolmentClient) -> Begun:
        return Begun(request_id="0" * 32, commitment=hashlib.sha256().digest())

    def break_off(*_: object) -> Revealed:
        raise DockUnreachableError("https://localhost", "the connection broke off")

    monkeypatch.setattr(EnrolmentClient, "begin", begin)
    monkeypatch.setattr(EnrolmentClient, "submit", break_off)
    unit = NewUnit(card(tmp_path / "unit", here.pki, 1))
    asking = Asking(
        unit.folder,
        unit.folder.enrolment_settings(),
        software="mirrorcam test",
        cable=None,
        journal=Journal(),
        tell=unit.tell,
    )
    asking.run(Stop())
    assert waited == [15, 30, 60, 120, 240, *[LONGEST_PAUSE_SECONDS] * 3]


def test_the_key_is_made_once_and_asks_for_itself(tmp_path: Path) -> None:
    folder = UnitFolder(tmp_path)
    key = own_key(folder)
    assert own_key(folder).private_bytes_raw() == key.private_bytes_raw()
    assert requested_key(request_for(key)) == key.public_key()
    folder.key_file.write_text("damaged")
    with pytest.raises(SigningKeyError, match="provision this device again"):
        own_key(folder)


def test_a_unit_made_anew_goes_on_with_the_chain_that_the_dock_has_and_never_goes_back(
    here: Hall, tmp_path: Path
) -> None:
    link = Link(41, "ab" * 32)
    with here.dock.catalogue.writing() as connection:
        units.seen(connection, "unit-01", here.dock.clock())
        chains.advance(connection, "unit-01", link, here.dock.clock())
    with open_door(here) as port, answering(here):
        folder = card(tmp_path / "unit", here.pki, port)
        assert NewUnit(folder, confirming(here)).run() == "unit-01"
        before = (folder.data / "spool.json").read_bytes()
        assert str(link.sequence).encode() in before
        keeping.keep(folder, folder.enrolment_settings(), issued(here, folder.key_file), Link(1, "cd" * 32))
    assert (folder.data / "spool.json").read_bytes() == before
    assert Spool(folder.data, folder.signer(), reserve_minutes=0).waiting() == ()


def test_a_standing_holds_no_more_than_it_must() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Standing(time=datetime(2026, 1, 1, tzinfo=UTC)))) == {
        "time": "2026-01-01T00:00:00Z",
        "issued": None,
        "newest": None,
    }
