"""The command line: the only floor that prints, exits and catches."""

from provision.cli.app import main

__all__ = ["main"]
