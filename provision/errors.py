"""Every error a person can meet: what happened, what it means, what to do, and the exit code that says so."""


class ProvisionError(Exception):
    """Something stopped the run. `message` says what happened and what it means, `hint` what to do."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInputError(ProvisionError):
    """A file or option that a person wrote is wrong. `problems` lists every one of them, each with its place."""

    exit_code = 2

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]), hint=hint)
        self.problems = problems


class PreflightError(ProvisionError):
    """A check made before the first change says no. Nothing was changed."""

    exit_code = 3


class LockedError(PreflightError):
    """Another command changes this cohort just now."""


class StudentsFailedError(ProvisionError):
    """The run finished, but some students have no ready machine."""

    exit_code = 4


class NotFoundError(ProvisionError):
    """A named thing (image, flavor, network, cohort, student, build) does not exist or is not visible."""

    exit_code = 5


class CapacityError(ProvisionError):
    """A quota, or the cloud itself, has no room left."""

    exit_code = 6


class CommandError(ProvisionError):
    """A program that we started failed or ran past its deadline."""


class CloudError(ProvisionError):
    """The cloud refused a call or did not answer it."""


class BusyError(CloudError):
    """The cloud did not do it, and asks for fewer calls: for `wait` seconds, if it says how long."""

    def __init__(self, message: str, *, hint: str | None = None, wait: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wait = wait


class UnsureError(CloudError):
    """A service of the cloud is in trouble, or gave no answer: whether it did what was asked, the next look shows."""


class ForbiddenError(CloudError):
    """The cloud knows the user, whose role does not allow this."""


class AuthenticationError(CloudError):
    """The cloud does not accept the credential."""


class NotReadyError(ProvisionError):
    """A machine did not prove itself ready. `stage` is the first proof that failed (see guests/probes.py)."""

    def __init__(self, stage: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
