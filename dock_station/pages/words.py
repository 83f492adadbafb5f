"""Every sentence and name that the pages' code says; those of the templates are marked there with `_()`."""

# Refusals
WRONG_RIGHT = "Your role does not let you see this page; ask the person who manages the accounts if you need it."
NOT_OWN_CLIP = "This clip is not one of yours; ask an evidence officer if you need to see it."
NO_SUCH_CLIP = "There is no clip of this name at this dock; look for it in the list of clips."
NO_SUCH_PAGE = "There is no page at this address; go on from the menu above."
WRONG_METHOD = "This address does not take such a request; go back and use the page's own buttons."
TOO_LARGE = "More was sent than a form can hold; send less."
BAD_REQUEST = "This request cannot be understood; go back, load the page again and retry."
STALE_FORM = "This form is too old, or it came from another page: load the page again and retry."
TOO_MANY = "Too many attempts came from this computer; wait a minute, then try again."
UNFORESEEN = "The dock met an error of its own; try again, and tell IT if it comes back."
SIGN_IN_FIRST = "Sign in first."
LOCKED = "This clip is locked: unlock it with your passphrase on its page."
GONE = "This clip was deleted; only its record is left."

# What was asked of a form
CASE_NUMBER_MISSING = "Enter the case number, at most 64 characters on one line."
REASON_MISSING = "Say why this clip is needed, in at most 500 characters."
REVIEW_DATE_WRONG = "Choose a review date after today and within ten years."
DATE_WRONG = "A date is written as year-month-day; the list is shown without it."
CODE_MISSING = "Type the six digits that the unit shows, as in 123 456."
UNIT_ID_WRONG = (
    "An id has lower case letters, digits and inner hyphens, 32 at most, as in unit-07, and does not begin with new-."
)

# Good news
HOLD_SET = "The clip is held: it is kept until the hold is released."
LOCKED_AGAIN = "Clips are locked again."
SIGNED_OUT = "You are signed out."

MENU_CLIPS = "Clips"
MENU_BAYS = "Bays"
MENU_CUSTODY = "Custody"
MENU_UNITS = "Units"
MENU_ENROLMENT = "Enrolment"
MENU_HEALTH = "Health"

CLOCK_RIGHT = "right"
CLOCK_FAST = "fast"
CLOCK_SLOW = "slow"
VALUES = {True: "yes", False: "no", None: "unknown"}

# What the custody log's actors and subjects are; a person is shown by the login alone.
PARTIES = {"person": "", "unit": "Unit", "clip": "Clip", "dock": "Dock", "shell": "Command line,"}

ROLES = {
    "officer": "Officer",
    "evidence-officer": "Evidence officer",
    "supervisor": "Supervisor",
    "it": "IT",
    "auditor": "Auditor",
}

ENDED_BY = {
    "wearer": "The wearer stopped it.",
    "longest-clip": "It reached the longest length that the policy allows.",
    "docked": "The unit was put on the dock.",
    "storage-full": "The unit's storage was full.",
    "storage-slow": "The unit's storage was too slow.",
    "storage-failed": "The unit's storage failed.",
    "camera-failed": "The camera failed.",
    "shutdown": "The unit was switched off.",
    "power-lost": "The unit lost power; the end is missing.",
}

# What the custody log calls each deed, in plain words; a deed without one here is shown as the log has it.
ACTIONS = {
    "clip-accepted": "Taken in",
    "clip-refused": "Refused at the door",
    "clip-viewed": "Page opened",
    "clip-played": "Played",
    "clip-checked": "File checked",
    "clip-deletion-intended": "To be deleted",
    "clip-deletion-withdrawn": "Kept after all",
    "clip-deleted": "Deleted",
    "hold-set": "Held",
    "signed-in": "Signed in",
    "sign-in-failed": "Sign-in failed",
    "signed-out": "Signed out",
    "unlocked": "Clips unlocked",
    "unlock-refused": "Unlocking refused",
    "locked": "Clips locked",
    "person-added": "Account added",
    "person-disabled": "Account disabled",
    "person-password-set": "Password set",
    "person-locked-out": "Locked out",
    "keyslot-added": "Keyslot added",
    "keyslot-removed": "Keyslot removed",
    "unit-issued": "Issued",
    "unit-confirmed": "Code confirmed",
    "unit-enrolled": "Enrolled",
    "enrolment-dropped": "Request to be enrolled dropped",
    "update-confirmed": "Update confirmed",
    "update-rolled-back": "Update rolled back",
    "update-refused": "Update refused",
    "gap-accepted": "Gap accepted",
    "alarm-cleared": "Alarm cleared",
    "dock-alive": "Dock at work",
    "custody-checked": "Custody log checked",
    "custody-head-disagrees": "Custody log disagrees with a unit",
    "clock-distrusted": "Clock distrusted",
    "clock-vouched-for": "Clock vouched for",
}

# What became of an update, as the page of the units says it.
OUTCOMES = {
    "confirmed": "is confirmed",
    "rolled-back": "was rolled back",
    "refused": "was refused",
}

CUSTODY_EMPTY = "The custody log has no entry yet."


def unit_confirmed(unit_id: str) -> str:
    """Say that a unit's code was right."""
    return f"The code is right: this unit becomes {unit_id}. Leave it on the dock until it shows that name."


def custody_is_whole(entries: int, sha256: str) -> str:
    """Say that the custody log was checked."""
    return f"The custody log is whole: all {entries} entries follow each other and are signed. Its head is {sha256}."


def file_is_right(sha256: str) -> str:
    """Say that a sealed file was read to its last byte."""
    return f"The whole file was read, and it is unchanged: its SHA-256 is {sha256}."


def file_differs(what: str) -> str:
    """Say what is wrong with a sealed file."""
    return f"This clip is damaged, {what}: do not rely on it, and have IT restore the file from a backup."


# What the page of the bays says of each; whoever passes the dock may read it.
BAY_EMPTY = "Empty"
BAY_UNKNOWN = "Unknown device: take it out, and call IT"
BAY_NEW = "New unit: IT enrols it"
BAY_TWICE = "Two devices say that they are this unit: call IT"
BAY_NOT_CALLED = "Plugged in, has not called yet"
BAY_NOT_CALLED_HINT = (
    "Is the unit switched on, and the plug all the way in? Take it out and put it in again. If it still does not call, "
    "try another bay, then call IT."
)
BAY_CERTIFICATE = "Its certificate is refused: call IT"
BAY_HANDED_OVER = "All handed over, may be taken"
BAY_STANDS_STILL_HINT = (
    "Nothing has come for a while. Take the unit out and put it in again; if that does not help, call IT."
)


def bay_hands_over(done: int, total: int, percent: int) -> str:
    """Say how far a unit is."""
    return f"Handing over: {done} of {total} {'clip' if total == 1 else 'clips'}, {percent} %"


def bay_keeps(count: int) -> str:
    """Say that a unit keeps what the dock refused."""
    if count == 1:
        return "Refused: 1 clip stays on the unit, call IT"
    return f"Refused: {count} clips stay on the unit, call IT"
