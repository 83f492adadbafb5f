"""What is in an image of Python packages depends on them alone, and not on where the image was made."""

from pathlib import Path

import pytest

from provisioning.image.python_packages import install_locked, without_commands
from provisioning.stock_programs import ProgramFailedError


def test_an_index_that_is_not_reached_is_told_with_what_was_to_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple"), ("UV_HTTP_RETRIES", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"flask==3.1.3 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ProgramFailedError) as caught:
        install_locked(tmp_path / "tree", "arm64", lock)
    assert str(caught.value) == (
        "Fetching the Python packages of requirements.lock with uv failed (exit code 2): see what it said above, and "
        "run this again."
    )
    assert "127.0.0.1:9" in capfd.readouterr().err


def test_commands_that_name_this_computers_python_are_taken_out_of_the_folder_and_of_the_records(
    tmp_path: Path,
) -> None:
    record = tmp_path / "flask-3.1.3.dist-info/RECORD"
    record.parent.mkdir()
    record.write_text("bin/flask,sha256=x,319\nflask/__init__.py,sha256=y,2615\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/flask").write_text("#!/home/somebody/.venv/bin/python\n")
    (tmp_path / "flask").mkdir()
    without_commands(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"flask", record.parent.name}
    assert record.read_text() == "flask/__init__.py,sha256=y,2615\n"
    without_commands(tmp_path)


def test_packages_without_commands_are_left_as_they_are(tmp_path: Path) -> None:
    without_commands(tmp_path)
    assert list(tmp_path.iterdir()) == []
