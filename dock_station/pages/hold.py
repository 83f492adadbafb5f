"""The form that holds a clip: what it must say."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from dock_station.decisions import LONGEST_CASE_NUMBER, LONGEST_REVIEW
from dock_station.pages import words
from dock_station.pages.forms import day, line, paragraph

LONGEST_REASON = 500


@dataclass(frozen=True)
class Wish:
    """What a hold needs."""

    case_number: str
    reason: str
    review_on: date


@dataclass(frozen=True)
class HoldForm:
    """What was typed, and for each field that cannot be taken the sentence that says why."""

    case_number: str = ""
    reason: str = ""
    review_on: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Mapping[str, str], today: date) -> "tuple[HoldForm, Wish | None]":
        """Read the form, and return it with the wish if every field can be taken."""
        form = cls(fields.get("case_number", ""), fields.get("reason", ""), fields.get("review_on", ""))
        case_number = line(form.case_number, LONGEST_CASE_NUMBER)
        reason = paragraph(form.reason, LONGEST_REASON)
        review_on = day(form.review_on)
        if review_on and not today < review_on <= today + LONGEST_REVIEW:
            review_on = None
        if case_number and reason and review_on:
            return form, Wish(case_number, reason, review_on)
        wrong = {
            "case_number": None if case_number else words.CASE_NUMBER_MISSING,
            "reason": None if reason else words.REASON_MISSING,
            "review_on": None if review_on else words.REVIEW_DATE_WRONG,
        }
        return replace(form, wrong={name: sentence for name, sentence in wrong.items() if sentence}), None
