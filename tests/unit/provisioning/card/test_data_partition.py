"""The authority's public side is put into the data partition, and into nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.authority import AuthorityFolder, create_authority
from provisioning.card.data_partition import OtherAuthorityError, PreparedImage, prepare
from provisioning.card.image import Image, NotAnImageError, check_image
from provisioning.card.public_side import PublicSide, read_public_side
from provisioning.tools import ToolFailedError
from tests.cards import DATA, data_partition, publish, read_file, run
from tests.unit.provisioning.conftest import CHEAP, NOW


def check(path: Path) -> Image:
    return check_image(path, lambda *_: None)


@pytest.fixture
def side(town: AuthorityFolder) -> PublicSide:
    return read_public_side(town.path, "https://dock.example:8444", (800, 480), NOW)


def write_out(prepared: PreparedImage, path: Path) -> Path:
    path.write_bytes(b"".join(piece for _, piece in prepared.pieces()))
    publish(path)
    return path


def test_the_files_are_there_for_all_to_read_and_all_else_is_as_it_was(
    image_file: Path, side: PublicSide, tmp_path: Path
) -> None:
    image = check(image_file)
    written = write_out(prepare(image, side, folder(tmp_path)), tmp_path / "written.img")
    partition = data_partition(written, tmp_path / "partition")
    for name, content in side.files().items():
        assert read_file(partition, name) == content
        told = run("debugfs", "-R", f"stat {name}", str(partition)).decode()
        assert "Mode:  0644" in told
        assert "User:     0   Group:     0" in told
    run("e2fsck", "-fn", str(partition))
    before, after = image_file.read_bytes(), written.read_bytes()
    start, end = image.data.start, image.data.end
    assert (before[:start], before[end:]) == (after[:start], after[end:])


def folder(tmp_path: Path, name: str = "work") -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_an_image_that_has_it_already_takes_it_again_with_another_dock(
    image_file: Path, side: PublicSide, tmp_path: Path
) -> None:
    once = write_out(prepare(check(image_file), side, folder(tmp_path)), tmp_path / "once.img")
    moved = replace(side, dock_url="https://other.example")
    twice = write_out(prepare(check(once), moved, folder(tmp_path, "again")), tmp_path / "twice.img")
    partition = data_partition(twice, tmp_path / "partition")
    assert read_file(partition, "enrolment.toml") == moved.files()["enrolment.toml"]


def test_an_image_of_another_authority_is_refused(image_file: Path, side: PublicSide, tmp_path: Path) -> None:
    once = write_out(prepare(check(image_file), side, folder(tmp_path)), tmp_path / "once.img")
    other = tmp_path / "other"
    create_authority(AuthorityFolder(other), town="Otherton", reviewer="b-example", passphrases=CHEAP, at=NOW)
    others = read_public_side(other, side.dock_url, None, NOW)
    with pytest.raises(OtherAuthorityError, match="another authority than that of Otherton"):
        prepare(check(once), others, folder(tmp_path, "again"))


@pytest.mark.parametrize("kind", ["nothing", "damaged"])
def test_a_data_partition_that_is_no_whole_file_system_is_refused(
    image_file: Path, side: PublicSide, tmp_path: Path, kind: str
) -> None:
    data = check(image_file).data
    with image_file.open("r+b") as file:
        file.seek(data.start if kind == "nothing" else data.start + 4096)
        file.write(bytes(DATA // 8))
    publish(image_file)
    with pytest.raises(NotAnImageError, match="no whole ext4"):
        prepare(check(image_file), side, folder(tmp_path))


def test_a_data_partition_that_is_full_is_one_sentence(image_file: Path, side: PublicSide, tmp_path: Path) -> None:
    image = check(image_file)
    partition = data_partition(image_file, tmp_path / "partition")
    (tmp_path / "filler").write_bytes(bytes([1]) * DATA)
    run("debugfs", "-w", "-R", f"write {tmp_path / 'filler'} filler", str(partition))
    with image_file.open("r+b") as file:
        file.seek(image.data.start)
        file.write(partition.read_bytes())
    publish(image_file)
    with pytest.raises(ToolFailedError, match="did not fit"):
        prepare(check(image_file), side, folder(tmp_path))
