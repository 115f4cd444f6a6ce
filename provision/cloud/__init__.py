"""One OpenStack service per file; the only floor that imports openstack or keystoneclient."""
