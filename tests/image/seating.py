"""A unit that lies on the dock in a machine, and whether the two ends of its cable have found each other."""

from tests.virtual_pi.figures import record
from tests.virtual_pi.pi import VirtualPi
from tests.virtual_pi.talking import NoAnswerError, until

_SECONDS = 240


def wait_for_carrier(pi: VirtualPi) -> None:
    """Wait until the dock's card has a carrier; where it has none for long, take the unit off and put it on again.

    Seen twice in some thirty-five machines, where the rig moves a new card to the unit's network while the dock opens
    it: the dock's cdc_ncm is never told that the link is up.
    """
    try:
        until(lambda: _has_carrier(pi), seconds=_SECONDS, what="a carrier", pause=1.0)
    except NoAnswerError:
        record("docking", "put on the dock again, for the rig's network card had no carrier", "1", "0")
        pi.unplug()
        pi.plug()
        until(lambda: _has_carrier(pi), seconds=_SECONDS, what="a carrier", pause=1.0)


def _has_carrier(pi: VirtualPi) -> bool:
    return pi.machine.try_run("cat /sys/class/net/mirrorcam0/carrier").out.strip() == "1"
