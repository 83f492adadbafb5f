"""The same commands without camera and screen: a small board starts its services from here, and loads a third."""

from appliance.usb.commands import usb_app
from evidence import commandline

commandline.run(usb_app, "mirrorcam-unit")
