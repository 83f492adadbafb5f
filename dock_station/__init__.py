"""The dock: intake, vault, catalogue, retention and custody, and the pages on top."""
