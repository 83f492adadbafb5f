"""Unlocking clips with a reviewer's passphrase, for some minutes, and locking them again."""

import math

import structlog
from flask import Blueprint, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter

from dock_station.opening.opener import OpenerNotRunningError
from dock_station.pages import words
from dock_station.pages.forms import own_path
from dock_station.pages.security import ATTEMPTS
from dock_station.pages.sessions import Session, Unlock
from dock_station.pages.site import Site, asking, asking_with
from dock_station.rights import Right
from evidence.errors import MirrorcamError

log = structlog.get_logger()


def blueprint(site: Site, limiter: Limiter) -> Blueprint:
    """Return what the buttons at `/unlock` and `/lock` do."""
    pages = Blueprint("unlocking", __name__)

    @pages.post("/unlock")
    @limiter.shared_limit(ATTEMPTS, scope="attempts")
    def unlock() -> ResponseReturnValue:
        signed_in = asking_with(Right.OPEN_CLIPS)
        try:
            unlocked = site.opener.unlock(signed_in.person.login, request.form.get("passphrase", ""))
        except MirrorcamError as error:
            site.note(signed_in.actor, "unlock-refused", signed_in.actor, error=type(error).__name__)
            flash(str(error), "unlock")
            return _back()
        site.note(signed_in.actor, "unlocked", signed_in.actor, seconds=round(unlocked.seconds_left))
        forget_key(site, signed_in.session)
        signed_in.session.unlock = Unlock(unlocked.token)
        return _back()

    @pages.post("/lock")
    def lock() -> ResponseReturnValue:
        signed_in = asking()
        if signed_in.session.unlock:
            forget_key(site, signed_in.session)
            site.note(signed_in.actor, "locked", signed_in.actor)
        flash(words.LOCKED_AGAIN, "good")
        return _back()

    return pages


def forget_key(site: Site, session: Session) -> None:
    """Lock whatever this session has unlocked."""
    unlock, session.unlock = session.unlock, None
    if unlock:
        try:
            site.playables.lock(unlock.token)
        except OpenerNotRunningError:
            log.warning("opener_not_running")  # what it held went with it


def minutes_left(site: Site, session: Session) -> int:
    """Return for how many minutes more clips play, rounded up; 0 where they are locked."""
    if session.unlock is None:
        return 0
    try:
        return math.ceil(site.opener.seconds_left(session.unlock.token) / 60)
    except OpenerNotRunningError:
        return 0


def _back() -> ResponseReturnValue:
    return redirect(own_path(request.form.get("next")) or url_for("clips.listed"), 303)
