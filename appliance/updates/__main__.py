"""The commands of updates without camera and screen: root's services start from here."""

from appliance.updates.commands import update_app
from evidence import commandline

commandline.run(update_app, "mirrorcam-unit")
