"""Who may come to the bays: a unit of this authority, in its time, not revoked; others fail before a word is heard."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dock_station.clock import utc_now
from evidence.docking import GREETING_PATH, UPLOADS_PATH, RefusalCode
from tests.dock import RunningDock, running, running_dock, set_up, until
from tests.pki import Identity, Pki


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[RunningDock]:
    with running_dock(tmp_path) as dock:
        yield dock


def check_tls_refuses(dock: RunningDock, identity: Identity | None) -> str:
    """Check that TLS alone refuses a client, and return the dock's reason."""
    with capture_logs() as logged:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            dock.visitor(identity).head(f"{UPLOADS_PATH}/x")
        until(lambda: any(entry["event"] == "tls_refused" for entry in logged))
    assert not [entry for entry in logged if entry["event"].startswith("request")]
    return next(str(entry["reason"]) for entry in logged if entry["event"] == "tls_refused")


def test_a_client_without_a_certificate_is_refused_by_tls(dock: RunningDock) -> None:
    with capture_logs() as logged:
        with pytest.raises((ssl.SSLError, ConnectionError), match="certificate required"):
            dock.visitor(None).head(f"{UPLOADS_PATH}/x")
        until(lambda: any(entry["event"] == "tls_failed" for entry in logged))
    assert not [entry for entry in logged if entry["event"].startswith("request")]


def test_a_revoked_unit_is_refused_by_tls(dock: RunningDock) -> None:
    identity = dock.pki.unit("unit-1")
    dock.revoke(identity)
    assert "revoked" in check_tls_refuses(dock, identity)


def test_an_expired_unit_is_refused_by_tls(dock: RunningDock) -> None:
    now = datetime.now(UTC)
    identity = dock.pki.unit("unit-1", valid_from=now - timedelta(days=9), valid_until=now - timedelta(days=1))
    assert "expired" in check_tls_refuses(dock, identity)


def test_a_unit_whose_time_has_not_come_is_refused_by_tls(dock: RunningDock) -> None:
    now = datetime.now(UTC)
    identity = dock.pki.unit("unit-1", valid_from=now + timedelta(days=1), valid_until=now + timedelta(days=9))
    assert "not yet valid" in check_tls_refuses(dock, identity)


def test_a_unit_of_another_authority_is_refused_by_tls_even_if_that_has_the_same_name(dock: RunningDock) -> None:
    stranger = Pki(name=dock.pki.name).unit("unit-1")
    assert check_tls_refuses(dock, stranger)


def test_the_docks_own_certificate_opens_no_bay(dock: RunningDock) -> None:
    check_tls_refuses(dock, dock.pki.dock("dock-2"))


def test_a_certificate_of_another_role_is_refused_with_a_sentence(dock: RunningDock) -> None:
    answer = dock.visitor(dock.pki.policy_signer()).create("x", 10)
    assert "policy-signer, not unit" in answer.refuses(403, RefusalCode.CERTIFICATE)


def test_a_unit_that_is_revoked_while_it_is_connected_is_refused_at_its_next_request(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    clip = camera.clip()
    location = unit.begin(clip)
    dock.revoke(camera.identity)
    assert "revoked" in unit.append(location, 0, clip.sealed).refuses(403, RefusalCode.CERTIFICATE)
    unit.hang_up()
    assert "revoked" in check_tls_refuses(dock, camera.identity)
    assert dock.vault_files() == []


def test_other_units_go_on_when_one_is_revoked(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    dock.revoke(dock.pki.unit("unit-2"))
    clip = camera.clip()
    dock.receipt(unit.bring(clip))
    assert dock.is_stored(clip)


def test_a_certificate_that_expires_by_the_docks_clock_is_refused(tmp_path: Path) -> None:
    pki = Pki()
    ahead = timedelta(0)
    with running(set_up(tmp_path / "dock", pki), pki, clock=lambda: utc_now() + ahead) as dock:
        camera, unit = dock.unit()
        clip = camera.clip()
        location = unit.begin(clip)
        ahead = timedelta(days=400)
        assert "expired" in unit.append(location, 0, clip.sealed).refuses(403, RefusalCode.CERTIFICATE)


def test_a_revocation_list_that_cannot_be_used_leaves_the_last_good_one_in_force(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    revoked = dock.pki.unit("unit-2")
    dock.revoke(revoked)
    check_tls_refuses(dock, revoked)
    dock.dock.folder.revocations_file.write_text("broken")
    check_tls_refuses(dock, revoked)
    answer = unit.create(camera.clip().clip_id, 10)
    answer.refuses(503, RefusalCode.DOCK)


def test_an_error_of_the_docks_own_says_nothing_of_its_insides(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    dock.dock.folder.vault.joinpath("incoming").rmdir()
    location = unit.begin(camera.clip())
    sentence = unit.append(location, 0, b"x").refuses(503, RefusalCode.DOCK)
    assert str(dock.dock.folder.path) not in sentence


def test_a_catalogue_that_fails_says_nothing_of_its_insides(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    with dock.dock.catalogue.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE uploads RENAME TO elsewhere")
    sentence = unit.create(camera.clip().clip_id, 10).refuses(503, RefusalCode.DOCK)
    assert "uploads" not in sentence
    assert "sql" not in sentence.lower()


def test_a_broken_policy_refuses_before_anything_is_stored(dock: RunningDock) -> None:
    camera, unit = dock.unit()
    clip = camera.clip()
    unit.upload(clip)
    policy = dock.dock.folder.policy_file
    good = policy.read_bytes()
    policy.write_bytes(good + b"# changed\n")
    answer = unit.seal(clip)
    assert answer.status == 503
    assert "policy" in answer.refuses(503, RefusalCode.DOCK)
    assert dock.stored(clip.clip_id) is None
    assert not dock.alarms()
    policy.write_bytes(good)
    dock.receipt(unit.seal(clip))


def test_what_the_bays_do_not_know_is_refused_in_their_own_form(dock: RunningDock) -> None:
    _, unit = dock.unit()
    unit.ask("GET", "/favicon.ico").refuses(404, RefusalCode.UNKNOWN)
    unit.ask("GET", GREETING_PATH).refuses(405, RefusalCode.REQUEST)
    unit.ask("BREW", GREETING_PATH).refuses(405, RefusalCode.REQUEST)


def test_eight_units_bring_clips_at_the_same_time(dock: RunningDock) -> None:
    pairs = [dock.unit(f"unit-{number}") for number in range(8)]
    clips = [camera.clip(3 << 20) for camera, _ in pairs]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pair: pair[0][1].bring(pair[1]), zip(pairs, clips, strict=True)))
    for answer, clip in zip(answers, clips, strict=True):
        dock.receipt(answer)
        assert dock.is_stored(clip)
