"""IT's morning of many units, and the day one is stolen: by the real commands, at the very addresses of a dock."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from appliance.settings import UnitFolder
from provisioning.demo.processes import command
from tests.bundles import NEWER, RELEASE, update_image
from tests.conftest import ROOT
from tests.morning import REVIEWER_PASSPHRASE, Office, bays_network
from tests.shown_page import calls_in, differences
from tests.unit_process import UnitProcess, environment, running_unit

IMAGE, NEWER_IMAGE = "mirrorcam-debian-0.1.0.img", "mirrorcam-debian-0.2.0.img"
UNITS = tuple(f"unit-0{number}" for number in range(1, 6))
CARDS = tuple(f"card-{number}" for number in range(1, 6))
KEYSLOT, OPENED = "town/keyslots/a-example.age", "clip.mp4"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A town whose dock is at work, after a morning in which five units were enrolled."""
    office = Office(tmp_path_factory.mktemp("office"))
    with bays_network():
        office.set_up()
        update_image(office.path / IMAGE, release=RELEASE)
        office.call("mirrorcam-provision", "image", "sign", IMAGE, "--authority", "town")
        office.write_cards(IMAGE, *CARDS)
        with office.dock_at_work():
            enrol(office, CARDS)
            yield office


def enrol(office: Office, cards: tuple[str, ...], name: str | None = None) -> None:
    """Put new units on the dock together, and type the digits of each, with the name that the page proposes."""
    with ExitStack() as stack:
        signing = stack.enter_context(office.enrolment())
        page = stack.enter_context(office.at_the_pages())
        units = [stack.enter_context(running_unit(office.unit(card).path, "--headless")) for card in cards]
        for unit in units:
            digits = unit.wait_for("enrolment_code")["code"]
            proposed = page.proposed_id()
            assert page.confirm(digits, name or proposed).status_code == 302
            assert unit.wait_for("enrolled")["unit_id"] == (name or proposed)
            switch_off(unit)
        assert signing.interrupt() == 0
        assert f"{len(cards)} unit" in signing.lines[-1]


def switch_off(unit: UnitProcess) -> None:
    unit.wait_for("standby")
    unit.say("quit")
    assert unit.end() == 0


def record(office: Office, card: str) -> str:
    """Have a unit record a clip, and return the clip's id; it waits on the unit."""
    with running_unit(office.unit(card).path, "--headless") as unit:
        unit.wait_for("standby")
        clip = str(unit.record()["clip_id"])
        unit.say("quit")
        assert unit.end() == 0
    return clip


def opening(office: Office, clip: str, key: str, *, passphrase: str = "") -> "subprocess.CompletedProcess[str]":
    words = ("mirrorcam-clip", "open", clip, "--identity", key, "--output", OPENED)
    return office.try_call(*words, "--passphrase-file", "-", lines=(passphrase,))


def units_at_the_dock(office: Office) -> dict[str, str]:
    """Return the dock's line of each unit."""
    listed = office.call("mirrorcam-dock", "unit", "list", "--folder", "dock")
    return {words[0]: line for line in listed.splitlines() if (words := line.split())}


class TestMorning:
    def test_one_call_has_written_every_card_and_all_are_alike(self, office: Office) -> None:
        said = office.transcript.read_text()
        assert "The image is whole, and its signature is good." in said
        assert f"Card {len(CARDS)} is ready" in said
        assert f"Cards ready: {len(CARDS)}." in said
        for card in CARDS:
            assert office.unit(card).authority_file.read_bytes() == (office.path / "town/authority.crt").read_bytes()

    def test_digits_and_a_proposed_name_were_all_that_was_typed_for_a_unit(self, office: Office) -> None:
        listed = office.call("mirrorcam-provision", "unit", "list", "--authority", "town")
        at_the_dock = units_at_the_dock(office)
        for card, name in zip(CARDS, UNITS, strict=True):
            settings = office.unit(card).settings()
            assert (settings.unit_id, settings.dock_url) == (name, "https://[fd6d:6972:726f::1]:8444")
            assert re.search(rf"{name} .*trusted", listed)
            assert at_the_dock.keys() & {name}, "it was at the bays under its own name"

    def test_at_its_first_docking_each_unit_says_how_it_is(self, office: Office) -> None:
        for card in CARDS:
            assert office.unit_dock(card).returncode == 0
        at_the_dock = units_at_the_dock(office)
        for name in UNITS:
            assert re.search(r" 0 .* of [0-9.]+ GB +mirrorcam ", at_the_dock[name]), "no clip waits; storage; software"

    def test_a_card_of_another_town_is_not_enrolled_and_says_why(self, office: Office) -> None:
        lines = (f"{REVIEWER_PASSPHRASE} too", "more invented demo words")
        create = ("authority", "create", "elsewhere", "--town", "Otherton", "--reviewer", "b-example")
        files = ("--reviewer-passphrase-file", "-", "--recovery-passphrase-file", "-")
        office.call("mirrorcam-provision", *create, *files, lines=lines)
        update_image(office.path / "other.img")
        office.write_cards("other.img", "foreign", authority="elsewhere")
        with office.enrolment() as signing, running_unit(office.unit("foreign").path, "--headless") as unit:
            sentence = unit.wait_for("enrolment_failed")["sentence"]
            assert "another authority issued it; put the unit on a dock of its own town" in sentence
            office.note(("mirrorcam-unit", "run", "--folder", "foreign"), f"{sentence}\n", 0)
            signing.interrupt()
        assert not office.unit("foreign").settings_file.exists()
        assert "foreign" not in str(units_at_the_dock(office))


class TestTheft:
    def test_a_stolen_unit_is_refused_at_once_and_sealed_and_the_others_go_on(self, office: Office) -> None:
        stolen, other = office.unit(CARDS[1]), office.unit(CARDS[2])
        handed_over = record(office, CARDS[1])
        assert office.unit_dock(CARDS[1]).returncode == 0
        waiting = record(office, CARDS[1])
        theirs = record(office, CARDS[2])

        office.call("mirrorcam-provision", "unit", "revoke", UNITS[1], "--authority", "town", "--into", "dock")
        refused = office.unit_dock(CARDS[1])
        assert refused.returncode == 3
        assert "revoked" in refused.stderr
        assert "revoked" in units_at_the_dock(office)[UNITS[1]]
        listed = office.call("mirrorcam-provision", "unit", "list", "--authority", "town")
        assert re.search(rf"{UNITS[1]} .*revoked", listed)

        check_nothing_opens(office, stolen, waiting)
        vault = office.path / "dock/vault/clips"
        assert (vault / f"{handed_over}.mp4.age").exists(), "what it had handed over stays"
        assert not list(vault.glob(f"{waiting}*"))

        assert office.unit_dock(CARDS[2]).returncode == 0
        assert (vault / f"{theirs}.mp4.age").exists()
        assert not list(other.data.glob("*.age"))
        assert units_at_the_dock(office)[UNITS[2]].split()[4] == "0", "no clip of it waits any more"
        check_replacement(office)


def check_nothing_opens(office: Office, stolen: UnitFolder, clip: str) -> None:
    """Check that nothing on a stolen card opens its clip, and that the reviewer's passphrase does."""
    content = b"".join(path.read_bytes() for path in stolen.path.rglob("*") if path.is_file())
    assert b"AGE-SECRET-KEY" not in content
    sealed, key = (str(path.relative_to(office.path)) for path in (stolen.data / f"{clip}.mp4.age", stolen.key_file))
    assert opening(office, sealed, key).returncode in {4, 5}
    guessed = opening(office, sealed, KEYSLOT, passphrase="a passphrase that is guessed")
    assert guessed.returncode == 4
    assert not (office.path / OPENED).exists()
    done = opening(office, sealed, KEYSLOT, passphrase=REVIEWER_PASSPHRASE)
    assert done.returncode == 0, done.stderr


def check_replacement(office: Office) -> None:
    """Check that a new unit takes over the stolen one's name, and that the stolen one stays out."""
    office.call("mirrorcam-provision", "unit", "reissue", UNITS[1], "--authority", "town", "--into", "dock")
    assert office.unit_dock(CARDS[1]).returncode == 3
    office.write_cards(IMAGE, "replacement")
    enrol(office, ("replacement",), UNITS[1])
    assert office.unit("replacement").key_file.read_bytes() != office.unit(CARDS[1]).key_file.read_bytes()
    record(office, "replacement")
    assert office.unit_dock("replacement").returncode == 0
    assert "until 20" in units_at_the_dock(office)[UNITS[1]]
    assert office.unit_dock(CARDS[1]).returncode == 3, "the old key stays out"


def test_a_bundle_is_made_published_and_seen_at_the_list(office: Office) -> None:
    update_image(office.path / NEWER_IMAGE, release=NEWER)
    office.call("mirrorcam-provision", "image", "sign", NEWER_IMAGE, "--authority", "town")
    office.call("mirrorcam-provision", "bundle", "make", NEWER_IMAGE, "--authority", "town")
    bundle = f"mirrorcam-debian-{NEWER}.raucb"
    office.call("mirrorcam-provision", "bundle", "publish", bundle, "--authority", "town", "--into", "dock")
    listed = office.call("mirrorcam-dock", "unit", "list", "--folder", "dock")
    assert f"Offered to the units: release {NEWER} for mirrorcam-debian." in listed
    with office.at_the_pages() as page:
        assert NEWER in page.client.get("/units").text


def test_the_dock_agrees_with_itself_at_the_end_of_the_day(office: Office) -> None:
    office.call("mirrorcam-dock", "custody", "verify", "--folder", "dock")
    words = [command("mirrorcam-dock"), "doctor", "--folder", "dock"]
    said = subprocess.run(words, cwd=office.path, capture_output=True, text=True, check=False, env=environment())
    assert said.stdout == "Everything is in order.\n"


def test_the_page_of_this_day_shows_what_was_printed_in_it(office: Office) -> None:
    """Behind all the others: the page shows what they have called."""
    page = (ROOT / "docs/provisioning.md").read_text(encoding="utf-8")
    calls, log = calls_in(office.transcript.read_text()), (office.path / "dock.log").read_text()
    by_hand = ("mirrorcam-provision dock install",)  # a whole computer: docs/provisioning/install.md
    assert differences(page, calls, log, elsewhere=by_hand) == []
