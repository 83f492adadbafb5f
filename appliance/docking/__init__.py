"""Handing clips over to the dock, and deleting each against its receipt."""
