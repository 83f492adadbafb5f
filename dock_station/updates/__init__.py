"""Updates at the dock: the bundle that IT has put here goes to the units, and what became of it comes back."""
