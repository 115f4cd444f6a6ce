"""What is done to or asked of a machine: ssh, credentials, probes, playbooks."""
