#!/bin/sh
# A second unit's USB side in the second socket, as appliance/usb/gadget.py makes the first one's.
set -eu
gadget=/sys/kernel/config/usb_gadget/second
case $1 in
up)
    mkdir -p $gadget/strings/0x409 $gadget/configs/c.1 $gadget/functions/ncm.usb0
    cd $gadget
    echo 0x1d6b > idVendor
    echo 0x0104 > idProduct
    echo Mirrorcam > strings/0x409/manufacturer
    echo "Mirrorcam unit" > strings/0x409/product
    echo unit-8 > strings/0x409/serialnumber
    echo 02:1a:11:00:08:02 > functions/ncm.usb0/dev_addr
    echo 02:1a:11:00:08:01 > functions/ncm.usb0/host_addr
    ln -s functions/ncm.usb0 configs/c.1/
    echo dummy_udc.1 > UDC
    ;;
down)
    cd $gadget
    echo > UDC
    rm configs/c.1/ncm.usb0
    rmdir configs/c.1 functions/ncm.usb0 strings/0x409
    rmdir $gadget
    ;;
esac
