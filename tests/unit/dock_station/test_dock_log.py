"""docs/dock-log.md lists the very events that the dock's modules write."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
LEVELS = {"debug", "info", "warning", "error", "exception"}


def written() -> set[str]:
    """The names of all events, as they stand in calls of `log.info("name", …)` and the like."""
    names = set()
    for file in (ROOT / "dock_station").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                names |= name_in(node, node.func)
    return names


def name_in(call: ast.Call, function: ast.Attribute) -> set[str]:
    position = {"log": 1} | dict.fromkeys(LEVELS, 0)
    at = position.get(function.attr)
    is_log = ast.unparse(function.value) in {"log", "structlog.get_logger()"}
    if at is None or not is_log or len(call.args) <= at or not isinstance(call.args[at], ast.Constant):
        return set()
    return {str(ast.literal_eval(call.args[at]))}


def test_every_event_of_the_dock_is_documented_and_none_that_is_not_written() -> None:
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/dock-log.md").read_text(), re.MULTILINE))
    assert documented == written()
    assert len(documented) > 15
