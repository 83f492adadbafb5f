"""What RAUC asks of a boot loader that it does not know itself (its `custom` backend), answered by the boot choice."""

from appliance.updates.slots import BootChoice, BootChoiceError, Slot
from evidence.errors import ExitCode, MirrorcamError


class UnknownQuestionError(MirrorcamError):
    """RAUC asks what nobody has told us to answer."""

    exit_code = ExitCode.USAGE

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__(f"'{' '.join(words)}' is none of RAUC's questions to a custom boot loader.")


def answer(words: tuple[str, ...], choice: BootChoice) -> str:
    """Return what is to be printed, which may be nothing; raises UnknownQuestionError or BootChoiceError.

    RAUC marks the slot that it is about to write as bad: that is so at all times of a slot that is not permanent, and
    of the one that is it must not happen. Only a confirmed trial makes a slot permanent; `set-primary` is for a person
    who calls RAUC by hand. Where the firmware was told nothing, the slot that runs counts as the permanent one.
    """
    match words:
        case ("get-current",):
            return choice.current()
        case ("get-primary",):
            return _permanent(choice)
        case ("get-state", "a" | "b" as name):
            return "good" if Slot(name) is _permanent(choice) else "bad"
        case ("set-state", "a" | "b" as name, "bad"):
            if Slot(name) is _permanent(choice):
                raise BootChoiceError(f"slot {name} is the permanent one, and is not written over")
            return ""
        case ("set-state", "a" | "b", "good"):
            return ""
        case ("set-primary", "a" | "b" as name):
            choice.make_permanent(Slot(name))
            return ""
        case _:
            raise UnknownQuestionError(words)


def _permanent(choice: BootChoice) -> Slot:
    return choice.permanent() or choice.current()
