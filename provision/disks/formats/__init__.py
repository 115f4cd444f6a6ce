"""Readers: each turns a window, or files, in one disk format into a Disk."""
