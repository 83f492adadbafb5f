"""The demo's stage and programs: what it clears, what it refuses to, and what it says when a program fails."""

import socket
from pathlib import Path

import pytest

from provisioning.demo.processes import CommandFailedError, NothingHeardError, Program, run
from provisioning.demo.stage import ADDRESS, MARK, NotOurFolderError, Stage


def test_a_demo_clears_what_an_earlier_demo_left(tmp_path: Path) -> None:
    first = Stage.set_up(tmp_path / "demo")
    (first.path / "unit.log").write_text("old")
    second = Stage.set_up(tmp_path / "demo")
    assert sorted(path.name for path in second.path.iterdir()) == [MARK]
    assert second.secrets != first.secrets


def test_a_folder_that_the_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("all my work")
    with pytest.raises(NotOurFolderError, match="was not made by the demo"):
        Stage.set_up(tmp_path / "demo")
    assert (tmp_path / "demo" / "thesis.txt").read_text() == "all my work"


def test_another_port_is_taken_where_the_usual_one_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("provisioning.demo.stage.PAGES_PORT", port)
        assert Stage.set_up(tmp_path / "demo").pages_port not in {port, 0}


def test_a_command_that_fails_is_told_by_its_own_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="is missing"):
        run("mirrorcam-provision", "policy", "show", str(tmp_path))


def test_a_program_that_ends_without_the_event_is_told_of_with_its_log(tmp_path: Path) -> None:
    program = Program("mirrorcam-provision", "--help", log=tmp_path / "help.log")
    with pytest.raises(NothingHeardError, match=r"did not report 'standby'\. .*Its log: .*help\.log"):
        program.wait_for("standby")
    assert program.end() == 0
    assert "authority" in (tmp_path / "help.log").read_text()
