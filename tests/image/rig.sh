#!/bin/sh
# What the rig adds to a unit that has started from its card alone: a camera, a USB port, an agent that takes commands from
# outside, and, where there is a disk for it, a dock at the other end of the cable.
set -eu
code=/run/rig-code

cd $code
cp -a --parents opt/mirrorcam/rig opt/mirrorcam/footage usr/share/libcamera usr/lib/mirrorcam-rig etc/udev etc/tmpfiles.d \
    etc/modprobe.d etc/systemd/system/rig-*.service etc/systemd/system/mirrorcam-*.d /
mkdir -p /run/rig-root
mount -o ro /dev/vdc /run/rig-root
modprobe -a virtio_console uinput
udevadm control --reload
udevadm trigger
systemd-tmpfiles --create rig.conf mirrorcam-rig.conf
# The touch panel's library is the rig's alone.
mkdir -p /etc/systemd/system/rig-touch.service.d
printf '[Service]\nEnvironment=PYTHONPATH=/run/rig-root/usr/lib/python3/dist-packages\n' > /etc/systemd/system/rig-touch.service.d/image.conf
services="rig-agent rig-usb rig-touch rig-unit-network@unit"
# An update must be newer than what runs, and both slots are of one build: so the first one is taken for an older release.
if [ "$(cat /etc/mirrorcam-slot)" = a ]; then sed -i 's/^release=.*/release=0.0.1+20260101T000000Z/' /etc/mirrorcam-release; fi
if [ -b /dev/vdd ]; then
    cp -a --parents usr/lib/systemd/network usr/lib/systemd/system/mirrorcam-bays.service usr/lib/systemd/system/mirrorcam-pages.service /
    systemd-sysusers usr/lib/sysusers.d/mirrorcam-dock.conf
    mkdir -p /var/lib/mirrorcam/dock
    mount -o noatime,nosuid,nodev,noexec /dev/vdd /var/lib/mirrorcam/dock
    services="$services mirrorcam-bays"
    # What a test says of the slot that is on trial.
    lacks() { [ "$(cat /etc/mirrorcam-slot)" = b ] && [ -e "/var/lib/mirrorcam/dock/rig-no-$1" ]; }
    if lacks camera; then rm -r /usr/share/libcamera/pipeline/virtual; fi
    if lacks python; then
        rm /opt/mirrorcam/bin/python3
        mkdir /etc/systemd/system/mirrorcam-guard.timer.d
        printf '[Timer]\nOnBootSec=\nOnBootSec=4min\n' > /etc/systemd/system/mirrorcam-guard.timer.d/rig.conf
    fi
fi
systemctl daemon-reload
systemctl try-restart --no-block systemd-networkd
systemctl start --no-block $services
