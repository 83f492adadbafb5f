"""The pages of a dock, for people: sign-in, bays, clips with a player, units, enrolment, custody log, health."""

import time
from collections.abc import Callable
from pathlib import Path

from flask import Flask, url_for
from flask_login import LoginManager, current_user

from dock_station.dock import Dock
from dock_station.opening.opener import Opener
from dock_station.pages import (
    bays,
    clip_page,
    clips,
    custody_log,
    door,
    enrolment,
    errors,
    health,
    playing,
    security,
    speaking,
    units,
    unlocking,
    words,
)
from dock_station.pages.sessions import Sessions
from dock_station.pages.site import SignedIn, Site
from dock_station.pages.unlocking import forget_key
from dock_station.people import People
from dock_station.playback.playable import Playables
from dock_station.rights import Right

EVERYONE = tuple(Right)  # each role has one of them
MENU = (
    ("clips.listed", words.MENU_CLIPS, (Right.SEE_CLIPS, Right.SEE_OWN_CLIPS)),
    ("bays.shown", words.MENU_BAYS, EVERYONE),
    ("custody.log", words.MENU_CUSTODY, (Right.SEE_CUSTODY,)),
    ("units.listed", words.MENU_UNITS, (Right.SEE_UNITS,)),
    ("enrolment.shown", words.MENU_ENROLMENT, (Right.ENROL_UNITS,)),
    ("health.shown", words.MENU_HEALTH, (Right.SEE_HEALTH,)),
)


def create_app(dock: Dock, opener: Opener, *, monotonic: Callable[[], float] = time.monotonic) -> Flask:
    """Return the WSGI application of the pages listener.

    Who is signed in is known to this application alone, so one process serves all pages of a dock; after its restart
    everyone signs in anew.
    """
    here = Path(__file__).parent
    app = Flask("mirrorcam-pages", root_path=str(here), static_url_path="/static")
    sessions = Sessions(idle_seconds=60.0 * dock.settings.session_minutes, monotonic=monotonic)
    site = Site(dock=dock, opener=opener, playables=Playables(opener), people=People(dock), sessions=sessions)
    limiter = security.protect(app, dock.folder.session_key_file)
    _know_people(app, site)
    speaking.teach(app)
    _show_around(app, site)
    errors.tell(app)
    for pages in (
        door.blueprint(site, limiter),
        clips.blueprint(site),
        clip_page.blueprint(site),
        playing.blueprint(site),
        unlocking.blueprint(site, limiter),
        custody_log.blueprint(site),
        bays.blueprint(site, monotonic),
        units.blueprint(site),
        enrolment.blueprint(site),
        health.blueprint(site),
    ):
        app.register_blueprint(pages)
    return app


def _know_people(app: Flask, site: Site) -> None:
    manager = LoginManager(app)
    manager.login_view = "door.sign_in_form"
    manager.login_message = words.SIGN_IN_FIRST
    manager.session_protection = "strong"  # a cookie that moves to another computer or browser is worth nothing

    def load(name: str) -> SignedIn | None:
        session = site.sessions.find(name)
        if session is None:
            return None
        person = site.people.find(session.person_id)
        if person is None or person.password_changed_at != session.password_changed_at:
            site.sessions.end(session)
            forget_key(site, session)
            return None
        return SignedIn(session, person)

    manager.user_loader(load)


def _show_around(app: Flask, site: Site) -> None:
    @app.context_processor
    def surroundings() -> dict[str, object]:
        return {"dock_id": site.dock.settings.dock_id, "menu": _menu}


def _menu() -> list[tuple[str, str]]:
    return [(url_for(page), name) for page, name, rights in MENU if any(current_user.may(right) for right in rights)]
