"""Units to be, for IT: which ask to be enrolled, and the word that lets one in, by the code that it shows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from dock_station.catalogue import enrolments
from dock_station.enrolment.desk import CodeSharedError, CodeWrongError, Desk, UnitIdTakenError
from dock_station.pages import words
from dock_station.pages.site import Site, asking_with
from dock_station.rights import Right
from evidence.enrolment import CODE_DIGITS
from evidence.identifiers import NAME_PATTERN, NEW_UNIT

NEWEST = 20  # enrolments that are shown


@dataclass(frozen=True)
class EnrolmentForm:
    """What was typed, and for each field that cannot be taken the sentence that says why."""

    code: str = ""
    unit_id: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "EnrolmentForm":
        """Read the form; spaces in a code are how people say it."""
        code = "".join(fields.get("code", "").split())
        unit_id = fields.get("unit_id", "").strip()
        wrong = {}
        if not re.fullmatch(rf"[0-9]{{{CODE_DIGITS}}}", code):
            wrong["code"] = words.CODE_MISSING
        if not re.fullmatch(NAME_PATTERN, unit_id) or unit_id.startswith(NEW_UNIT):
            wrong["unit_id"] = words.UNIT_ID_WRONG
        return cls(code, unit_id, wrong)


def blueprint(site: Site) -> Blueprint:
    """Return the page `/enrolment`."""
    pages = Blueprint("enrolment", __name__)
    desk = Desk(site.dock)

    @pages.get("/enrolment")
    def shown() -> ResponseReturnValue:
        asking_with(Right.ENROL_UNITS)
        return _page(site, desk, EnrolmentForm(unit_id=desk.proposed_id()))

    @pages.post("/enrolment")
    def confirm() -> ResponseReturnValue:
        signed_in = asking_with(Right.ENROL_UNITS)
        form = EnrolmentForm.of(request.form)
        if form.wrong:
            return _page(site, desk, form), 400
        try:
            desk.confirm(form.code, form.unit_id, actor=signed_in.actor)
        except UnitIdTakenError as error:
            return _page(site, desk, EnrolmentForm(form.code, form.unit_id, {"unit_id": str(error)})), 409
        except (CodeWrongError, CodeSharedError) as error:
            return _page(site, desk, EnrolmentForm("", form.unit_id, {"code": str(error)})), 409
        flash(words.unit_confirmed(form.unit_id))
        return redirect(url_for("enrolment.shown"))

    return pages


def _page(site: Site, desk: Desk, form: EnrolmentForm) -> str:
    with site.dock.catalogue.reading() as connection:
        newest = enrolments.newest_confirmed(connection, NEWEST)
    return render_template(
        "enrolment.html",
        is_open=site.dock.folder.enrolment.is_open(),
        waiting=desk.waiting(),
        newest=newest,
        bay_names=site.dock.settings.bay_names,
        to_reissue=site.dock.folder.enrolment.register().to_reissue,
        form=form,
    )
