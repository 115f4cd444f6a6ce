"""From a VirtualBox course machine to a class of ready, personal machines on OpenStack."""

__version__ = "0.1.0"
