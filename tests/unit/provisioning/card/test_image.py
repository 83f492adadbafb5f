"""The image file: what is taken for an image, and each way not to be one."""

import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from provisioning.card.image import Image, ImageChangedError, ImageMissingError, NotAnImageError, check_image
from tests.cards import BOOT, DATA, FIRST, IMAGE, MIB, ROOT, make_image, publish


def quiet(_doing: str, _done: int, _total: int) -> None:
    """Show no progress."""


def check(path: Path) -> Image:
    return check_image(path, quiet)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_the_image_is_taken_with_its_partitions_and_its_very_bytes(image_file: Path) -> None:
    image = check(image_file)
    assert [(part.name, part.start, part.size) for part in image.partitions] == [
        ("firmware", FIRST, BOOT),
        ("boot-a", FIRST + BOOT, BOOT),
        ("boot-b", FIRST + 2 * BOOT, BOOT),
        ("root-a", FIRST + 3 * BOOT, ROOT),
        ("root-b", FIRST + 3 * BOOT + ROOT, ROOT),
        ("data", FIRST + 3 * BOOT + 2 * ROOT, DATA),
    ]
    assert b"".join(piece for _, piece in image.pieces()) == image_file.read_bytes()


def test_progress_is_told_to_the_last_byte(image_file: Path) -> None:
    told: list[tuple[str, int, int]] = []
    check_image(image_file, lambda *news: told.append(news))
    size = image_file.stat().st_size
    assert told[-1] == ("Reading the image", size, size)
    assert ("Checking the image", size, size) in told


@pytest.mark.parametrize("ending", [".xz", ".zst"])
def test_a_compressed_image_is_the_same_image(image_file: Path, ending: str) -> None:
    packed = image_file.with_name(f"{image_file.name}{ending}")
    pack(image_file, packed)
    image = check(packed)
    assert image.sha256 == check(image_file).sha256
    assert b"".join(piece for _, piece in image.pieces()) == image_file.read_bytes()


def pack(path: Path, packed: Path) -> None:
    if packed.suffix == ".xz":
        packed.write_bytes(lzma.compress(path.read_bytes(), preset=0))
    else:
        subprocess.run(["zstd", "-q", "-1", path, "-o", packed], check=True)
    publish(packed)


@pytest.mark.parametrize("ending", [".xz", ".zst"])
@pytest.mark.parametrize("breaking", ["cut", "changed", "garbage"])
def test_a_compressed_image_that_was_published_broken_is_refused(image_file: Path, ending: str, breaking: str) -> None:
    packed = image_file.with_name(f"{image_file.name}{ending}")
    pack(image_file, packed)
    content = packed.read_bytes()
    middle = len(content) // 2
    broken = {
        "cut": content[:middle],
        "changed": content[:middle] + b"no" * 40 + content[middle + 80 :],
        "garbage": b"no",
    }
    packed.write_bytes(broken[breaking])
    publish(packed)
    with pytest.raises(NotAnImageError, match="cannot be unpacked"):
        check(packed)


@pytest.mark.parametrize("offset", [0, 512, FIRST, FIRST + 3 * BOOT + 3, -1])
def test_one_bit_that_has_changed_is_noticed(image_file: Path, offset: int) -> None:
    flip(image_file, offset % image_file.stat().st_size)
    with pytest.raises(ImageChangedError, match=r"not what its \.sha256 says"):
        check(image_file)


def test_an_image_that_was_cut_on_its_way_is_refused(image_file: Path) -> None:
    with image_file.open("r+b") as file:
        file.truncate(9 * MIB)
    with pytest.raises(ImageChangedError):
        check(image_file)


def test_an_image_that_changes_after_it_was_checked_is_not_taken_to_its_end(image_file: Path) -> None:
    image = check(image_file)
    flip(image_file, 9 * MIB)
    with pytest.raises(ImageChangedError):
        list(image.pieces())


@pytest.mark.parametrize("digest", [None, b"", b"no digest", b"\xff" * 64, b"ABCD" * 16])
def test_without_a_digest_beside_it_no_image_is_taken(image_file: Path, digest: bytes | None) -> None:
    beside = image_file.with_name(f"{image_file.name}.sha256")
    beside.unlink()
    if digest is not None:
        beside.write_bytes(digest)
    with pytest.raises(ImageMissingError, match=r"with its \.sha256"):
        check(image_file)


@pytest.mark.parametrize("name", ["absent.img", "."])
def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageMissingError, match="cannot be read"):
        check(tmp_path / name)


def test_a_disk_image_of_others_is_refused_by_its_partitions(tmp_path: Path) -> None:
    other = make_image(tmp_path / "other.img", names=("firmware", "boot", "boot-b", "root-a", "root-b", "data"))
    with pytest.raises(NotAnImageError, match=r"its partitions are firmware, boot, boot-b, .*, not firmware, boot-a"):
        check(other)


@pytest.mark.parametrize("content", [b"", b"text\n", bytes(MIB), bytes(512) + b"EFI PART" + bytes(MIB)])
def test_what_holds_no_partition_table_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "some.img"
    file.write_bytes(content)
    publish(file)
    with pytest.raises(NotAnImageError, match="is no Mirrorcam image"):
        check(file)


@pytest.mark.parametrize("size", [IMAGE - 4096, 9 * MIB, 4096, 1000, IMAGE + 512])
def test_an_image_that_was_published_cut_or_longer_is_refused(image_file: Path, size: int) -> None:
    with image_file.open("r+b") as file:
        file.truncate(size)
    publish(image_file)
    with pytest.raises(NotAnImageError):
        check(image_file)


@pytest.mark.parametrize("offset", [512 + 24, 512 + 80, 1024 + 60])
def test_a_table_that_does_not_fit_its_own_check_sums_is_refused(image_file: Path, offset: int) -> None:
    flip(image_file, offset)
    publish(image_file)
    with pytest.raises(NotAnImageError, match="partition table"):
        check(image_file)


def test_the_stock_program_agrees_on_the_table(image_file: Path) -> None:
    assert shutil.which("sfdisk")
    listed = subprocess.run(["sfdisk", "--dump", image_file], check=True, capture_output=True, text=True).stdout
    for number, part in enumerate(check(image_file).partitions):
        line = next(line for line in listed.splitlines() if line.startswith(f"{image_file}{number + 1} "))
        assert f"start={part.start // 512:>12}" in line
        assert f"size={part.size // 512:>12}" in line
        assert f'name="{part.name}"' in line
