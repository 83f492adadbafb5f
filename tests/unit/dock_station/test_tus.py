"""The tus protocol at the bays: what a client may say, what it is told, and that nothing wrong leaves a trace."""

import base64
import hashlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from dock_station.bays import uploads
from dock_station.bays.uploads import KEPT_FOR, MAX_BYTES
from evidence.docking import UPLOADS_PATH, RefusalCode
from tests.dock import Camera, RunningDock, SealedClip, Visitor, patch_head, running_dock, until


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


@pytest.fixture
def camera(dock: RunningDock) -> Camera:
    return dock.unit()[0]


@pytest.fixture
def unit(dock: RunningDock, camera: Camera) -> Visitor:
    return dock.visitor(camera.identity)


@pytest.fixture
def clip(camera: Camera) -> SealedClip:
    return camera.clip()


def checksum(algorithm: str, piece: bytes) -> dict[str, str | None]:
    digest = hashlib.new(algorithm, piece, usedforsecurity=False).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


def test_a_client_may_ask_what_the_server_can_do_without_naming_a_version(unit: Visitor) -> None:
    answer = unit.ask("OPTIONS", UPLOADS_PATH, headers={"Tus-Resumable": None})
    assert answer.status == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,checksum,expiration,termination"
    assert answer.headers["tus-checksum-algorithm"] == "sha256,sha1"
    assert int(answer.headers["tus-max-size"]) == MAX_BYTES
    assert "tus-resumable" not in answer.headers


def test_an_upload_is_made_and_says_where_it_lives_and_until_when(unit: Visitor, clip: SealedClip) -> None:
    answer = unit.create(clip.clip_id, 1000)
    assert answer.status == 201
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["location"].startswith(f"{UPLOADS_PATH}/")
    expires = parsedate_to_datetime(answer.headers["upload-expires"])
    assert abs(expires - datetime.now(UTC) - KEPT_FOR).total_seconds() < 60


def test_an_uploads_state_is_there_for_the_asking_and_no_cache_may_keep_it(unit: Visitor, clip: SealedClip) -> None:
    location = unit.begin(clip)
    unit.append(location, 0, clip.sealed[:1000])
    answer = unit.head(location)
    assert answer.status == 200
    assert answer.offset == 1000
    assert int(answer.headers["upload-length"]) == len(clip.sealed)
    assert answer.headers["upload-metadata"] == f"clip_id {base64.b64encode(clip.clip_id.encode()).decode()}"
    assert answer.headers["cache-control"] == "no-store"
    assert "upload-expires" in answer.headers


def test_an_upload_goes_on_at_the_acknowledged_byte_on_a_new_connection(
    dock: RunningDock, camera: Camera, unit: Visitor, clip: SealedClip
) -> None:
    location = unit.begin(clip)
    assert unit.append(location, 0, clip.sealed[:123_457]).offset == 123_457
    unit.hang_up()
    again = dock.visitor(camera.identity)
    offset = again.head(location).offset
    assert offset == 123_457
    assert again.append(location, offset, clip.sealed[offset:]).offset == len(clip.sealed)
    dock.receipt(again.seal(clip))
    assert dock.is_stored(clip)


def test_a_clip_comes_in_many_pieces(dock: RunningDock, unit: Visitor, clip: SealedClip) -> None:
    location = unit.begin(clip)
    step = 70_001
    for offset in range(0, len(clip.sealed), step):
        piece = clip.sealed[offset : offset + step]
        assert unit.append(location, offset, piece, **checksum("sha256", piece)).offset == offset + len(piece)
    dock.receipt(unit.seal(clip))
    assert dock.is_stored(clip)


def test_a_piece_of_nothing_changes_nothing(unit: Visitor, clip: SealedClip) -> None:
    location = unit.begin(clip)
    assert unit.append(location, 0, b"").offset == 0
    unit.append(location, 0, clip.sealed)
    assert unit.append(location, len(clip.sealed), b"").offset == len(clip.sealed)


@pytest.mark.parametrize("offset", [0, 999, 1001])
def test_a_piece_at_the_wrong_offset_is_refused_and_nothing_of_it_stays(
    dock: RunningDock, unit: Visitor, clip: SealedClip, offset: int
) -> None:
    location = unit.begin(clip)
    unit.append(location, 0, clip.sealed[:1000])
    sentence = unit.append(location, offset, clip.sealed[offset:]).refuses(409, RefusalCode.OFFSET)
    assert f"byte 1000, not at {offset}" in sentence
    assert unit.head(location).offset == 1000
    unit.append(location, 1000, clip.sealed[1000:])
    dock.receipt(unit.seal(clip))
    assert dock.is_stored(clip)


def test_a_piece_that_goes_beyond_what_was_announced_is_refused_before_it_is_taken(
    dock: RunningDock, unit: Visitor, clip: SealedClip
) -> None:
    location = unit.begin(clip)
    answer = unit.append(location, 0, clip.sealed + b"x")
    sentence = answer.refuses(413, RefusalCode.TOO_LONG)
    assert f"{len(clip.sealed) + 1} bytes are announced and {len(clip.sealed)} are allowed" in sentence
    assert unit.head(location).offset == 0
    assert dock.vault_files() == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_piece_with_a_wrong_checksum_is_thrown_away(
    dock: RunningDock, unit: Visitor, clip: SealedClip, algorithm: str
) -> None:
    location = unit.begin(clip)
    start, rest = clip.sealed[:5000], clip.sealed[5000:]
    assert unit.append(location, 0, start, **checksum(algorithm, start)).status == 204
    wrong = unit.append(location, 5000, rest, **checksum(algorithm, rest + b"x"))
    wrong.refuses(460, RefusalCode.CHECKSUM)
    assert unit.head(location).offset == 5000
    (part,) = dock.dock.folder.vault.glob("incoming/*.part")
    assert part.stat().st_size == 5000
    assert unit.append(location, 5000, rest, **checksum(algorithm, rest)).status == 204
    dock.receipt(unit.seal(clip))


@pytest.mark.parametrize("said", ["md5 AAAA", "sha256", "sha256 ***", "", "sha256 AAA", "sha256 AAAA", "sha1 "])
def test_a_checksum_that_is_none_is_refused(unit: Visitor, clip: SealedClip, said: str) -> None:
    location = unit.begin(clip)
    answer = unit.append(location, 0, clip.sealed, **{"Upload-Checksum": said})
    assert "Upload-Checksum" in answer.refuses(400, RefusalCode.REQUEST)
    assert unit.head(location).offset == 0


@pytest.mark.parametrize("said", [None, "0.2.2", "1.0.1", ""])
def test_a_client_of_another_version_is_told_ours(unit: Visitor, clip: SealedClip, said: str | None) -> None:
    answer = unit.create(clip.clip_id, 10, **{"Tus-Resumable": said})
    answer.refuses(412, RefusalCode.TUS_VERSION)
    assert answer.headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize("said", [None, "application/octet-stream", "text/plain"])
def test_a_piece_of_another_content_type_is_refused(unit: Visitor, clip: SealedClip, said: str | None) -> None:
    location = unit.begin(clip)
    unit.append(location, 0, clip.sealed, **{"Content-Type": said}).refuses(415, RefusalCode.CONTENT_TYPE)
    assert unit.head(location).offset == 0


@pytest.mark.parametrize("said", [None, "", "-1", "1.5", "ten", "+5", "5_0", "9" * 20, "٣"])
def test_a_length_that_is_no_number_is_refused(
    dock: RunningDock, unit: Visitor, clip: SealedClip, said: str | None
) -> None:
    encoded = said if said is None or said.isascii() else said.encode().decode("latin-1")
    answer = unit.create(clip.clip_id, 0, **{"Upload-Length": encoded})
    assert "Upload-Length" in answer.refuses(400, RefusalCode.REQUEST)
    assert dock.uploads() == []


@pytest.mark.parametrize("said", [None, "", "-1", "one", "9" * 30])
def test_an_offset_that_is_no_number_is_refused(unit: Visitor, clip: SealedClip, said: str | None) -> None:
    location = unit.begin(clip)
    answer = unit.append(location, 0, clip.sealed, **{"Upload-Offset": said})
    assert "Upload-Offset" in answer.refuses(400, RefusalCode.REQUEST)


def test_a_clip_of_no_bytes_and_one_beyond_any_are_refused(dock: RunningDock, unit: Visitor, clip: SealedClip) -> None:
    unit.create(clip.clip_id, 0).refuses(400, RefusalCode.REQUEST)
    unit.create(clip.clip_id, MAX_BYTES + 1).refuses(413, RefusalCode.TOO_LONG)
    assert dock.uploads() == []


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "clip_id",
        "clip_id ***",
        "clip_id eA==",
        "filename eA==",
        "clip_id " + base64.b64encode(b"../../../etc/passwd").decode(),
        "clip_id " + base64.b64encode(b"019344A0-1111-7ABC-8DEF-0123456789AB").decode(),
        "clip_id " + base64.b64encode(b"019344a0-1111-4abc-8def-0123456789ab").decode(),
        "clip_id " + base64.b64encode(b"019344a0-1111-7abc-8def-0123456789ab\n").decode(),
        "clip_id " + base64.b64encode(b"\xff\xfe").decode(),
        "more " + "A" * 1024,
    ],
)
def test_metadata_that_name_no_clip_are_refused(dock: RunningDock, unit: Visitor, metadata: str | None) -> None:
    answer = unit.create("", 1000, **{"Upload-Metadata": metadata})
    assert "Upload-Metadata" in answer.refuses(400, RefusalCode.REQUEST)
    assert dock.uploads() == []


def test_other_metadata_are_kept_for_the_client(unit: Visitor, clip: SealedClip) -> None:
    metadata = f"filename eA==, clip_id {base64.b64encode(clip.clip_id.encode()).decode()},is_private"
    answer = unit.create(clip.clip_id, 1000, **{"Upload-Metadata": metadata})
    assert unit.head(answer.headers["location"]).headers["upload-metadata"] == metadata


def test_a_client_that_cannot_send_patch_names_it_in_a_header(unit: Visitor, clip: SealedClip) -> None:
    location = unit.begin(clip)
    answer = unit.ask(
        "POST",
        location,
        clip.sealed,
        headers={
            "X-HTTP-Method-Override": "PATCH",
            "Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream",
        },
    )
    assert (answer.status, answer.offset) == (204, len(clip.sealed))


def test_a_piece_without_a_length_is_refused(unit: Visitor, clip: SealedClip) -> None:
    location = unit.begin(clip)
    headers = {
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
        "Transfer-Encoding": "chunked",
    }
    unit.ask("PATCH", location, b"3\r\nabc\r\n0\r\n\r\n", headers=headers).refuses(411, RefusalCode.REQUEST)
    assert unit.head(location).offset == 0


def test_an_upload_that_is_ended_is_gone_with_its_bytes(dock: RunningDock, unit: Visitor, clip: SealedClip) -> None:
    location = unit.upload(clip)
    assert unit.ask("DELETE", location).status == 204
    assert unit.head(location).status == 404
    unit.append(location, 0, b"x").refuses(404, RefusalCode.UNKNOWN)
    unit.ask("DELETE", location).refuses(404, RefusalCode.UNKNOWN)
    assert dock.vault_files() == []


def test_a_new_upload_of_a_clip_takes_the_place_of_the_one_before(
    dock: RunningDock, unit: Visitor, clip: SealedClip
) -> None:
    former = unit.begin(clip)
    unit.append(former, 0, clip.sealed[:1000])
    latter = unit.upload(clip)
    assert unit.head(former).status == 404
    assert len(dock.vault_files()) == 1
    assert unit.head(latter).offset == len(clip.sealed)
    dock.receipt(unit.seal(clip))


def test_another_units_upload_is_not_to_be_seen_or_touched(dock: RunningDock, unit: Visitor, clip: SealedClip) -> None:
    location = unit.begin(clip)
    unit.append(location, 0, clip.sealed[:1000])
    _, other = dock.unit("unit-2")
    assert other.head(location).status == 404
    other.append(location, 1000, clip.sealed[1000:]).refuses(404, RefusalCode.UNKNOWN)
    other.ask("DELETE", location).refuses(404, RefusalCode.UNKNOWN)
    other.create(clip.clip_id, 1000).refuses(423, RefusalCode.BUSY)
    assert unit.head(location).offset == 1000
    unit.append(location, 1000, clip.sealed[1000:])
    dock.receipt(unit.seal(clip))


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_method_that_tus_does_not_know_is_refused(unit: Visitor, clip: SealedClip, method: str) -> None:
    location = unit.begin(clip)
    unit.ask(method, location).refuses(405, RefusalCode.REQUEST)


@pytest.mark.parametrize("path", ["/", "/unit", "/unit/v1/clips/", "/unit/v1/clips/a/b/c", "/static/x", "/%00"])
def test_a_path_that_is_none_is_refused(unit: Visitor, path: str) -> None:
    unit.ask("GET", path).refuses(404, RefusalCode.UNKNOWN)


def test_a_connection_that_is_cut_keeps_what_had_come(dock: RunningDock, camera: Camera, clip: SealedClip) -> None:
    unit = dock.visitor(camera.identity)
    location = unit.begin(clip)
    with unit.raw() as cable:
        cable.sendall(patch_head(location, len(clip.sealed)) + clip.sealed[:200_000])
    until(lambda: dock.uploads()[0].offset_bytes == 200_000)
    assert unit.head(location).offset == 200_000
    assert unit.append(location, 200_000, clip.sealed[200_000:]).status == 204
    dock.receipt(unit.seal(clip))
    assert dock.is_stored(clip)


def test_a_checked_piece_that_is_cut_is_thrown_away(dock: RunningDock, camera: Camera, clip: SealedClip) -> None:
    unit = dock.visitor(camera.identity)
    location = unit.begin(clip)
    said = checksum("sha256", clip.sealed)["Upload-Checksum"]
    with unit.raw() as cable:
        cable.sendall(patch_head(location, len(clip.sealed), f"Upload-Checksum: {said}\r\n") + clip.sealed[:200_000])
        until(lambda: dock.vault_files() != [])
    assert unit.head(location).offset == 0
    assert unit.append(location, 0, clip.sealed).status == 204
    dock.receipt(unit.seal(clip))
    assert dock.is_stored(clip)


def test_a_unit_that_comes_back_takes_the_turn_from_its_own_dead_connection(
    dock: RunningDock, camera: Camera, clip: SealedClip
) -> None:
    unit = dock.visitor(camera.identity)
    location = unit.begin(clip)
    sent = 150_000
    with unit.raw() as pulled:
        pulled.sendall(patch_head(location, len(clip.sealed)))
        pulled.sendall(clip.sealed[:sent])
        until(lambda: dock.vault_files() != [])
        offset, answer = 0, unit.append(location, 0, clip.sealed)
        while answer.status == 409:
            offset = unit.head(location).offset
            answer = unit.append(location, offset, clip.sealed[offset:])
        assert answer.status == 204
        assert 0 <= offset <= sent
        dock.receipt(unit.seal(clip))
        assert dock.is_stored(clip)


def test_the_bays_speak_tls_1_3_only(dock: RunningDock, camera: Camera) -> None:
    context = dock.context(camera.identity)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        Visitor(dock.port, context).head(UPLOADS_PATH)


def test_a_unit_that_begins_uploads_without_end_keeps_its_newest_ones_only(
    dock: RunningDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_OF_ONE_UNIT", 8)
    camera, unit = dock.unit("unit-2")
    _, other = dock.unit("unit-3")
    assert other.create(camera.clip(10).clip_id, 100).status == 201
    begun = [unit.create(camera.clip(10).clip_id, 100).headers["location"] for _ in range(10)]
    assert len(dock.uploads()) == 9
    assert [unit.head(location).status for location in begun] == [404] * 2 + [200] * 8
