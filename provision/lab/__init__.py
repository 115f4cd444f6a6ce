"""The embedded cloud: a real single-node OpenStack in one systemd-nspawn machine."""
