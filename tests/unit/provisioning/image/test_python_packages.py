"""What is in an image of Python packages depends on them alone, and not on where the image was made."""

from pathlib import Path

from provisioning.image.python_packages import without_commands


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
