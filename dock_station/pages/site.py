"""What every page works with, who is asking for it, and whether they may."""

from dataclasses import dataclass
from typing import cast

from flask import abort, current_app
from flask_login import LoginManager, current_user
from sqlalchemy import Connection

from dock_station.catalogue import clips
from dock_station.catalogue.clips import Clip
from dock_station.catalogue.people import Person
from dock_station.dock import Dock
from dock_station.opening.opener import Opener
from dock_station.pages import words
from dock_station.pages.forms import line
from dock_station.pages.sessions import Session, Sessions
from dock_station.people import People
from dock_station.playback.playable import Playables
from dock_station.rights import Right, may
from evidence.identifiers import CLIP_ID_LENGTH


@dataclass(frozen=True)
class Site:
    """One dock's pages: the dock, its opener, the clips that are open, its people, and who of them is signed in."""

    dock: Dock
    opener: Opener
    playables: Playables
    people: People
    sessions: Sessions

    def note(self, actor: str, action: str, subject: str, **details: str | int | bool | None) -> None:
        """Write what was done into the custody log."""
        with self.dock.catalogue.writing() as connection:
            self.dock.custody.append(connection, actor=actor, action=action, subject=subject, details=details)


class SignedIn:
    """A person at the pages, as Flask-Login wants a user to be."""

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def __init__(self, session: Session, person: Person) -> None:
        self.session = session
        self.person = person

    @property
    def actor(self) -> str:
        """How the custody log names this person."""
        return f"person:{self.person.login}"

    @property
    def pseudonym(self) -> str:
        """The pseudonym under which this person's units record."""
        return self.person.wearer or self.person.login

    def get_id(self) -> str:
        """Return the session's random name: all that the cookie holds."""
        return self.session.name

    def may(self, right: Right) -> bool:
        """Say whether this person has a right."""
        return may(self.person.role, right)

    def may_see_clips(self) -> bool:
        """Say whether this person sees any clip at all."""
        return self.may(Right.SEE_CLIPS) or self.may(Right.SEE_OWN_CLIPS)

    def may_see(self, clip: Clip) -> bool:
        """Say whether this person sees this clip."""
        return self.may(Right.SEE_CLIPS) or (self.may(Right.SEE_OWN_CLIPS) and clip.wearer == self.pseudonym)


def asking() -> SignedIn:
    """Return who is asking; whoever is not signed in is led to the sign-in page."""
    if not current_user.is_authenticated:
        abort(cast(LoginManager, current_app.login_manager).unauthorized())  # type: ignore[attr-defined]
    return cast(SignedIn, current_user._get_current_object())


def asking_with(right: Right) -> SignedIn:
    """Return who is asking, who must have this right."""
    signed_in = asking()
    if not signed_in.may(right):
        abort(403, words.WRONG_RIGHT)
    return signed_in


def asking_for_clips() -> SignedIn:
    """Return who is asking, who must see clips, all or their own."""
    signed_in = asking()
    if not signed_in.may_see_clips():
        abort(403, words.WRONG_RIGHT)
    return signed_in


def asked_clip(connection: Connection, signed_in: SignedIn, clip_id: str) -> Clip:
    """Return the clip that is asked for, if this person may see it."""
    # No database need see what cannot be a name: PostgreSQL refuses some characters with an error of its own.
    clip = clips.find(connection, clip_id) if line(clip_id, CLIP_ID_LENGTH) else None
    if clip is None:
        abort(404, words.NO_SUCH_CLIP)
    if not signed_in.may_see(clip):
        abort(403, words.NOT_OWN_CLIP)
    return clip
