"""What users start: the command line and its commands."""
