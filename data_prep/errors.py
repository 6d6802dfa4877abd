"""The error type for input that a user can correct."""


class BadInput(ValueError):
    """Input that cannot be used: the message names the file, what is wrong with it, and the remedy.

    The command line prints the message alone, without a traceback, and ends with exit status 2.
    """


class DataWarning(UserWarning):
    """A warning to the user, about usable data or this machine: the command line prints it in one line."""
