#!/bin/sh
# Makes a card's partitions of the root $1, and what genimage puts them together by, in the folder $2: as 'make image' does.
set -eu
SNAPSHOT=@SNAPSHOT@ exec @PYTHON@ -m provisioning.image parts @PROFILE@ "$1" "$2" "$IGconf_image_name"
