"""A sealed clip as a film that plays: opened only where it is asked for, with one index."""
