"""The whole custody log, a page at a time, and a button that checks it from its first entry to its last."""

import math

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from dock_station import custody, kept_head
from dock_station.catalogue import entries
from dock_station.pages import words
from dock_station.pages.forms import page_number
from dock_station.pages.site import Site, asking_with
from dock_station.rights import Right
from evidence.certificates import Authority

PAGE_SIZE = 100


def blueprint(site: Site) -> Blueprint:
    """Return the pages `/custody` and `/custody/check`."""
    pages = Blueprint("custody", __name__)

    @pages.get("/custody")
    def log() -> ResponseReturnValue:
        asking_with(Right.SEE_CUSTODY)
        with site.dock.catalogue.reading() as connection:
            total = entries.count(connection)
            last = max(1, math.ceil(total / PAGE_SIZE))
            page = min(page_number(request.args.get("page")), last)
            found = entries.latest(connection, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
        return render_template("custody.html", entries=found, total=total, page=page, last=last, page_query=_query)

    @pages.post("/custody/check")
    def check() -> ResponseReturnValue:
        signed_in = asking_with(Right.SEE_CUSTODY)
        # Without the list of revoked certificates: what a signer signed before it was revoked stays signed.
        authority = Authority(site.dock.authority().certificate)
        try:
            with site.dock.catalogue.reading() as connection:
                head = custody.check(connection, authority, site.dock.settings.dock_id)
                kept_head.require(site.dock.folder.custody_head_file, connection)
            flash(words.custody_is_whole(head.entries, head.sha256) if head else words.CUSTODY_EMPTY, "good")
        except custody.CustodyBrokenError as error:
            head = None
            flash(str(error), "bad")
        whole = f"dock:{site.dock.settings.dock_id}"
        entries_checked = head.entries if head else None
        site.note(signed_in.actor, "custody-checked", whole, good=head is not None, entries=entries_checked)
        return redirect(url_for("custody.log"))

    return pages


def _query(page: int) -> str:
    return f"?page={page}"
