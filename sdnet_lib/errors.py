"""The one kind of error that bad input raises; the command line prints it as a single line."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message names the file, row or option."""
