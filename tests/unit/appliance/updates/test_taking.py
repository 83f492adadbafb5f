"""What root takes over from the unit's folder is nobody else's to change, or is refused."""

import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.updates.places import UpdatePlaces
from appliance.updates.rauc import BundleRefusedError
from appliance.updates.taking import drop_taken, give_back, take


@pytest.fixture
def places(tmp_path: Path) -> UpdatePlaces:
    places = UpdatePlaces(tmp_path)
    places.arriving.mkdir()
    return places


def arrive(places: UpdatePlaces, content: bytes = b"a bundle") -> None:
    places.bundle.write_bytes(content)


def test_a_bundle_that_was_taken_is_roots_alone(places: UpdatePlaces) -> None:
    arrive(places)
    places.bundle.chmod(0o666)
    if os.geteuid() == 0:
        os.chown(places.bundle, 1000, 1000)
    take(places)
    facts = places.taken.stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (os.geteuid(), os.getegid(), 0o600)
    assert places.taken.read_bytes() == b"a bundle"
    assert not places.bundle.exists()
    assert places.has_bundle


def put_link(places: UpdatePlaces) -> None:
    (places.unit / "elsewhere").write_bytes(b"a bundle")
    places.bundle.symlink_to(places.unit / "elsewhere")


def put_dangling_link(places: UpdatePlaces) -> None:
    places.bundle.symlink_to(places.unit / "nowhere")


def put_pipe(places: UpdatePlaces) -> None:
    os.mkfifo(places.bundle)


@pytest.mark.parametrize("put", [put_link, put_dangling_link, put_pipe])
def test_what_is_no_plain_file_is_refused_and_goes(places: UpdatePlaces, put: Callable[[UpdatePlaces], None]) -> None:
    put(places)
    with pytest.raises(BundleRefusedError, match="it is no plain file"):
        take(places)
    drop_taken(places)
    drop_taken(places)
    assert not os.path.lexists(places.taken)
    assert not os.path.lexists(places.bundle)


def test_a_folder_is_refused_and_left_where_it_is(places: UpdatePlaces) -> None:
    (places.bundle / "in" / "it").mkdir(parents=True)
    with pytest.raises(BundleRefusedError, match="it is no plain file"):
        take(places)
    drop_taken(places)
    assert (places.bundle / "in" / "it").is_dir()
    assert not os.path.lexists(places.taken)


def test_what_somebody_could_still_write_to_is_refused(places: UpdatePlaces) -> None:
    arrive(places)
    with places.bundle.open("r+b"), pytest.raises(BundleRefusedError, match="something still writes to it"):
        take(places)
    take(places)  # nobody does any more


def test_what_somebody_has_mapped_for_writing_is_refused(places: UpdatePlaces) -> None:
    arrive(places)
    with places.bundle.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    with pytest.raises(BundleRefusedError, match="something still writes to it"):
        take(places)
    mapped.close()
    take(places)


def test_what_a_cut_run_had_taken_is_gone_on_with_unless_another_has_arrived(places: UpdatePlaces) -> None:
    arrive(places)
    take(places)
    take(places)
    assert places.taken.read_bytes() == b"a bundle"
    arrive(places, b"another")
    take(places)
    assert places.taken.read_bytes() == b"another"


def test_what_is_given_back_can_be_taken_again(places: UpdatePlaces) -> None:
    arrive(places)
    take(places)
    give_back(places)
    assert places.bundle.read_bytes() == b"a bundle"
    assert not places.taken.exists()
    take(places)
    assert places.taken.read_bytes() == b"a bundle"
