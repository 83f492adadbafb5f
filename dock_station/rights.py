"""Who may do what at the dock: one table from roles to rights, asked by every page."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What a person is at the dock; each person has one role."""

    OFFICER = "officer"
    EVIDENCE_OFFICER = "evidence-officer"
    SUPERVISOR = "supervisor"
    IT = "it"
    AUDITOR = "auditor"


class Right(StrEnum):
    """Something that a role may or may not do. To open a clip a person needs a keyslot besides."""

    SEE_CLIPS = "see-clips"
    SEE_OWN_CLIPS = "see-own-clips"  # those recorded under the person's own pseudonym
    OPEN_CLIPS = "open-clips"  # among those that the person may see
    HOLD = "hold"
    SEE_CUSTODY = "see-custody"
    SEE_UNITS = "see-units"
    SEE_HEALTH = "see-health"
    ENROL_UNITS = "enrol-units"
    MANAGE_PEOPLE = "manage-people"


# IT keeps the machines running and learns nothing of any clip. It does not manage people either: who may set another
# person's password can sign in as that person. An auditor reads what was done, and nothing that it was done to.
RIGHTS: Mapping[Role, frozenset[Right]] = MappingProxyType(
    {
        Role.OFFICER: frozenset({Right.SEE_OWN_CLIPS, Right.OPEN_CLIPS}),
        Role.EVIDENCE_OFFICER: frozenset(
            {Right.SEE_CLIPS, Right.OPEN_CLIPS, Right.HOLD, Right.SEE_CUSTODY, Right.SEE_UNITS}
        ),
        Role.SUPERVISOR: frozenset(
            {
                Right.SEE_CLIPS,
                Right.OPEN_CLIPS,
                Right.HOLD,
                Right.SEE_CUSTODY,
                Right.SEE_UNITS,
                Right.SEE_HEALTH,
                Right.MANAGE_PEOPLE,
            }
        ),
        Role.IT: frozenset({Right.SEE_UNITS, Right.SEE_HEALTH, Right.ENROL_UNITS}),
        Role.AUDITOR: frozenset({Right.SEE_CUSTODY}),
    }
)


def may(role: str, right: Right) -> bool:
    """Say whether a role has a right; a role that nobody knows has none."""
    return role in RIGHTS and right in RIGHTS[Role(role)]
