"""IT's morning with the image itself: a card from `card write`, switched on on the dock, enrolled by its six digits."""

import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from provisioning.image.build import Built
from tests.cards import loop_device
from tests.enrolling import LOGIN, PASSWORD, AtThePages
from tests.image.browsing import FromInside
from tests.image.cards import CARD_BYTES, disks_in, written_card_of
from tests.image.machine import read_partition, write_partition
from tests.image.seating import wait_for_carrier
from tests.morning import DOCK_PAGES, REVIEWER_PASSPHRASE, Office
from tests.virtual_pi.figures import record
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.root import Root
from tests.virtual_pi.talking import until
from tests.virtual_pi.town import SMALL_PANEL, Town, camera_settings

UNIT = "unit-01"
AUTHORITY = "/run/town"
MICROPHONE = "alsa:plughw:Loopback,1"  # the kernel's own loopback card, which gives silence where nobody plays
ENROL = f"/opt/mirrorcam/bin/mirrorcam-provision unit enrol --authority {AUTHORITY} --dock /var/lib/mirrorcam/dock"
PATIENCE = 900.0


@pytest.fixture(scope="module")
def office(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A town with a dock, and one card that its IT has written; nothing is enrolled."""
    office = Office(tmp_path_factory.mktemp("office"))
    office.set_up()
    office.call("mirrorcam-provision", "image", "sign", str(built.image), "--authority", "town")
    card = disks_in(office.path).card
    card.touch()
    os.truncate(card, CARD_BYTES)
    with loop_device(card) as device:
        board = ("--screen", "320x240", "--microphone", MICROPHONE)
        options = ("--authority", "town", "--device", str(device), "--confirm", device.name, *board)
        office.call("mirrorcam-provision", "card", "write", str(built.image), *options)
    add_to_the_board(card, camera_settings(SMALL_PANEL))
    return office


def add_to_the_board(card: Path, settings: str) -> None:
    """Say what is special about the board, which for an emulated one is how little its camera can do."""
    data = read_partition(card, "data", card.with_suffix(".data"))
    told = subprocess.run(["debugfs", "-R", "cat enrolment.toml", str(data)], check=True, capture_output=True).stdout
    file = card.with_suffix(".toml")
    file.write_bytes(told + settings.encode())
    for command in ("rm enrolment.toml", f"write {file} enrolment.toml"):
        subprocess.run(["debugfs", "-w", "-R", command, str(data)], check=True, capture_output=True)
    write_partition(card, "data", data)


@pytest.fixture(scope="module")
def pi(office: Office, root: Root, town: Town) -> Iterator[VirtualPi]:
    """The unit with that card, switched on for the first time, beside the dock."""
    pi = written_card_of(root, town, office.path, office.path / "dock")
    try:
        pi.machine.start()
        pi.unplug()
        pi.machine.run("modprobe snd-aloop")
        carry_in(pi, office.path / "town")
        yield pi
    finally:
        pi.machine.stop()


def carry_in(pi: VirtualPi, authority: Path) -> None:
    """Bring the authority's folder to where the dock's is."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(authority, arcname=AUTHORITY.removeprefix("/run/"))
    pi.machine.write("/run/town.tar", packed.getvalue())
    pi.machine.run("tar -x -f /run/town.tar -C /run && rm /run/town.tar")


@pytest.fixture(scope="module")
def page(pi: VirtualPi) -> Iterator[AtThePages]:
    """IT, signed in at the dock's pages, while enrolment is open."""
    pi.machine.run("systemctl start mirrorcam-pages", seconds=PATIENCE)
    pi.machine.run(f"systemd-run --unit=rig-enrol {ENROL}")
    with httpx.Client(base_url=DOCK_PAGES, transport=FromInside(pi.machine, f"{AUTHORITY}/authority.crt")) as client:
        page = AtThePages(client)
        assert page.send("/sign-in", login=LOGIN, password=PASSWORD).status_code == 302
        yield page


@pytest.fixture(scope="module")
def enrolled(pi: VirtualPi, page: AtThePages) -> dict[str, Any]:
    """The unit's line that it is enrolled, after its six digits were typed with the name that the page proposes."""
    pi.plug()
    wait_for_carrier(pi)
    digits = pi.wait_for("enrolment_code", seconds=PATIENCE)["code"]
    until(lambda: pi.machine.picture().any(), seconds=60, what="the digits on the screen")
    proposed = page.proposed_id()
    began = time.monotonic()
    assert page.confirm(digits, proposed).status_code == 302
    line = pi.wait_for("enrolled", seconds=PATIENCE)
    record(
        "enrolment", "digits typed until the unit has its certificate, emulated", f"{time.monotonic() - began:.0f} s"
    )
    return line


def test_it_gets_the_name_that_the_page_proposed(enrolled: dict[str, Any]) -> None:
    assert enrolled["unit_id"] == UNIT


def test_it_is_at_work_and_the_dock_has_seen_it_under_its_name(pi: VirtualPi, enrolled: dict[str, Any]) -> None:
    pi.wait_for("started", seconds=PATIENCE)
    until(lambda: pi.is_active("mirrorcam-enrolled"), seconds=PATIENCE, what="the cable under its new name", pause=1.0)
    wait_for_carrier(pi)
    until(lambda: "0.0.1+" in unit_list(pi), seconds=PATIENCE, what="the unit in the dock's list", pause=3.0)
    assert UNIT in unit_list(pi)


def test_the_command_that_signs_ends_by_ctrl_c_and_says_how_many(pi: VirtualPi, enrolled: dict[str, Any]) -> None:
    pi.machine.run("systemctl kill --signal=INT rig-enrol")
    said = until(lambda: closing_line(pi), seconds=120, what="the end of enrolment")
    assert "1 unit" in said


def test_its_first_clip_is_handed_over_and_opens_with_the_reviewers_passphrase(
    pi: VirtualPi, office: Office, enrolled: dict[str, Any]
) -> None:
    pi.unplug()
    pi.wait_for_state("standby", seconds=PATIENCE)
    pi.touch("tap 0.08")
    pi.wait_for("recording_started")
    time.sleep(5)
    clip_id = pi.end_clip()["clip_id"]
    pi.plug()
    until(lambda: clip_id not in pi.waiting(), seconds=PATIENCE, what="the clip to be handed over", pause=1.0)
    sealed = office.path / f"{clip_id}.mp4.age"
    sealed.write_bytes(pi.machine.read(f"/var/lib/mirrorcam/dock/vault/clips/{clip_id}.mp4.age"))
    words = ("--identity", "town/keyslots/a-example.age", "--output", "film.mp4", "--passphrase-file", "-")
    office.call("mirrorcam-clip", "open", str(sealed), *words, lines=(REVIEWER_PASSPHRASE,))
    shown = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", "film.mp4"]
    told = subprocess.run(shown, cwd=office.path, check=True, capture_output=True, text=True).stdout
    assert told.split() == ["h264", "aac"]


def test_switched_off_and_on_it_is_the_same_unit(pi: VirtualPi, enrolled: dict[str, Any]) -> None:
    pi.machine.stop()
    pi.machine.start()
    started = pi.wait_for("started", seconds=PATIENCE)
    assert started["unit_id"] == UNIT
    assert "new_unit" not in pi.events()


def unit_list(pi: VirtualPi) -> str:
    return pi.dock("unit", "list", seconds=PATIENCE)


def closing_line(pi: VirtualPi) -> str:
    told = pi.machine.run("journalctl --no-pager -o cat -u rig-enrol")
    return next((line for line in told.splitlines() if line.startswith("Enrolment is closed")), "")
