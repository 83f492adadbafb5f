"""Bundles: the signed updates that a dock hands on to its units, made of an image and put in a dock's folder."""
