"""The catalogue's history, one step per change of its tables."""
