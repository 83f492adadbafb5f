"""The cable between unit and dock: the unit as a USB network card, and the one way over it to the dock's address."""
