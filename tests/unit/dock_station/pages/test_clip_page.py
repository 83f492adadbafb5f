"""The page of one clip: its facts, its checks, its holds, and that looking at it leaves a trace."""

from datetime import timedelta
from pathlib import Path

import pytest

from dock_station.catalogue.clips import Clip
from dock_station.pages import words
from dock_station.rights import Role
from dock_station.vault import MANIFEST, SEALED, SIGNATURE
from tests.unit.dock_station.pages.test_clips import change
from tests.unit.dock_station.pages.visitor import Browser, Pages, text_of


@pytest.fixture
def browser(pages: Pages) -> Browser:
    return pages.signed_in(Role.SUPERVISOR)


@pytest.fixture
def clip(pages: Pages) -> Clip:
    pages.stored.store(age=timedelta(hours=1))
    return pages.stored.store()


def file_of(pages: Pages, clip: Clip, suffix: str) -> Path:
    return pages.stored.folder.vault / f"{clip.vault_key}{suffix}"


def flip(file: Path, at: int = -1) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def hold_form(pages: Pages, **changes: str) -> dict[str, str]:
    review_on = f"{pages.stored.time.now() + timedelta(days=30):%Y-%m-%d}"
    return {"case_number": "TEST-2026/1", "reason": "An invented case.", "review_on": review_on, **changes}


def test_the_page_says_what_the_manifest_says_in_plain_words(browser: Browser, clip: Clip) -> None:
    page = text_of(browser.get(f"/clips/{clip.clip_id}"))
    for fact in (
        "The wearer stopped it.",
        "30.0 seconds are in the clip",
        "1200 written, none lost",
        "at most 0.5 seconds off",
        "clip 2 of unit unit-1",
        "Unit unit-1 signed the manifest, and it is unchanged.",
        "follows clip 1",
        clip.ciphertext_sha256,
    ):
        assert fact in page
    assert "not as it should be" not in page


def test_every_look_at_the_page_is_in_the_custody_log_and_on_the_page(
    pages: Pages, browser: Browser, clip: Clip
) -> None:
    browser.get(f"/clips/{clip.clip_id}")
    page = text_of(browser.get(f"/clips/{clip.clip_id}"))
    assert pages.deeds()[-2:] == [("person:supervisor", "clip-viewed", f"clip:{clip.clip_id}")] * 2
    assert page.count("Page opened") == 2


def test_a_clip_that_never_came_is_not_found_and_leaves_no_trace(pages: Pages, browser: Browser) -> None:
    before = pages.deeds()
    answer = browser.get("/clips/01900000-0000-7000-8000-000000000000")
    assert answer.status_code == 404
    assert words.NO_SUCH_CLIP in text_of(answer)
    assert pages.deeds() == before


@pytest.mark.parametrize(
    ("suffix", "sentence"),
    [
        (MANIFEST, "does not fit it"),
        (SIGNATURE, "The signature of this manifest does not fit it"),
    ],
)
def test_a_changed_manifest_or_signature_is_named(
    pages: Pages, browser: Browser, clip: Clip, suffix: str, sentence: str
) -> None:
    file = file_of(pages, clip, suffix)
    if suffix == MANIFEST:
        file.write_bytes(file.read_bytes().replace(b"wearer-7", b"wearer-9"))
    else:
        flip(file)
    page = text_of(browser.get(f"/clips/{clip.clip_id}"))
    assert "This clip is not as it should be" in page
    assert sentence in page


@pytest.mark.parametrize("suffix", [MANIFEST, SIGNATURE, SEALED])
def test_a_missing_file_is_named_and_the_page_is_shown(pages: Pages, browser: Browser, clip: Clip, suffix: str) -> None:
    file_of(pages, clip, suffix).unlink()
    answer = browser.get(f"/clips/{clip.clip_id}")
    assert answer.status_code == 200
    assert "This clip is not as it should be" in text_of(answer)
    assert "cannot be read" in text_of(answer)


def test_a_sealed_file_that_lost_bytes_is_named_at_once(pages: Pages, browser: Browser, clip: Clip) -> None:
    file = file_of(pages, clip, SEALED)
    file.write_bytes(file.read_bytes()[:-1])
    assert "it has 4095 bytes, not 4096" in text_of(browser.get(f"/clips/{clip.clip_id}"))


def test_the_whole_file_is_checked_on_demand_and_the_result_is_logged(
    pages: Pages, browser: Browser, clip: Clip
) -> None:
    address = f"/clips/{clip.clip_id}"
    assert browser.post(f"{address}/check").location == address
    assert words.file_is_right(clip.ciphertext_sha256) in text_of(browser.get(address))
    flip(file_of(pages, clip, SEALED), 100)
    browser.post(f"{address}/check")
    assert "This clip is damaged" in text_of(browser.get(address))
    checked = [entry.details for entry in pages.log() if entry.action == "clip-checked"]
    assert checked == ['{"good":true}', '{"good":false}']


def test_a_cut_clip_says_that_its_end_is_missing(pages: Pages, browser: Browser, clip: Clip) -> None:
    change(pages, clip, complete=False, ended_by="power-lost", ended_at=None, duration_seconds=None)
    assert "The end of this clip is missing: The unit lost power" in text_of(browser.get(f"/clips/{clip.clip_id}"))


def test_a_deleted_clip_shows_its_record_and_offers_nothing(pages: Pages, browser: Browser, clip: Clip) -> None:
    change(pages, clip, deleted_at=pages.stored.time.now())
    answer = browser.get(f"/clips/{clip.clip_id}")
    assert "only this record is left" in text_of(answer)
    assert "passphrase" not in answer.text
    assert "/hold" not in answer.text
    media = browser.get(f"/clips/{clip.clip_id}/media")
    assert (media.status_code, media.text) == (410, f"{words.GONE}\n")
    browser.post(f"/clips/{clip.clip_id}/hold", **hold_form(pages))
    assert "cannot be held any more" in text_of(browser.get(f"/clips/{clip.clip_id}"))


def test_a_hold_is_shown_with_its_case_and_kept_out_of_the_log_is_its_reason(
    pages: Pages, browser: Browser, clip: Clip
) -> None:
    answer = browser.post(f"/clips/{clip.clip_id}/hold", **hold_form(pages, reason="An\ninvented  case."))
    assert (answer.status_code, answer.location) == (302, f"/clips/{clip.clip_id}")
    page = text_of(browser.get(f"/clips/{clip.clip_id}"))
    assert words.HOLD_SET in page
    assert "Case TEST-2026/1 An invented case. Held by supervisor" in page
    (entry,) = [entry for entry in pages.log() if entry.action == "hold-set"]
    assert "TEST-2026/1" in entry.details
    assert "invented" not in entry.details


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("case_number", " ", words.CASE_NUMBER_MISSING),
        ("case_number", "9" * 65, words.CASE_NUMBER_MISSING),
        ("reason", "", words.REASON_MISSING),
        ("reason", "\u202eturned round", words.REASON_MISSING),
        ("review_on", "", words.REVIEW_DATE_WRONG),
        ("review_on", "2020-01-01", words.REVIEW_DATE_WRONG),
        ("review_on", "2199-01-01", words.REVIEW_DATE_WRONG),
        ("review_on", "tomorrow", words.REVIEW_DATE_WRONG),
    ],
)
def test_a_hold_that_lacks_something_is_refused_beside_its_field_and_nothing_typed_is_lost(
    pages: Pages, browser: Browser, clip: Clip, field: str, value: str, sentence: str
) -> None:
    answer = browser.post(f"/clips/{clip.clip_id}/hold", **hold_form(pages, **{field: value}))
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert f'aria-describedby="wrong-{field}"' in answer.text
    kept = {"case_number": "TEST-2026/1", "reason": "An invented case."} | {field: ""}
    assert all(text in answer.text for text in kept.values())
    assert not [entry for entry in pages.log() if entry.action == "hold-set"]


def test_what_people_type_never_becomes_part_of_the_page(pages: Pages, browser: Browser, clip: Clip) -> None:
    browser.post(f"/clips/{clip.clip_id}/hold", **hold_form(pages, reason="<script>alert(1)</script>"))
    assert "<script>alert" not in browser.get(f"/clips/{clip.clip_id}").text
    assert "<script>alert" not in browser.get("/clips?wearer=<script>alert(1)</script>").text


def test_without_an_opener_the_clip_stays_locked_and_the_page_says_who_can_help(
    pages: Pages, browser: Browser, clip: Clip
) -> None:
    answer = browser.post("/unlock", passphrase="whatever it is", next=f"/clips/{clip.clip_id}")
    assert answer.location == f"/clips/{clip.clip_id}"
    assert "is not running; it is being started again" in text_of(browser.get(answer.location))
    assert pages.deeds()[-2] == ("person:supervisor", "unlock-refused", "person:supervisor")
    media = browser.get(f"/clips/{clip.clip_id}/media")
    assert (media.status_code, media.text) == (403, f"{words.LOCKED}\n")
