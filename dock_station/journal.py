"""What the dock's processes say of themselves while they run: one line for each event, under names to rely on.

docs/dock-log.md lists them. No line has a person in it, nor a key, nor a passphrase: ids, counts and sentences.
"""

import logging
from typing import NoReturn, TextIO

import structlog
from structlog.typing import EventDict


def begin(output: TextIO) -> None:
    """Send every event to `output`: JSON lines, or lines for people where it is a terminal; from any thread."""
    # Tracebacks are without the values of variables, wherever they go: there may be a secret among them.
    renderers: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if output.isatty():
        renderers = [
            structlog.dev.ConsoleRenderer(timestamp_key="at", exception_formatter=structlog.dev.plain_traceback)
        ]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _moment_first,
            *renderers,
        ],
        logger_factory=structlog.PrintLoggerFactory(output),
    )
    # Libraries speak through the standard module; what they say below an error is not for the dock's journal.
    logging.basicConfig(handlers=[_ToJournal()], level=logging.ERROR, force=True)


def keep_quiet() -> None:
    """Let no event be written, for commands that say in sentences what they did."""
    structlog.configure(processors=[_drop])


def _drop(_logger: object, _method: str, _event: EventDict) -> NoReturn:
    raise structlog.DropEvent


class _ToJournal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().error("library", name=record.name, message=record.getMessage(), exc_info=record.exc_info)


def _moment_first(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: event.pop(name) for name in ("at", "level", "event")} | dict(event)
