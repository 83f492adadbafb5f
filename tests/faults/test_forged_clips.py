"""Files put in a stored clip's place by somebody with access to the vault: the player never shows one as the clip."""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from evidence.age import open_bytes, seal_bytes
from tests.browser.town import LOGIN, PASSPHRASE, PASSWORD, Film, Town, town
from tests.dock import SealedClip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("town")) as here:
        yield here


@pytest.fixture(scope="module")
def film(here: Town) -> Film:
    return here.film(2)


@pytest.fixture
def clip(here: Town, film: Film) -> SealedClip:
    return here.bring(film)


@pytest.fixture
def reviewer(here: Town) -> Iterator[httpx.Client]:
    trusted = ssl.create_default_context(cadata=here.running.pki.pem.decode())
    with here.pages() as address, httpx.Client(base_url=address, verify=trusted) as client:
        send(client, "/sign-in", login=LOGIN, password=PASSWORD)
        send(client, "/unlock", passphrase=PASSPHRASE)
        yield client


def send(client: httpx.Client, path: str, **fields: str) -> None:
    page = client.get("/sign-in", follow_redirects=True).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    assert client.post(path, data={"csrf_token": token[1], **fields}).status_code in {302, 303}


def play(client: httpx.Client, clip: SealedClip) -> httpx.Response:
    return client.get(f"/clips/{clip.clip_id}/media", headers={"Range": "bytes=0-99"})


def file_of(here: Town, clip: SealedClip) -> Path:
    return here.running.dock.vault.sealed_file(f"clips/{clip.clip_id}")


def refuses(answer: httpx.Response) -> None:
    assert answer.status_code == 409
    assert "another file stands in its place" in answer.text


def test_a_recording_sealed_to_the_town_by_somebody_else_is_not_played_as_the_clip(
    here: Town, clip: SealedClip, film: Film, reviewer: httpx.Client
) -> None:
    forged = seal_bytes(film.opened(here.identity), [here.identity.recipient])
    assert len(forged) == len(clip.sealed)
    file_of(here, clip).write_bytes(forged)
    refuses(play(reviewer, clip))
    assert ("clip-played", f"clip:{clip.clip_id}") not in here.running.log()


def test_another_clip_of_the_town_is_not_played_as_the_clip(
    here: Town, clip: SealedClip, reviewer: httpx.Client
) -> None:
    other = here.bring(here.film(3))
    file_of(here, clip).write_bytes(other.sealed)
    refuses(play(reviewer, clip))
    assert play(reviewer, other).status_code == 206


def test_a_file_that_is_changed_for_another_while_the_clip_is_watched_is_not_played_on(
    here: Town, clip: SealedClip, film: Film, reviewer: httpx.Client
) -> None:
    assert play(reviewer, clip).status_code == 206
    forged = file_of(here, clip).with_suffix(".new")
    forged.write_bytes(seal_bytes(film.opened(here.identity), [here.identity.recipient]))
    forged.rename(file_of(here, clip))
    send(reviewer, "/unlock", passphrase=PASSPHRASE)
    refuses(play(reviewer, clip))


def test_the_clip_that_came_is_played(here: Town, clip: SealedClip, reviewer: httpx.Client) -> None:
    assert open_bytes(clip.sealed, [here.identity]).startswith(play(reviewer, clip).content[:28])
    assert ("clip-played", f"clip:{clip.clip_id}") in here.running.log()
