"""The image doctor: a healthy guest has no findings, and each fault is found, with the truth about the bake."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from provision.errors import InvalidInputError
from provision.guests import doctor
from provision.guests.doctor import diagnose
from provision.guests.exposure import VAGRANT_KEYS
from provision.guests.findings import (
    FIREWALLS,
    REMOVED_USERS,
    REPLACED_UNITS,
    SEVERITIES,
    WEB_SERVERS_LEFT,
    WEB_SERVERS_OFF,
    Finding,
)
from tests.guests.shelf import Link, Shelf
from tests.guests.test_initrd import cpio

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("virtio_pci", "virtio_blk", "virtio_net")
INITRD = "/boot/initrd.img-6.1.0-9-amd64"
MENU = """
menuentry 'Debian' {
  linux /boot/vmlinuz-6.1.0-9-amd64 root=UUID=1 ro console=tty0 console=ttyS0,115200
  initrd /boot/initrd.img-6.1.0-9-amd64
}
"""
LIB = "/usr/lib/modules/6.1.0-9-amd64"
UNIT = "/etc/systemd/system/multi-user.target.wants"
RSA = (ROOT / "provision/guests/keys/vagrant_insecure").read_bytes()
PUBLIC = load_pem_private_key(RSA, None).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)

OWN_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdmZQ== joe\n"

Files = dict[str, bytes | Link]

HEALTHY: Files = {
    "/lib": Link("usr/lib"),
    "/sbin": Link("usr/sbin"),
    "/etc/os-release": Link("../usr/lib/os-release"),
    "/usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    "/boot/grub/grub.cfg": MENU.encode(),
    "/boot/vmlinuz-6.1.0-9-amd64": b"",
    INITRD: cpio(f"lib/modules/{name}.ko" for name in MODULES),
    f"{LIB}/modules.dep": "".join(f"kernel/drivers/{name}.ko.xz:\n" for name in MODULES).encode(),
    f"{LIB}/modules.builtin": b"kernel/fs/ext4.ko\n",
    "/usr/bin/python3": Link("python3.11"),
    "/usr/bin/python3.11": b"",
    "/usr/bin/apt-get": b"",
    "/usr/bin/cloud-init": b"",
    "/usr/sbin/sshd": b"",
    "/etc/machine-id": b"",
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/bash\njoe:x:1000:1000::/home/joe:/bin/bash\n",
    "/etc/shadow": b"root:*:1::::::\njoe:!$1$x$x:1::::::\n",
    "/etc/fstab": b"# comment /dev/sda1\nUUID=1 / ext4 defaults 0 1\nLABEL=x /data xfs defaults 0 2\n",
    "/etc/network/interfaces": b"auto lo\niface lo inet loopback\n",
    "/etc/netplan/50-cloud-init.yaml": b"network:\n  ethernets:\n    all:\n      match: {name: 'e*'}\n",
    "/etc/systemd/network/80-dhcp.network": b"[Match]\nType=ether\n",
    "/usr/lib/systemd/system/ssh.service": b"[Service]\nExecStart=/usr/sbin/sshd -D\n",
    f"{UNIT}/ssh.service": Link("/lib/systemd/system/ssh.service"),
    "/home/joe/.ssh/authorized_keys": b"# none\n",
    "/etc/sudoers": b"Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n# joe ALL=(ALL) NOPASSWD: ALL\n",
    "/etc/sudoers.d/joe.off": b"joe ALL=(ALL) NOPASSWD: ALL\n",
    "/etc/postgresql/15/main/postgresql.conf": b"#listen_addresses = '*'\nlisten_addresses = 'localhost'\n",
    "/etc/redis/redis.conf": b"# bind 0.0.0.0\nbind 127.0.0.1 -::1\n",
    "/home/joe/.jupyter/jupyter_server_config.py": b"# c.ServerApp.ip = '*'\nc.ServerApp.ip = '127.0.0.1'\n",
}


def unit(name: str, command: str) -> Files:
    return {
        f"/etc/systemd/system/{name}": f"[Service]\nExecStart={command}\n".encode(),
        f"{UNIT}/{name}": Link(f"../{name}"),
    }


def logins(**hashes: str) -> Files:
    return {
        "/etc/passwd": "".join(f"{name}:x:1:1::/home/{name}:/bin/sh\n" for name in hashes).encode(),
        "/etc/shadow": "".join(f"{name}:{hashed}:1::::::\n" for name, hashed in hashes.items()).encode(),
    }


OPENED = "$1$Ltp1lpPP$6zJm3ne1Pb8vyiULe2rWB."  # of "vagrant"
IFUPDOWN = b"auto lo\niface lo inet loopback\nauto enp0s3\niface enp0s3 inet dhcp\n"
CLASSIC = MENU.replace("ro ", "ro net.ifnames=0 ").encode()

# What is changed in the healthy guest; what is then found: its name, in which file, whether the bake fixes it.
FAULTS: list[tuple[Files, list[tuple[str, str, bool]]]] = [
    ({INITRD: cpio(["init"])}, [("no_virtio", INITRD, True)]),
    ({INITRD: cpio(["virtio_blk.ko"])}, [("no_virtio", INITRD, True)]),
    (
        {INITRD: cpio(["init"]), f"{LIB}/modules.builtin": b"kernel/a/virtio_blk.ko\nkernel/b/virtio_pci.ko\n"},
        [],
    ),
    ({f"{LIB}/modules.dep": b"", INITRD: cpio(["virtio_pci.ko", "virtio_blk.ko"])}, [("no_virtio", INITRD, False)]),
    ({f"{LIB}/modules.dep": b""}, []),
    ({"/etc/network/interfaces": IFUPDOWN}, [("network_tied_to_name", "/etc/network/interfaces", True)]),
    ({"/etc/network/interfaces": IFUPDOWN.replace(b"enp0s3", b"eth0"), "/boot/grub/grub.cfg": CLASSIC}, []),
    (
        {"/etc/network/interfaces": IFUPDOWN.replace(b"enp0s3", b"eth0")},
        [("network_tied_to_name", "/etc/network/interfaces", True)],
    ),
    (
        {"/etc/netplan/01-netcfg.yaml": b"network:\n  ethernets:\n    enp0s3:\n      dhcp4: true\n"},
        [("network_tied_to_name", "/etc/netplan/01-netcfg.yaml", True)],
    ),
    (
        {"/etc/netplan/a.yaml": b"network:\n ethernets:\n  x:\n   match:\n    macaddress: 08:00:27:00:00:01\n"},
        [("network_tied_to_name", "/etc/netplan/a.yaml", True)],
    ),
    (
        {"/etc/systemd/network/10-lan.network": b"[Match]\nName=enp0s3\n"},
        [("network_tied_to_name", "/etc/systemd/network/10-lan.network", True)],
    ),
    (
        {"/etc/systemd/network/10-lan.network": b"[Match]\nName=eth0\n"},
        [("network_tied_to_name", "/etc/systemd/network/10-lan.network", False)],
    ),
    (
        {"/etc/NetworkManager/system-connections/lan.nmconnection": b"[connection]\ninterface-name=enp0s3\n"},
        [("network_tied_to_name", "/etc/NetworkManager/system-connections/lan.nmconnection", True)],
    ),
    (
        {"/etc/udev/rules.d/70-persistent-net.rules": b'SUBSYSTEM=="net", ATTR{address}=="08:00:27", NAME="eth0"\n'},
        [("network_tied_to_name", "/etc/udev/rules.d/70-persistent-net.rules", True)],
    ),
    (
        {"/boot/grub/grub.cfg": MENU.replace("console=ttyS0,115200", "quiet").encode()},
        [("no_serial_console", "/boot/grub/grub.cfg", True)],
    ),
    (
        {"/boot/grub/grub.cfg": Link("nowhere"), "/boot/loader/entries/a.conf": b"options root=UUID=1\n"},
        [("no_serial_console", "", False)],
    ),
    ({"/usr/bin/cloud-init": Link("nowhere")}, [("no_cloud_init", "/usr/bin/cloud-init", True)]),
    ({"/etc/fstab": b"vagrant /vagrant vboxsf uid=1000 0 0\n"}, [("shared_folder", "/etc/fstab", True)]),
    ({"/etc/fstab": b"host:/export /vagrant nfs defaults 0 0\n"}, [("shared_folder", "/etc/fstab", False)]),
    ({"/etc/fstab": b"/dev/sda1 / ext4 defaults 0 1\n"}, [("fstab_device_name", "/etc/fstab", False)]),
    ({"/etc/fstab": b"/dev/vda1 / ext4 defaults 0 1\n/dev/mapper/vg-root / ext4\n"}, []),
    ({"/etc/machine-id": b"1cb508aac4274df9993dd0c4d1a25164\n"}, [("fixed_machine_id", "/etc/machine-id", True)]),
    ({"/etc/machine-id": b"uninitialized\n"}, []),
    ({"/etc/ssh/ssh_host_rsa_key": b"x"}, [("fixed_host_keys", "/etc/ssh/ssh_host_rsa_key", True)]),
    ({"/etc/ssh/ssh_host_rsa_key.pub": b"x"}, []),
    (
        {"/home/vagrant/.ssh/authorized_keys": b"# a comment\n" + PUBLIC + b" somebody\n"},
        [("vagrant_key", "/home/vagrant/.ssh/authorized_keys", True)],
    ),
    ({"/root/.ssh/authorized_keys": PUBLIC}, [("vagrant_key", "/root/.ssh/authorized_keys", True)]),
    (
        {"/home/joe/.ssh/authorized_keys2": b'from="*" ' + PUBLIC + b"\n"},
        [("vagrant_key", "/home/joe/.ssh/authorized_keys2", True)],
    ),
    ({"/home/joe/.ssh/authorized_keys": OWN_KEY}, [("foreign_key", "/home/joe/.ssh/authorized_keys", True)]),
    ({"/etc/ssh/authorized_keys/joe": OWN_KEY}, [("foreign_key", "/etc/ssh/authorized_keys/joe", True)]),
    (
        {"/home/vagrant/.ssh/authorized_keys": PUBLIC + b"\n" + OWN_KEY},
        [
            ("vagrant_key", "/home/vagrant/.ssh/authorized_keys", True),
            ("foreign_key", "/home/vagrant/.ssh/authorized_keys", True),
        ],
    ),
    (
        {"/etc/sudoers.d/vagrant": b"vagrant ALL=(ALL) NOPASSWD: ALL\n"},
        [("sudo_without_password", "/etc/sudoers.d/vagrant", True)],
    ),
    (
        {"/etc/sudoers": b"%sudo ALL=(ALL) NOPASSWD: ALL\nvagrant ALL=NOPASSWD: ALL\n"},
        [("sudo_without_password", "/etc/sudoers", False), ("sudo_without_password", "/etc/sudoers", True)],
    ),
    (
        {f"{UNIT}/apache2.service": Link("/lib/systemd/system/apache2.service")},
        [("other_web_server", f"{UNIT}/apache2.service", True)],
    ),
    (
        {f"{UNIT}/nginx.service": Link("/lib/systemd/system/nginx.service")},
        [("other_web_server", f"{UNIT}/nginx.service", True)],
    ),
    (
        {f"{UNIT}/caddy.service": Link("/lib/systemd/system/caddy.service")},
        [("other_web_server", f"{UNIT}/caddy.service", False)],
    ),
    (
        {f"{UNIT}/ufw.service": Link("/lib/systemd/system/ufw.service")},
        [("other_firewall", f"{UNIT}/ufw.service", True)],
    ),
    (logins(vagrant=OPENED), [("known_password", "/etc/shadow", True)]),
    (logins(root=OPENED), [("known_password", "/etc/shadow", True)]),
    (logins(joe=OPENED), [("known_password", "/etc/shadow", False)]),
    (logins(joe=""), [("empty_password", "/etc/shadow", False)]),
    (
        logins(joe="", vagrant=OPENED),
        [("empty_password", "/etc/shadow", False), ("known_password", "/etc/shadow", True)],
    ),
    ({"/etc/passwd": b"joe::1:1::/home/joe:/bin/sh\n"}, [("empty_password", "/etc/passwd", False)]),
    ({"/usr/bin/python3": Link("python3.6"), "/usr/bin/python3.6": b""}, [("old_python", "/usr/bin/python3.6", False)]),
    (
        unit("jupyter-notebook.service", "/x/jupyter-lab --ip=0.0.0.0 --port=8888"),
        [("listens_everywhere", "/etc/systemd/system/jupyter-notebook.service", True)],
    ),
    (
        unit("openrefine.service", "/opt/refine \\\n -i 0.0.0.0 -p 3333"),
        [("listens_everywhere", "/etc/systemd/system/openrefine.service", True)],
    ),
    (unit("a.service", "/usr/bin/a --ip '*'"), [("listens_everywhere", "/etc/systemd/system/a.service", True)]),
    (unit("a.service", "/usr/bin/a -b [::]:80"), [("listens_everywhere", "/etc/systemd/system/a.service", True)]),
    (unit("a.service", "/usr/bin/a --bind_ip_all"), [("listens_everywhere", "/etc/systemd/system/a.service", True)]),
    (unit("a.service", "/usr/bin/a --ip=127.0.0.1 10.0.0.0.0 a*b"), []),
    (
        {**unit("a.service", "/usr/bin/a 0.0.0.0"), f"{UNIT}/a.service": Link("nowhere")},
        [("listens_everywhere", "/etc/systemd/system/a.service", True)],
    ),
    ({"/etc/systemd/system/a.service": b"[Service]\nExecStart=/usr/bin/a 0.0.0.0\n"}, []),  # not enabled
    (
        {
            "/usr/lib/systemd/system/a.service": b"[Service]\nExecStart=/usr/bin/a 0.0.0.0\n",
            "/etc/systemd/system/a.service": Link("/dev/null"),  # masked
            f"{UNIT}/a.service": Link("/lib/systemd/system/a.service"),
        },
        [],
    ),
    (
        {"/etc/postgresql/15/main/postgresql.conf": b"listen_addresses = 'localhost, *'\n"},
        [("listens_everywhere", "/etc/postgresql/15/main/postgresql.conf", True)],
    ),
    ({"/etc/mongod.conf": b"net:\n  bindIp: 127.0.0.1,0.0.0.0\n"}, [("listens_everywhere", "/etc/mongod.conf", True)]),
    ({"/etc/redis/redis.conf": b"bind 127.0.0.1 0.0.0.0\n"}, [("listens_everywhere", "/etc/redis/redis.conf", True)]),
    (
        {"/etc/mysql/mariadb.conf.d/50-server.cnf": b"[mysqld]\nbind-address = 0.0.0.0\n"},
        [("listens_everywhere", "/etc/mysql/mariadb.conf.d/50-server.cnf", True)],
    ),
    (
        {"/home/joe/.jupyter/jupyter_notebook_config.py": b"c.NotebookApp.ip = '*'\n"},
        [("listens_everywhere", "/home/joe/.jupyter/jupyter_notebook_config.py", True)],
    ),
    (
        {"/home/vagrant/.jupyter/jupyter_server_config.json": b'{\n "ServerApp": {\n  "ip": ""\n }\n}'},
        [("listens_everywhere", "/home/vagrant/.jupyter/jupyter_server_config.json", True)],
    ),
    (
        {f"{UNIT}/vboxadd-service.service": Link("/opt/x")},
        [("guest_additions", f"{UNIT}/vboxadd-service.service", False)],
    ),
    ({"/usr/sbin/VBoxService": b""}, [("guest_additions", "/usr/sbin/VBoxService", False)]),
]


def findings(files: Mapping[str, bytes | Link]) -> tuple[Finding, ...]:
    _, found = diagnose(Shelf(files), lambda _: None)
    assert found.unread == ()
    return found.findings


def test_a_healthy_guest_has_no_findings() -> None:
    system, found = diagnose(Shelf(HEALTHY), lambda _: None)
    assert (found.findings, found.unread) == ((), ())
    assert system is not None
    assert (system.name, system.distro, system.version) == ("Debian GNU/Linux 12 (bookworm)", "debian", "12")
    assert system.kernels == ("6.1.0-9-amd64",)
    assert system.boot.initrd == INITRD


@pytest.mark.parametrize(("change", "expected"), FAULTS)
def test_each_fault_is_found(change: Files, expected: list[tuple[str, str, bool]]) -> None:
    found = findings({**HEALTHY, **change})
    assert [(each.name, path, each.fixed) for each in found for path in each.seen or ("",)] == expected
    assert all(each.meaning and each.bake for each in found)


def test_the_worst_come_first() -> None:
    changes = [change for change, _ in FAULTS]
    found = findings({name: content for each in (HEALTHY, *changes) for name, content in each.items()})
    ranks = [(SEVERITIES.index(each.severity), each.fixed) for each in found]
    assert len(ranks) > 10
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("missing", ["/usr/sbin/sshd", "/usr/bin/apt-get", "/usr/bin/python3"])
def test_the_bake_fixes_nothing_where_it_cannot_run(missing: str) -> None:
    found = findings({**HEALTHY, missing: Link("nowhere"), "/etc/machine-id": b"1cb508aac4274df9993dd0c4d1a25164\n"})
    assert found[0].name == "cannot_be_baked"
    assert found[0].seen == (missing,)
    assert not any(each.fixed for each in found)


def test_what_cannot_be_read_is_said_and_the_rest_is_found() -> None:
    system, found = diagnose(
        Shelf(
            {**HEALTHY, INITRD: b"\x02\x21\x4c\x18", **logins(joe="$9$new", vagrant=OPENED), "/etc/fstab": b"#" * 2**21}
        ),
        lambda _: None,
    )
    assert system is not None
    assert [each.name for each in found.findings] == ["known_password"]
    assert found.unread == (
        "fstab: longer than is read",
        "passwords: joe's password has a hash that is not known here",
        "no virtio: the initrd is compressed with lz4",
    )


def test_a_guest_that_cannot_be_read_at_all() -> None:
    class Broken(Shelf):
        def read(self, path: str, limit: int) -> bytes | None:
            raise InvalidInputError("damaged")

    system, found = diagnose(Broken(HEALTHY), lambda _: None)
    assert system is None
    assert found.unread == ("the operating system: damaged",)


def test_an_empty_guest_has_no_traceback() -> None:
    system, found = diagnose(Shelf({"/etc/hostname": b"x"}), lambda _: None)
    assert system is not None
    assert system.kernels == ()
    assert "cannot_be_baked" in [each.name for each in found.findings]


@pytest.mark.parametrize(
    ("menu", "kernel", "initrd"),
    [
        (MENU, "6.1.0-9-amd64", INITRD),
        (MENU.replace("/boot/", "/"), "6.1.0-9-amd64", INITRD),  # /boot is a filesystem of its own
        ("", "6.1.0-9-amd64", INITRD),
        ("linux16 /vmlinuz-5.14 ro\ninitrd16 /initramfs-5.14.img", "5.14", "/boot/initramfs-5.14.img"),
    ],
)
def test_the_boot_menu_says_what_starts(menu: str, kernel: str, initrd: str) -> None:
    system, _ = diagnose(Shelf({**HEALTHY, "/boot/grub/grub.cfg": menu.encode()}), lambda _: None)
    assert system is not None
    assert (system.boot.kernel, system.boot.initrd) == (kernel, initrd)


def test_the_newest_kernel_comes_last() -> None:
    kernels = {f"/boot/vmlinuz-{version}": b"" for version in ("6.1.0-10-amd64", "5.10.0-2", "6.1.0-9-amd64")}
    modules = {f"/usr/lib/modules/{version}/x": b"" for version in ("6.1.0-10-amd64", "5.10.0-2")}
    system, _ = diagnose(Shelf({**HEALTHY, **kernels, **modules}), lambda _: None)
    assert system is not None
    assert system.kernels == ("5.10.0-2", "6.1.0-9-amd64", "6.1.0-10-amd64")


def test_what_the_roles_remove_is_what_the_doctor_thinks() -> None:
    defaults = {
        name: yaml.safe_load((ROOT / f"roles/{name}/defaults/main.yml").read_text())
        for name in ("ssh_keys", "jupyter", "hardening")
    }
    assert tuple(defaults["ssh_keys"]["ssh_keys_removed_users"]) == REMOVED_USERS
    assert tuple(defaults["jupyter"]["jupyter_replaces"]) == REPLACED_UNITS
    off = set(defaults["hardening"]["hardening_unneeded"])
    assert off.issuperset({*WEB_SERVERS_OFF, *FIREWALLS})
    assert off.isdisjoint(WEB_SERVERS_LEFT)


def test_vagrants_key_is_the_one_that_the_probes_try() -> None:
    digest = hashlib.sha256(base64.b64decode(PUBLIC.split()[1])).digest()
    assert base64.b64encode(digest).decode().rstrip("=") in VAGRANT_KEYS


def test_no_check_can_be_kept_busy() -> None:
    """Settings of 1 MiB that patterns would like to go over and over."""
    noise = {
        "/etc/postgresql/1/1/postgresql.conf": b"listen_addresses = '" + b"x," * 2**19,
        "/etc/network/interfaces": b"\n" * 2**19 + b"auto" + b" " * 2**18,
        "/etc/default/grub": b'GRUB_CMDLINE_LINUX="' + b" a" * 2**19,
        "/boot/grub/grub.cfg": b"linux " * 2**17,
        "/etc/redis/redis.conf": b"bind" + b" a" * 2**19,
        "/etc/passwd": b"a:x:1:1::/:/bin/sh\n" * 2**15,
        **unit("a.service", " ".join(["/x"] * 2**18)),
    }
    _, found = diagnose(Shelf({**HEALTHY, **noise}), lambda _: None)
    assert len(doctor.CHECKS) > len(found.unread)


def test_every_finding_is_in_the_reference() -> None:
    names = {name for _, expected in FAULTS for name, _, _ in expected} | {"cannot_be_baked"}
    listed = re.findall(r"^\| `(\w+)`", (ROOT / "docs/inspect.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(names)
