"""The one exception that means "the user can fix this"."""


class Mp3netError(Exception):
    """Bad input, configuration or environment: the message says what is wrong, where, and what to do.

    The command line prints the message alone and exits with status 2; every other exception is a bug in mp3net.
    """
