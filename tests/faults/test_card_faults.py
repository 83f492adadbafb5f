"""Cards that are pulled, worn out, fake, failing or held: real block devices over a medium that does as it is told."""

import errno
import hashlib
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from evidence.errors import MirrorcamError
from provisioning.card.devices import CardTooSmallError, MountedError, ReadOnlyCardError
from provisioning.card.image import Image, ImageChangedError, check_image
from provisioning.card.writing import (
    HEAD,
    CardError,
    CardFailedError,
    CardForgetsError,
    CardPulledError,
    FakeSizeError,
    SourceFailedError,
    WritingStoppedError,
    probe_offsets,
    write_card,
)
from tests.cards import (
    CARD,
    IMAGE,
    MIB,
    FailingMedium,
    Medium,
    SwallowingMedium,
    WornMedium,
    WrappingMedium,
    card_of,
    loop_device,
    make_image,
    pull,
)

TABLE = 34 * 512  # bytes: protective MBR, header, entries
OLD = hashlib.sha256(b"what was on the card before").digest() * (CARD // 32)
NOTHING_STARTS = "has no partition table now, so nothing starts from it"


def quiet(_doing: str, _done: int, _total: int) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return check_image(make_image(tmp_path_factory.mktemp("image") / "mirrorcam-test-0.1.0.img"), quiet)


@dataclass
class Reader:
    """Where a medium is put in: its file, and where it appears."""

    folder: Path

    @property
    def kept(self) -> Path:
        """The file in which the medium keeps what it keeps."""
        return self.folder / "kept"

    def write(self, image: Image, medium: Medium, progress: Callable[[str, int, int], None] = quiet) -> None:
        with card_of(medium, self.folder / "card") as device:
            write_card(image, device, progress)

    def is_empty(self) -> bool:
        """Tell whether nothing would start from what is kept: no partition table, old or new."""
        with self.kept.open("rb") as file:
            return file.read(HEAD) == bytes(HEAD)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    (tmp_path / "kept").write_bytes(OLD)
    return Reader(tmp_path)


def test_a_good_card_has_the_very_bytes_and_no_older_table_at_its_end(image: Image, reader: Reader) -> None:
    told: list[tuple[str, int, int]] = []
    reader.write(image, Medium(reader.kept), lambda *news: told.append(news))
    kept = reader.kept.read_bytes()
    assert kept[:IMAGE] == image.path.read_bytes()
    assert OLD[:4096] not in kept[-4096 * 2 :]
    assert [news for news in told if news[1] == IMAGE] == [("Writing", IMAGE, IMAGE), ("Reading back", IMAGE, IMAGE)]


def test_a_card_of_the_images_very_size_is_large_enough(image: Image, reader: Reader) -> None:
    reader.write(image, Medium(reader.kept, IMAGE))
    assert reader.kept.read_bytes() == image.path.read_bytes()


class TestRefused:
    """Before a byte is written."""

    def refuse(self, image: Image, reader: Reader, error: type[MirrorcamError], device: Path) -> None:
        before = reader.kept.read_bytes()
        with pytest.raises(error):
            write_card(image, device, quiet)
        assert reader.kept.read_bytes() == before

    def test_a_card_that_is_one_sector_too_small(self, image: Image, reader: Reader) -> None:
        os.truncate(reader.kept, IMAGE - 512)
        with loop_device(reader.kept) as device:
            self.refuse(image, reader, CardTooSmallError, device)

    def test_a_write_protected_card(self, image: Image, reader: Reader) -> None:
        with loop_device(reader.kept, "--read-only") as device:
            self.refuse(image, reader, ReadOnlyCardError, device)

    def test_a_card_that_another_program_holds(self, image: Image, reader: Reader) -> None:
        with loop_device(reader.kept) as device:
            held = os.open(device, os.O_RDONLY | os.O_EXCL)
            try:
                self.refuse(image, reader, MountedError, device)
            finally:
                os.close(held)

    def test_a_card_that_was_mounted_a_moment_ago(self, image: Image, reader: Reader) -> None:
        subprocess.run(["mkfs.ext4", "-q", "-F", reader.kept], check=True)
        place = reader.folder / "mounted"
        place.mkdir()
        with loop_device(reader.kept) as device:
            subprocess.run(["mount", "-o", "ro", device, place], check=True)
            try:
                self.refuse(image, reader, MountedError, device)
            finally:
                subprocess.run(["umount", place], check=True)

    def test_a_card_that_is_gone(self, image: Image, reader: Reader) -> None:
        self.refuse(image, reader, CardPulledError, reader.folder / "absent")


class TestLiars:
    """Cards that take everything and keep something else."""

    @pytest.mark.parametrize("true_size", [IMAGE // 2, IMAGE, IMAGE + 4 * MIB, CARD - 4 * MIB, 32 * MIB])
    @pytest.mark.parametrize("kind", [WrappingMedium, SwallowingMedium])
    def test_a_fake_that_is_smaller_than_it_says_is_found_out(
        self, image: Image, reader: Reader, kind: type[WrappingMedium | SwallowingMedium], true_size: int
    ) -> None:
        medium = kind(reader.kept)
        medium.true_size = true_size
        with pytest.raises((FakeSizeError, CardForgetsError), match=NOTHING_STARTS):
            reader.write(image, medium)
        assert reader.is_empty()

    @pytest.mark.parametrize("offset", [HEAD, HEAD + 1, 9 * MIB + 77, IMAGE - 1])
    def test_one_bit_that_has_worn_out_is_found_and_its_byte_named(
        self, image: Image, reader: Reader, offset: int
    ) -> None:
        medium = WornMedium(reader.kept)
        medium.bad_byte = offset
        with pytest.raises(CardForgetsError, match=f"first at byte {offset}:") as found:
            reader.write(image, medium)
        assert NOTHING_STARTS in str(found.value)
        assert reader.is_empty()

    @pytest.mark.parametrize("offset", [0, 700, HEAD - 1])
    def test_one_in_the_partition_table_is_found_too(self, image: Image, reader: Reader, offset: int) -> None:
        medium = WornMedium(reader.kept)
        medium.bad_byte = offset
        with pytest.raises(CardForgetsError, match=f"first at byte {offset}:"):
            reader.write(image, medium)
        assert reader.is_empty()

    def test_one_behind_the_image_is_found_where_a_probe_lies(self, image: Image, reader: Reader) -> None:
        medium = WornMedium(reader.kept)
        medium.bad_byte = CARD - 1
        with pytest.raises(FakeSizeError, match=f"at byte {CARD - 4096}"):
            reader.write(image, medium)
        assert reader.is_empty()


class TestFailing:
    """Cards and readers that report an error, or go away."""

    @pytest.mark.parametrize("offset", [HEAD, 9 * MIB + 77, IMAGE - 1, CARD - 1])
    @pytest.mark.parametrize("way", ["bad_write", "bad_read"])
    def test_an_error_in_the_middle_is_one_sentence_and_nothing_starts(
        self, image: Image, reader: Reader, way: str, offset: int
    ) -> None:
        medium = FailingMedium(reader.kept)
        setattr(medium, way, offset)
        with pytest.raises(CardFailedError, match=r"Input/output error.*take another card") as failed:
            reader.write(image, medium)
        assert NOTHING_STARTS in str(failed.value)
        assert reader.is_empty()

    def test_a_first_sector_that_cannot_be_written_is_not_called_empty(self, image: Image, reader: Reader) -> None:
        medium = FailingMedium(reader.kept)
        medium.bad_write = 0
        with pytest.raises(CardFailedError, match="do not put it into a unit"):
            reader.write(image, medium)

    @pytest.mark.parametrize(
        ("doing", "at", "state"),
        [
            *(("Writing", at, NOTHING_STARTS) for at in (4 * MIB, 12 * MIB, IMAGE)),
            *(("Reading back", at, NOTHING_STARTS) for at in (4 * MIB, 12 * MIB)),
            ("Reading back", IMAGE, "do not put it into a unit"),  # while the table is written nobody knows
        ],
    )
    def test_a_card_that_is_pulled_is_named_and_holds_no_table(
        self, image: Image, reader: Reader, doing: str, at: int, state: str
    ) -> None:
        first_bytes = b""
        with loop_device(reader.kept) as device:

            def pull_there(now: str, done: int, _total: int) -> None:
                nonlocal first_bytes
                if (now, done) == (doing, at):
                    first_bytes = reader.kept.read_bytes()[:HEAD]
                    pull(device, reader.kept)

            with pytest.raises(CardPulledError, match="pulled out") as pulled:
                write_card(image, device, pull_there)
        assert state in str(pulled.value)
        assert first_bytes == bytes(HEAD)

    def test_a_medium_that_dies_at_any_write_never_holds_a_part_that_starts(self, image: Image, tmp_path: Path) -> None:
        good = DyingMedium(tmp_path / "good")
        with card_of(good, tmp_path / "card") as device:
            write_card(image, device, quiet)
        whole = image.path.read_bytes()
        for last in sorted({0, MIB, good.taken - MIB, good.taken - 1, *random.Random(7).sample(range(good.taken), 12)}):
            reader = Reader(tmp_path / f"{last}")
            reader.folder.mkdir()
            reader.kept.write_bytes(OLD)
            medium = DyingMedium(reader.kept)
            medium.lives = last
            with pytest.raises(CardError, match=f"{NOTHING_STARTS}|do not put it into a unit") as died:
                reader.write(image, medium)
            kept = reader.kept.read_bytes()
            assert (
                kept[:TABLE] == bytes(TABLE)
                or kept[:HEAD] == OLD[:HEAD]  # nothing was written there yet
                or kept[HEAD:IMAGE] == whole[HEAD:]  # all else is whole, and was read back
            ), f"after {last} bytes: {died.value}"

    def test_a_program_that_is_killed_leaves_a_card_from_which_nothing_starts(
        self, image: Image, reader: Reader
    ) -> None:
        for doing in ("Writing", "Reading back"):
            with loop_device(reader.kept) as device:
                child = os.fork()
                if child == 0:
                    write_card(image, device, partial(die, doing))
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            assert reader.is_empty()

    def test_ctrl_c_leaves_an_empty_card_and_says_so(self, image: Image, reader: Reader) -> None:
        with pytest.raises(WritingStoppedError, match=NOTHING_STARTS):
            reader.write(image, Medium(reader.kept), interrupt)
        assert reader.is_empty()


def die(when: str, doing: str, done: int, _total: int) -> None:
    if (doing, done) == (when, 8 * MIB):
        os.kill(os.getpid(), signal.SIGKILL)


def interrupt(_doing: str, _done: int, _total: int) -> None:
    raise KeyboardInterrupt


class DyingMedium(Medium):
    """It takes so many bytes, and is dead from the write on that would be more."""

    lives = 1 << 40
    taken = 0
    is_dead = False

    def write(self, offset: int, content: bytes) -> None:
        self.is_dead = self.is_dead or self.taken + len(content) > self.lives
        self._check()
        self.taken += len(content)
        super().write(offset, content)

    def read(self, offset: int, size: int) -> bytes:
        self._check()
        return super().read(offset, size)

    def _check(self) -> None:
        if self.is_dead:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@dataclass(frozen=True)
class BrokenSource:
    """An image whose file is changed, or whose disk fails, after it was checked."""

    image: Image
    error: Exception

    @property
    def size(self) -> int:
        return self.image.size

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        yield from self.image.pieces()
        raise self.error


@pytest.mark.parametrize(
    "error",
    [ImageChangedError(Path("some.img")), OSError(errno.EIO, os.strerror(errno.EIO))],
    ids=["changed", "failed"],
)
def test_an_image_that_breaks_meanwhile_does_not_reach_its_table(
    image: Image, reader: Reader, error: Exception
) -> None:
    with (
        card_of(Medium(reader.kept), reader.folder / "card") as device,
        pytest.raises(SourceFailedError, match=NOTHING_STARTS),
    ):
        write_card(BrokenSource(image, error), device, quiet)
    assert reader.is_empty()


@pytest.mark.parametrize("size", [IMAGE, IMAGE + 512, IMAGE + 4096, CARD, 32_010_928_128, 2 << 40])
def test_probes_lie_behind_the_image_and_on_the_card(size: int) -> None:
    offsets = probe_offsets(IMAGE, size)
    assert all(IMAGE <= offset <= size - 4096 and offset % 4096 == 0 for offset in offsets)
    assert len(offsets) == len(set(offsets))
    assert (size - size % 4096) - 4096 in offsets or size < IMAGE + 4096
    assert len(offsets) < 64
