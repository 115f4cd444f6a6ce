"""Taking out of a guest what makes it one particular machine, so that every copy becomes its own."""

from provision.guests.shell import Shell

GENERALISE = """
cd /
: >etc/machine-id
rm -f var/lib/dbus/machine-id etc/ssh/ssh_host_* var/lib/systemd/random-seed var/lib/dhcp/*.leases
echo localhost >etc/hostname
rm -rf var/lib/cloud var/lib/apt/lists var/cache/apt var/cache/debconf/*-old var/lib/dpkg/*-old var/log/journal
rm -rf root/.ansible root/.cache root/.ssh root/.bash_history home/*/.bash_history
rm -rf home/*/.ssh/authorized_keys* etc/ssh/authorized_keys/*
cut -d: -f6 etc/passwd | while read -r home; do rm -f ".$home"/.ssh/authorized_keys*; done
mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial
find tmp var/tmp -mindepth 1 -delete
# Without creating: in a folder with the sticky bit the kernel lets not even root do that to what is another user's.
find var/log -type f -exec truncate --no-create --size 0 {} +
sync
fstrim / 2>/dev/null || true # only makes the image smaller
"""


def generalise(guest: Shell) -> None:
    """Remove identity (machine-id, host keys), traces (logs, histories, keys) and caches."""
    guest.run_script(GENERALISE, deadline=300)
