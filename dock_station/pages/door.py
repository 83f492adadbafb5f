"""Signing in and out."""

from datetime import timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from flask_login import current_user, login_user, logout_user

from dock_station.catalogue import entries, people
from dock_station.pages import words
from dock_station.pages.forms import line, own_path
from dock_station.pages.security import ATTEMPTS
from dock_station.pages.site import SignedIn, Site, asking
from dock_station.pages.unlocking import forget_key
from dock_station.people import LockedOutError, SignInError
from dock_station.rights import Right

LONGEST_LOGIN = 64  # catalogue.tables.people
# Entries a day about failed sign-ins to one account. Beyond it the journal alone has them: who guesses from many
# addresses is held up by the lock, not by the log, which keeps each entry for ever.
MOST_FAILURES_A_DAY = 100

FAILED = "sign-in-failed"

# Where each person begins: the first of these pages that their role lets them see.
HOMES = (
    (Right.SEE_CLIPS, "clips.listed"),
    (Right.SEE_OWN_CLIPS, "clips.listed"),
    (Right.SEE_CUSTODY, "custody.log"),
    (Right.SEE_UNITS, "units.listed"),
    (Right.SEE_HEALTH, "health.shown"),
)


def blueprint(site: Site, limiter: Limiter) -> Blueprint:
    """Return the pages `/`, `/sign-in` and `/sign-out`."""
    door = Blueprint("door", __name__)

    @door.get("/")
    def home() -> ResponseReturnValue:
        return _to_home(asking())

    @door.get("/sign-in")
    def sign_in_form() -> ResponseReturnValue:
        if current_user.is_authenticated:
            return _to_home(asking())
        return render_template("sign_in.html", next=own_path(request.args.get("next")))

    @door.post("/sign-in")
    @limiter.shared_limit(ATTEMPTS, scope="attempts")
    def sign_in() -> ResponseReturnValue:
        login = line(request.form.get("login", ""), LONGEST_LOGIN) or ""
        password = request.form.get("password", "")
        wanted = own_path(request.form.get("next"))
        address = request.remote_addr or "unknown"
        try:
            person = site.people.sign_in(login, password, address)
        except (SignInError, LockedOutError) as error:
            _note_failure(site, login, address, type(error).__name__)
            status = 429 if isinstance(error, LockedOutError) else 401
            return render_template("sign_in.html", next=wanted, login=login, refusal=str(error)), status
        session.clear()  # nothing of the session before goes on in the new one
        signed_in = SignedIn(site.sessions.begin(person.person_id, person.password_changed_at), person)
        site.note(signed_in.actor, "signed-in", signed_in.actor, address=address)  # what cannot be noted is not done
        login_user(signed_in)
        return redirect(wanted) if wanted else _to_home(signed_in)

    @door.post("/sign-out")
    def sign_out() -> ResponseReturnValue:
        if current_user.is_authenticated:
            _end(site, asking())
        logout_user()
        session.clear()
        flash(words.SIGNED_OUT)
        return redirect(url_for("door.sign_in_form"))

    return door


def _end(site: Site, signed_in: SignedIn) -> None:
    forget_key(site, signed_in.session)
    site.sessions.end(signed_in.session)
    site.note(signed_in.actor, "signed-out", signed_in.actor)


def _note_failure(site: Site, login: str, address: str, error: str) -> None:
    """Write a failed sign-in down; of a login that is nobody's, nothing: it may be a password in the wrong field."""
    now = site.dock.clock()
    with site.dock.catalogue.reading() as connection:
        known = people.find_by_login(connection, login)
        subject = f"person:{known.login}" if known else f"dock:{site.dock.settings.dock_id}"
        told = entries.count_between(connection, subject, {FAILED}, now - timedelta(days=1), now)
    if told < MOST_FAILURES_A_DAY:
        site.note("dock", FAILED, subject, address=address, error=error)


def _to_home(signed_in: SignedIn) -> ResponseReturnValue:
    home = next((page for right, page in HOMES if signed_in.may(right)), None)
    if home is None:
        abort(403, words.WRONG_RIGHT)
    return redirect(url_for(home))
