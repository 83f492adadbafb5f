"""What the forwarder says of the cable while it runs, in lines like the unit's own; docs/unit-log.md lists them."""

from typing import TextIO

from appliance.journal import event_log


class CableJournal:
    """Writes one line for each thing that happens to the cable. Of what crosses it nothing is known here."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._log = event_log(output)

    def ready(self, *, socket: str, dock: str, interface: str) -> None:
        """Tell that connections are taken at `socket` from now on."""
        self._log.info("cable_ready", socket=socket, dock=dock, interface=interface)

    def cable_in(self, interface: str) -> None:
        """Tell that there is another end at the cable; whose it is TLS will show."""
        self._log.info("cable_in", interface=interface)

    def cable_out(self, interface: str, *, connections: int) -> None:
        """Tell that there is none any more, and how many connections were cut."""
        self._log.info("cable_out", interface=interface, connections=connections)

    def dock_silent(self, reason: str) -> None:
        """Tell that nobody answers at the dock's address, though there is a cable: once, until somebody has."""
        self._log.warning("dock_silent", sentence=f"There is a cable, but no dock answers over it: {reason}.")

    def crowded(self, connections: int) -> None:
        """Tell that a connection was refused because there are so many already."""
        self._log.warning("cable_crowded", connections=connections)

    def stopped(self) -> None:
        """Tell that the process ends."""
        self._log.info("cable_stopped")
