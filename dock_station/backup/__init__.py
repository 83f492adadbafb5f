"""Backup and restore: one file with all that a dock is, which says of each part whether it is what was written.

A backup is a BagIt bag (RFC 8493) in a tar: `tar` and `sha256sum` alone unpack and check it.
"""
