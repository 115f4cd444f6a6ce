"""Disks: read as extents (formats), written (writers), looked into (inside), made smaller (resize)."""
