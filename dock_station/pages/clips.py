"""The list of clips: newest first, filtered, a page at a time."""

import math
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from dock_station.catalogue import clips, units
from dock_station.catalogue.clips import Wanted
from dock_station.pages import shown, words
from dock_station.pages.forms import day, line, page_number
from dock_station.pages.site import SignedIn, Site, asking_for_clips
from dock_station.rights import Right

PAGE_SIZE = 50


@dataclass(frozen=True)
class Filter:
    """What the list is asked for, as it stands in the address."""

    unit: str
    wearer: str
    since: date | None
    until: date | None
    held: bool
    dates_are_wrong: bool  # a date was given that is none, and is left out

    @classmethod
    def of(cls, arguments: "MultiDict[str, str]") -> "Filter":
        """Read the filter from the address, leaving out what cannot be a value."""
        since, until = arguments.get("from", ""), arguments.get("to", "")
        return cls(
            unit=line(arguments.get("unit", ""), 32) or "",
            wearer=line(arguments.get("wearer", ""), 64) or "",
            since=day(since),
            until=day(until),
            held="held" in arguments,
            dates_are_wrong=any(text and day(text) is None for text in (since, until)),
        )

    @property
    def is_used(self) -> bool:
        """Whether anything is filtered."""
        return bool(self.unit or self.wearer or self.since or self.until or self.held)

    def query(self, page: int) -> str:
        """Return the address of one page of the list filtered so."""
        asked = {
            "unit": self.unit,
            "wearer": self.wearer,
            "from": self.since,
            "to": self.until,
            "held": "1" if self.held else None,
            "page": page if page > 1 else None,
        }
        return "?" + urlencode({name: value for name, value in asked.items() if value})

    def wanted(self, signed_in: SignedIn) -> Wanted:
        """Return which clips this person gets; who may see only their own gets no others, whatever is asked."""
        return Wanted(
            unit_id=self.unit or None,
            wearer=(self.wearer or None) if signed_in.may(Right.SEE_CLIPS) else signed_in.pseudonym,
            started_since=shown.beginning(self.since) if self.since else None,
            started_before=shown.beginning(shown.day_after(self.until)) if self.until else None,
            held=True if self.held else None,
        )


def blueprint(site: Site) -> Blueprint:
    """Return the page `/clips`."""
    pages = Blueprint("clips", __name__)

    @pages.get("/clips")
    def listed() -> ResponseReturnValue:
        signed_in = asking_for_clips()
        asked = Filter.of(request.args)
        wanted = asked.wanted(signed_in)
        with site.dock.catalogue.reading() as connection:
            total = clips.count(connection, wanted)
            last = max(1, math.ceil(total / PAGE_SIZE))
            page = min(page_number(request.args.get("page")), last)
            found = clips.listed(connection, wanted, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
            known = units.everyone(connection)
        return render_template(
            "clips.html", found=found, total=total, page=page, last=last, asked=asked, units=known,
            sees_all=signed_in.may(Right.SEE_CLIPS), date_wrong=words.DATE_WRONG,
        )  # fmt: skip

    return pages
