"""To whom a unit is issued, remembered over a restart."""

import stat
from pathlib import Path

from appliance.wearer import NOBODY, Wearer


def test_a_unit_that_no_dock_has_issued_says_so(tmp_path: Path) -> None:
    assert Wearer(tmp_path / "wearer.json").current() == NOBODY


def test_what_a_dock_said_outlives_a_restart_and_is_readable_by_nobody_else(tmp_path: Path) -> None:
    note = tmp_path / "wearer.json"
    Wearer(note).learn("wearer-7")
    assert Wearer(note).current() == "wearer-7"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600


def test_a_unit_that_was_handed_back_is_nobodys_again(tmp_path: Path) -> None:
    wearer = Wearer(tmp_path / "wearer.json")
    wearer.learn("wearer-7")
    wearer.learn(None)
    assert Wearer(tmp_path / "wearer.json").current() == NOBODY


def test_a_pseudonym_given_at_the_start_wins_and_is_not_remembered(tmp_path: Path) -> None:
    note = tmp_path / "wearer.json"
    Wearer(note).learn("wearer-7")
    assert Wearer(note, given="wearer-9").current() == "wearer-9"
    assert Wearer(note).current() == "wearer-7"


def test_the_same_word_again_writes_nothing(tmp_path: Path) -> None:
    note = tmp_path / "wearer.json"
    wearer = Wearer(note)
    wearer.learn("wearer-7")
    before = note.stat().st_ino
    wearer.learn("wearer-7")
    assert note.stat().st_ino == before


def test_a_damaged_note_is_as_good_as_none(tmp_path: Path) -> None:
    note = tmp_path / "wearer.json"
    note.write_text('{"schema": "mirrorcam/wearer/1", "wearer": "a name, as nobody writes it"')
    assert Wearer(note).current() == NOBODY


def test_a_note_that_cannot_be_read_names_nobody(tmp_path: Path) -> None:
    note = tmp_path / "wearer.json"
    note.mkdir()  # who reads it gets an OSError
    assert Wearer(note).current() == NOBODY
