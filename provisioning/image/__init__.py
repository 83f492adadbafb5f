"""The worn unit's image: from Debian's packages and this checkout to a file that is written to a card."""
