"""The commands of `mirrorcam-dock`, by whom they are for."""
