"""Holds what a page shows of commands against what they printed, but for what each run has of its own."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from textwrap import dedent

DOCK = "/var/lib/mirrorcam/dock"  # where a page has it; a test's is the folder "dock"

# Ids, digests and serial numbers, moments and days, which card it was, a battery's charge and a disk's room, how
# fast a copy was.
_OWN = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\b[0-9a-f]{16,}\b", "DIGEST"),
    (r"\d{4}-\d\d-\d\d(T[\d:.]+Z| \d\d:\d\d:\d\d)?", "MOMENT"),
    (r"\bloop\d+", "CARD"),
    (r"(–|\d+ %)\s+[\d.]+ of [\d.]+ GB", "CHARGE ROOM"),
    (r"(/[\d.]+ [kMG]B) .*", r"\1"),
    (r"[\s\u2500-\u257f]+", " "),  # tables and bars are as wide as what is in them
)
_TYPED = re.compile(r" --\S+-file -")  # on a terminal it is asked for
_AS_THE_DOCK = "runuser -u mirrorcam-dock -- "
_LEFT_OUT = re.compile(r"… (?:(\d+) more)?")


@dataclass(frozen=True)
class Call:
    """A command, and the lines that it printed, or that a page shows of them."""

    command: str
    lines: tuple[str, ...]

    def shows(self, printed: "Call") -> bool:
        """Tell whether each line was printed, and each that was is here or among those that are said to be left out."""
        shown = Counter(map(_alike, (line for line in self.lines if not _LEFT_OUT.match(line))))
        there = Counter(map(_alike, printed.lines))
        left_out = sum(int(found[1] or 0) for line in self.lines if (found := _LEFT_OUT.match(line)))
        return not shown - there and (there - shown).total() == left_out


def calls_in(transcript: str) -> list[Call]:
    """Return what was called, in order: of each `$ command`, what it printed, and `[1.0 s]`."""
    found = re.findall(r"^\$ ([^\n]*)\n(.*?)\[[\d.]+ s\]$", transcript, re.MULTILINE | re.DOTALL)
    return [Call(_TYPED.sub("", command), _lines(said)) for command, said in found]


def differences(page: str, calls: Sequence[Call], log: str, *, elsewhere: Collection[str]) -> list[str]:
    """Return what a page shows and nobody has printed: its commands in their order, and loose lines of a `log`.

    `elsewhere` are the beginnings of commands that were run by hand.
    """
    found, rest, logged = [], list(calls), set(map(_alike, _lines(log)))
    for shown in _shown_in(page):
        if not shown.command:
            found += [line for line in shown.lines if _alike(line) not in logged]
        elif not shown.command.startswith(tuple(elsewhere)):
            wanted = _alike(shown.command)
            numbers = [number for number, call in enumerate(rest) if _alike(call.command) == wanted]
            fitting = next((number for number in numbers if shown.shows(rest[number])), None)
            if fitting is None:
                printed = "\n".join(rest[numbers[0]].lines) if numbers else "it was not called"
                found.append(f"{shown.command}: {printed}")
            else:
                del rest[: fitting + 1]
    return found


def _shown_in(page: str) -> Iterator[Call]:
    for _, block in re.findall(r"^( *)```\n(.*?)^\1```$", page.replace(DOCK, "dock"), re.MULTILINE | re.DOTALL):
        before, *pieces = re.split(r"^[$#] ", dedent(block), flags=re.MULTILINE)
        if before:
            yield Call("", _lines(before))
        for piece in pieces:
            command, _, said = piece.partition("\n")
            yield Call(command.removeprefix(_AS_THE_DOCK), _lines(said))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if _alike(line))


def _alike(line: str) -> str:
    for pattern, word in _OWN:
        line = re.sub(pattern, word, line)
    return line.strip()
