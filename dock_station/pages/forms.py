"""Reading what people put into forms and addresses: a clean value, or nothing."""

import re
from datetime import date, datetime
from urllib.parse import urlsplit

from evidence.identifiers import LINE_PATTERN

YEARS = range(2000, 2201)
PAGE_NUMBERS = range(1, 100_001)
_LINE = re.compile(LINE_PATTERN)


def line(text: str, longest: int) -> str | None:
    """Return the text trimmed if it is one printable line of 1 to `longest` characters."""
    text = text.strip()
    return text if 0 < len(text) <= longest and _LINE.match(text) else None


def paragraph(text: str, longest: int) -> str | None:
    """Return the text with its lines joined if it then is of 1 to `longest` printable characters."""
    return line(" ".join(text.split()), longest)


def day(text: str) -> date | None:
    """Return the day that a date field holds (year-month-day) if it is one in which cameras like ours exist."""
    try:
        found = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 – a calendar day has no time zone
    except ValueError:
        return None
    return found if found.year in YEARS else None


def page_number(text: str | None) -> int:
    """Return the number of the page asked for; 1 where it is none."""
    number = int(text) if text and text.isascii() and text.isdecimal() and len(text) < 7 else 1
    return number if number in PAGE_NUMBERS else 1


def own_path(text: str | None) -> str | None:
    """Return `text` if it is a path at this very site, so that nobody is led elsewhere by a crafted address."""
    if not text or not text.startswith("/") or text.startswith("//") or "\\" in text or not text.isprintable():
        return None
    parts = urlsplit(text)
    return text if not parts.scheme and not parts.netloc else None
