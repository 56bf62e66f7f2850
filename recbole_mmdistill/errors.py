"""The one error that a user's mistake raises."""


class UserError(ValueError):
    """A mistake in what the user gave: the command line prints it and exits with code 2.

    Parameters
    ----------
    what : str
        One sentence that says what is wrong, with the value seen.
    remedy : str
        One sentence that says what to do.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str]]:
        return type(self), (self.what, self.remedy)
