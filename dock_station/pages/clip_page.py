"""The page of one clip: what its manifest says, whether it is unchanged, its holds and its part of the custody log."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from dock_station.audit import content_disagrees
from dock_station.catalogue import deletions, entries, holds
from dock_station.decisions import LONGEST_CASE_NUMBER, ClipGoneError, hold
from dock_station.pages import checks, words
from dock_station.pages.hold import LONGEST_REASON, HoldForm
from dock_station.pages.site import SignedIn, Site, asked_clip, asking_for_clips, asking_with
from dock_station.pages.unlocking import minutes_left
from dock_station.rights import Right


def blueprint(site: Site) -> Blueprint:
    """Return the page `/clips/<id>` and what its buttons do."""
    pages = Blueprint("clip", __name__, url_prefix="/clips/<clip_id>")

    @pages.get("")
    def shown(clip_id: str) -> ResponseReturnValue:
        signed_in = _asking_for(site, clip_id)
        site.note(signed_in.actor, "clip-viewed", f"clip:{clip_id}")
        return _page(site, signed_in, clip_id, HoldForm())

    @pages.post("/check")
    def check(clip_id: str) -> ResponseReturnValue:
        signed_in = _asking_for(site, clip_id)
        with site.dock.catalogue.reading() as connection:
            clip = asked_clip(connection, signed_in, clip_id)
        if clip.deleted_at is None:
            wrong = content_disagrees(site.dock.vault, clip)
            site.note(signed_in.actor, "clip-checked", f"clip:{clip_id}", good=wrong is None)
            flash(
                words.file_differs(wrong) if wrong else words.file_is_right(clip.ciphertext_sha256),
                "bad" if wrong else "good",
            )
        return redirect(url_for("clip.shown", clip_id=clip_id))

    @pages.post("/hold")
    def hold_it(clip_id: str) -> ResponseReturnValue:
        signed_in = asking_with(Right.HOLD)
        with site.dock.catalogue.reading() as connection:
            asked_clip(connection, signed_in, clip_id)
        form, wish = HoldForm.of(request.form, site.dock.clock().astimezone().date())
        if wish is None:
            return _page(site, signed_in, clip_id, form), 422
        try:
            hold(
                site.dock,
                clip_id,
                actor=signed_in.actor,
                case_number=wish.case_number,
                reason=wish.reason,
                review_on=wish.review_on,
            )
            flash(words.HOLD_SET, "good")
        except ClipGoneError as error:
            flash(str(error), "bad")
        return redirect(url_for("clip.shown", clip_id=clip_id))

    return pages


def _asking_for(site: Site, clip_id: str) -> SignedIn:
    signed_in = asking_for_clips()
    with site.dock.catalogue.reading() as connection:
        asked_clip(connection, signed_in, clip_id)
    return signed_in


def _page(site: Site, signed_in: SignedIn, clip_id: str, hold_form: HoldForm) -> str:
    with site.dock.catalogue.reading() as connection:
        clip = asked_clip(connection, signed_in, clip_id)
        facts = {
            "clip": clip,
            "findings": None if clip.deleted_at else checks.look_at(site.dock, connection, clip),
            "holds": holds.of_clip(connection, clip_id),
            "deletion": deletions.find(connection, clip_id),
            "extract": entries.of_subject(connection, f"clip:{clip_id}"),
        }
    return render_template(
        "clip.html",
        **facts,
        hold_form=hold_form,
        longest_case_number=LONGEST_CASE_NUMBER,
        longest_reason=LONGEST_REASON,
        minutes_left=minutes_left(site, signed_in.session),
        start_at=_start_at(request.args.get("at")),
        may_open=signed_in.may(Right.OPEN_CLIPS),
        may_hold=signed_in.may(Right.HOLD),
        may_see_custody=signed_in.may(Right.SEE_CUSTODY),
    )


def _start_at(text: str | None) -> int | None:
    """Return the second at which the player begins, for links to a marker."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 6 else None
