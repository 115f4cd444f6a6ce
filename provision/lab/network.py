"""The addresses of the embedded cloud: one small network that the host's end of a veth is on."""

from ipaddress import IPv4Network

NETWORK = IPv4Network("172.24.4.0/24")
HOST = "172.24.4.1"  # the host's end, and the way out of the public network
MACHINE = "172.24.4.2"  # the API endpoints
FIRST, LAST = "172.24.4.10", "172.24.4.200"  # floating IPs
LINK = "lab0"  # the host's end of the veth: a name that networkd's and NetworkManager's defaults leave alone
