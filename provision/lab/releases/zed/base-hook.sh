#!/bin/sh
# The last step of the base layer, run by mmdebstrap on the host with the tree as its argument.
set -eu
lab="$1/usr/lib/lab"
mkdir -p "$lab"

# A wrapper in rootfs/ takes the emulator's usual place. The real one stays beside it, where it finds its own data.
ln "$1/usr/bin/qemu-system-x86_64" "$1/usr/bin/qemu-system-x86_64.real"

# The KVM probe boots a real kernel. Of Debian's cloud kernel only vmlinuz is needed.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
mkdir "$lab/kernel"
(cd "$lab/kernel" && apt-get -q download "$kernel")
dpkg-deb --fsys-tarfile "$lab/kernel/$kernel"_*.deb | tar -x -C "$lab/kernel" ./boot
mv "$lab/kernel/boot"/vmlinuz-* "$lab/vmlinuz"
rm -r "$lab/kernel"

# The operator's proxies were for the build alone.
rm "$1/etc/apt/apt.conf.d/99mmdebstrap"
