"""Making a Debian computer a dock: the wanted state as values, and one step for each thing that differs from it."""
