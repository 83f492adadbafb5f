"""What opens clips: keyslots, and the one small process that holds the station identity while it is unlocked."""
