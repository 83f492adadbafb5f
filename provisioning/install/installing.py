"""Taking the steps: each that differs, in order, and what is told of it; or only saying which differ."""

from collections.abc import Callable, Iterable, Iterator

from evidence.errors import EnvironmentalError, ExitCode, MirrorcamError, reason_of
from provisioning.install.machine import Machine
from provisioning.install.steps import OnlyCheckedError, Step


class StepFailedError(EnvironmentalError):
    """A step could not be taken."""

    def __init__(self, step: Step, reason: str, done: int, exit_code: ExitCode) -> None:
        before = f"{done} before it {'is' if done == 1 else 'are'} done" if done else "nothing was changed before it"
        super().__init__(
            f"The step '{step.name}' failed: {reason.rstrip('.')}; {before}. See to it and call this again: it goes on "
            "from there."
        )
        self.step = step
        self.exit_code = exit_code


class NoEffectError(EnvironmentalError):
    """A step was taken, and the machine differs as before."""

    def __init__(self, difference: str) -> None:
        super().__init__(f"it was done, and still {difference}.")


def differences(steps: Iterable[Step], machine: Machine) -> Iterator[str]:
    """Yield one sentence for each step that is to be taken, and change nothing."""
    for step in steps:
        difference = step.differs(machine)
        if difference:
            yield f"{difference[0].upper()}{difference[1:]}."


def install(steps: Iterable[Step], machine: Machine, tell: Callable[[Step], object]) -> list[str]:
    """Take every step that differs, in order, and tell of each that was taken; return what only its own system can do.

    Raises StepFailedError with the first that fails; the steps before it stay, and the next call finds them done.
    """
    done = 0
    left: list[str] = []
    for step in steps:
        try:
            if step.differs(machine) is None:
                continue
            step.apply(machine)
            remaining = step.differs(machine)
            if remaining:
                raise NoEffectError(remaining)
        except OnlyCheckedError as error:
            left.append(f"{str(error)[0].upper()}{str(error)[1:]}")
            continue
        except (MirrorcamError, OSError) as error:
            place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            code = error.exit_code if isinstance(error, MirrorcamError) else ExitCode.ENVIRONMENT
            raise StepFailedError(step, f"{reason_of(error)}{place}", done, code) from error
        done += 1
        tell(step)
    return left
