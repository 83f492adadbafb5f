"""What the service manager and the kernel tell of a failure, as faults: in their own words, or not at all."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from appliance.faults.fault import What

# Where systemd-pstore.service puts what a kernel that crashed left in the machine's own memory.
CRASHES = Path("/var/lib/systemd/pstore")
# What the watchdog's driver says of the last restart (linux/watchdog.h, WDIOF_CARDRESET); a Raspberry Pi's is silent.
BOOT_STATUS = Path("/sys/class/watchdog/watchdog0/bootstatus")
_CARD_RESET = 0x20


def of_service(name: str, environ: Mapping[str, str]) -> tuple[str, What, str]:
    """Return part, what, and status of a service that failed, by the variables that OnFailure= hands on.

    systemd.exec(5): $MONITOR_SERVICE_RESULT and $MONITOR_EXIT_STATUS.
    """
    status = environ.get("MONITOR_EXIT_STATUS", "")
    what = What.named(environ.get("MONITOR_SERVICE_RESULT", ""))
    return name, what, status if re.fullmatch(r"[0-9]{1,3}|[A-Z]{2,6}[0-9]?", status) else ""


def of_last_run(crashes: Path = CRASHES, boot_status: Path = BOOT_STATUS) -> Iterator[tuple[str, What]]:
    """Yield what ended the run before this one, as far as the hardware remembers it."""
    with suppress(OSError):
        if any(crashes.iterdir()):
            yield "kernel", What.OOPS
    with suppress(OSError, ValueError):
        if int(boot_status.read_text(encoding="ascii")) & _CARD_RESET:
            yield "machine", What.RESTARTED
