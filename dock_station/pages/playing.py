"""What the player reads: a clip's bytes, opened range by range while it is unlocked."""

from flask import Blueprint, Response, request
from flask_login import current_user

from dock_station import custody
from dock_station.catalogue.clips import Clip
from dock_station.opening.unlocks import LockedError
from dock_station.pages import words
from dock_station.pages.site import SignedIn, Site, asked_clip, asking_with
from dock_station.playback.playable import Part, Playable, RangeError, part_of
from dock_station.rights import Right
from evidence.certificates import Authority
from evidence.errors import KeyDoesNotFitError, MirrorcamError, NotGenuineError

# A sixteenth of a second at 8 Mbit/s. Players ask again on the same connection, and one on a busy computer asks for a
# few pieces more before it sees that it has enough.
OPEN_ENDED_BODY = 64 << 10


class OtherFileError(NotGenuineError):
    """The file in a clip's place is not the one that came in."""

    def __init__(self, clip_id: str) -> None:
        super().__init__(
            f"This is not clip {clip_id} as it came in: another file stands in its place; "
            "keep the vault as it is and call the auditor."
        )


def blueprint(site: Site) -> Blueprint:
    """Return the address `/clips/<id>/media`; what it refuses, it refuses in plain text, for it is no page."""
    pages = Blueprint("playing", __name__)

    @pages.get("/clips/<clip_id>/media")
    def media(clip_id: str) -> Response:
        if not current_user.is_authenticated:
            return _refusal(401, words.SIGN_IN_FIRST)
        signed_in = asking_with(Right.OPEN_CLIPS)
        with site.dock.catalogue.reading() as connection:
            clip = asked_clip(connection, signed_in, clip_id)
        if clip.deleted_at is not None:
            return _refusal(410, words.GONE)
        try:
            return _bytes(_opened(site, signed_in, clip))
        except LockedError:
            signed_in.session.unlock = None
            return _refusal(403, words.LOCKED)
        except RangeError as error:
            return _refusal(416, str(error), {"Content-Range": f"bytes */{error.size}"})
        except MirrorcamError as error:
            return _refusal(_status(error), str(error))

    return pages


def _opened(site: Site, signed_in: SignedIn, clip: Clip) -> Playable:
    """Return the clip, once it stands in the custody log that this person plays it under this unlock.

    What is in the clip's place must begin as the clip did when it came: anyone can seal another film to the town.
    """
    unlock = signed_in.session.unlock
    if unlock is None:
        raise LockedError
    playable = site.playables.open(unlock.token, clip.clip_id, site.dock.vault.sealed_file(clip.vault_key))
    with unlock.lock:
        if unlock.played.get(clip.clip_id) != playable.beginning_sha256:
            _require_same(site, clip, playable)
            site.note(signed_in.actor, "clip-played", f"clip:{clip.clip_id}", whole=playable.complete)
            unlock.played[clip.clip_id] = playable.beginning_sha256
    return playable


def _require_same(site: Site, clip: Clip, playable: Playable) -> None:
    # Without the list of revoked certificates: what a signer signed before it was revoked stays signed.
    authority = Authority(site.dock.authority().certificate)
    with site.dock.catalogue.reading() as connection:
        came = custody.said_when_accepted(connection, clip.clip_id, authority, site.dock.settings.dock_id)
    if came.get("beginning_sha256") != playable.beginning_sha256:
        raise OtherFileError(clip.clip_id)


def _bytes(playable: Playable) -> Response:
    part = _not_too_much(part_of(request.headers.get("Range"), playable.size))
    if part is None:
        headers = {"Content-Length": str(playable.size), "Accept-Ranges": "bytes"}
        return Response(playable.pieces(Part(0, playable.size)), 200, headers, "video/mp4")
    content = playable.read(part.start, part.end - part.start)
    headers = {"Content-Range": part.content_range(playable.size), "Accept-Ranges": "bytes"}
    return Response(content, 206, headers, "video/mp4")


def _not_too_much(part: Part | None) -> Part | None:
    """Answer "from here on" with a small piece: a player that opens a clip wants its beginning and no more."""
    if part is None or not (request.headers.get("Range") or "").endswith("-"):
        return part
    return Part(part.start, min(part.end, part.start + OPEN_ENDED_BODY))


def _status(error: MirrorcamError) -> int:
    if isinstance(error, KeyDoesNotFitError):
        return 403
    return 409 if isinstance(error, NotGenuineError) else 503


def _refusal(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return Response(f"{sentence}\n", status, headers, content_type="text/plain; charset=utf-8")
