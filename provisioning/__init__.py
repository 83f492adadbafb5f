"""What IT does before the first clip: the authority, the dock, the units and the policies."""
