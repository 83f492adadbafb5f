"""What the next unit may be called: the number after the highest of the ids that are taken, written like that one."""

import re
from collections.abc import Iterable

from evidence.identifiers import NAME_PATTERN

FIRST = "unit-01"
_NUMBERED = re.compile(r"(?P<word>.*?)(?P<number>[0-9]+)\Z")


def next_id(taken: Iterable[str]) -> str:
    """Return the id after the highest-numbered one of the word that most ids begin with; FIRST where there is none."""
    numbers: dict[str, list[str]] = {}
    for each in taken:
        if found := _NUMBERED.fullmatch(each):
            numbers.setdefault(found["word"], []).append(found["number"])
    if not numbers:
        return FIRST
    word = max(sorted(numbers), key=lambda each: len(numbers[each]))
    highest = max(numbers[word], key=int)
    proposed = f"{word}{int(highest) + 1:0{len(highest)}}"
    return proposed if re.fullmatch(NAME_PATTERN, proposed) else FIRST
