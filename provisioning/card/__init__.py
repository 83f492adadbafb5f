"""An image on a card: which disks may be written, whether the image is good, and whether the card kept it."""
