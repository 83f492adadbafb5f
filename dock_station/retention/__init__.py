"""Deleting each clip when its time is over, and never a held one: the rules, the deletion, the worker."""
