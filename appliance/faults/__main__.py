"""`python -m appliance.faults`: what the service manager calls when a service of the unit's has failed."""

from appliance.faults.commands import keeping_app
from evidence import commandline

commandline.run(keeping_app, "mirrorcam-unit")
