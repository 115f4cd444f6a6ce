"""VirtualBox and cloud disk formats: read, check, shrink, write."""
