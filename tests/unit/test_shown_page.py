"""A page that shows what no command has printed is found out, and one that differs by what each run has is not."""

import pytest

from tests.shown_page import calls_in, differences

TRANSCRIPT = """$ tool make folder --passphrase-file -
made  folder/a  (digest 0123456789abcdef)
made  folder/b
 ─────────
[1.0 s]

$ tool list 01a21e69-d814-7436-819a-7918cb674f6a --folder dock
│ unit-01 │ 2026-11-27 │ –      1.0 of 2.0 GB │
[0.2 s]

"""
PAGE = """Text.

```
$ tool make folder
made  folder/a  (digest fedcba9876543210)
{rest}
```

   ```
   # runuser -u mirrorcam-dock -- tool list 01a21c4b-908f-7320-ae5c-067d271cddf8 --folder /var/lib/mirrorcam/dock
   │ unit-01  │ 2031-01-01 │ 91 %   20.5 of 270.6 GB │
   ```

```
{{"event": "said", "at": "2026-11-27T09:17:34.316061Z"}}
```
"""
LOG = '{"event": "said", "at": "2025-01-01T00:00:00.0Z"}\n'


def found(rest: str, log: str = LOG) -> list[str]:
    return differences(PAGE.format(rest=rest), calls_in(TRANSCRIPT), log, elsewhere=("other",))


@pytest.mark.parametrize(
    "rest", ["made  folder/b", "… 1 more line", "… anything\nmade  folder/b", "made  folder/b\n$ other x"]
)
def test_a_page_that_shows_what_was_printed_is_right(rest: str) -> None:
    assert found(rest) == []


@pytest.mark.parametrize(
    "rest", ["made  folder/c", "… 2 more lines", "… as above", "", "made  folder/b\n$ tool make folder"]
)
def test_a_page_that_shows_something_else_is_found_out(rest: str) -> None:
    (difference,) = found(rest)
    assert difference.startswith("tool make folder: ")


def test_a_loose_line_that_stands_in_no_log_is_found_out() -> None:
    assert found("made  folder/b", log="") == ['{"event": "said", "at": "2026-11-27T09:17:34.316061Z"}']
