# What the made boxes have in common: Debian 12 on a VirtualBox disk, with Vagrant's user, network and packing.
# Sourced by a course's build-box, which says its COURSE (folder), HOST (name) and MEMORY (MB) first.

PARTS=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
DISK_SIZE=64G
START=$((2048 * 512)) # of the one partition; GRUB is before it
VAGRANT_KEY="ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key"
BASE=linux-image-amd64,grub-pc,systemd-sysv,dbus,udev,ifupdown,isc-dhcp-client,openssh-server,sudo,python3-venv,iproute2,netbase,ca-certificates

LOOPS=()
cleanup() {
  mountpoint --quiet "$ROOT" && umount "$ROOT"
  for LOOP in "${LOOPS[@]}"; do
    partx --delete "$LOOP" 2>/dev/null || true
    losetup --detach "$LOOP"
  done
  rm -rf "$WORK"
}

# Where the box is made, beside its target; nothing of it stays.
begin() {
  TARGET=$(realpath "$1")
  WORK=$(mktemp --directory "$(dirname "$TARGET")/.box.XXXXXX")
  ROOT=$WORK/root
  trap cleanup EXIT
  trap 'exit 130' INT TERM
}

say() { echo "build-box: $*" >&2; }

# attach [START [SIZE]]: a loop device of that part of the disk, in bytes, as LOOP.
attach() {
  LOOP=$(losetup --find --show --offset "${1:-0}" --sizelimit "${2:-0}" "$WORK/disk.raw")
  LOOPS+=("$LOOP")
}

# make_disk TYPE: MBR and one partition, as VirtualBox's guests have it.
make_disk() {
  truncate --size "$DISK_SIZE" "$WORK/disk.raw"
  echo "start=$((START / 512)), type=$1, bootable" | sfdisk --quiet --label dos "$WORK/disk.raw"
}

# make_root DEVICE: the root filesystem.
make_root() {
  ROOT_DEVICE=$1
  mkfs.ext4 -q -L root "$ROOT_DEVICE"
  UUID=$(blkid --output value --match-tag UUID "$ROOT_DEVICE")
  mkdir "$ROOT"
  mount "$ROOT_DEVICE" "$ROOT"
}

make_plain_disk() {
  make_disk 83
  attach
  partx --update "$LOOP"
  make_root "${LOOP}p1"
  MOUNTED=UUID=$UUID
}

# The Debian 12 archives that this machine's apt knows; nothing if it knows none, then mmdebstrap uses its own.
apt_sources() {
  apt-get indextargets --format '$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sed -nE 's/^Debian bookworm[a-z-]* (deb .*)$/\1/p'
}

# install_debian [PACKAGE,...]: without what only people at its console would read.
install_debian() {
  local sources
  mapfile -t sources < <(apt_sources)
  apt-config dump --format '%f "%v";%n' Acquire::http Acquire::https >"$WORK/apt.conf"
  mmdebstrap --quiet --variant=minbase --include="$BASE${1:+,$1}" \
    --aptopt="$WORK/apt.conf" --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/man/man1" "$1/usr/share/man/man7"' \
    --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/virtualbox"' \
    --essential-hook='printf "%s\n" ahci ata_piix sd_mod ext4 e1000 >"$1/etc/initramfs-tools/modules"' \
    bookworm "$ROOT" "${sources[@]}"
  rm -f "$ROOT/etc/apt/apt.conf.d/99mmdebstrap"
}

LENT=()
LEFT=()
inside() {
  systemd-nspawn --quiet --pipe --register=no --keep-unit --directory "$ROOT" --resolv-conf=replace-host \
    "${LENT[@]}" "$@"
}

# lend PATH: it is seen inside at the same place; give_back takes out what the mount leaves there.
lend() {
  local top=$1
  LENT+=("--bind-ro=$1")
  until [ -e "$ROOT$(dirname "$top")" ]; do top=$(dirname "$top"); done
  [ -e "$ROOT$top" ] || LEFT+=("$top")
}

give_back() {
  local place
  for place in "${LEFT[@]}"; do
    [ ! -e "$ROOT$place" ] || find "$ROOT$place" -depth -empty -delete
  done
  LENT=()
  LEFT=()
}

# What the programs inside may use of this machine: pip's settings as PIP_* variables, and the files that they name.
lend_pip() {
  local key value word
  while IFS='=' read -r key value; do
    key=${key##*.}
    key=${key//-/_}
    value=${value#\'}
    export "PIP_${key^^}=${value%\'}"
    LENT+=("--setenv=PIP_${key^^}")
    for word in ${value%\'}; do
      word=${word#file://}
      [[ $word != /* || ! -e $word ]] || lend "${word%/simple}"
    done
  done < <(python3 -m pip config list | sort --reverse) # :env: last, because it wins
}

add_vagrant() {
  inside /bin/sh -ec '
    useradd --create-home --shell /bin/bash vagrant
    chmod 0755 /home/vagrant
    echo vagrant:vagrant | chpasswd
    install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.ssh'
  echo "$VAGRANT_KEY" >"$ROOT/home/vagrant/.ssh/authorized_keys"
  echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$ROOT/etc/sudoers.d/vagrant"
  echo 'PasswordAuthentication yes' >"$ROOT/etc/ssh/sshd_config.d/vagrant.conf"
  cp -r "$COURSE/notebooks" "$ROOT/home/vagrant/notebooks"
  inside chown -R vagrant:vagrant /home/vagrant
}

# install_jupyter REQUIREMENT...: an environment of vagrant's own.
install_jupyter() {
  lend_pip
  inside /bin/sh -ec '
    python3 -m venv /home/vagrant/jupyter
    /home/vagrant/jupyter/bin/pip install --quiet --no-cache-dir "$@"
    chown -R vagrant:vagrant /home/vagrant/jupyter' sh "$@"
  give_back
}

# configure [LINE OF FSTAB]...
configure() {
  printf '%s\n' "$MOUNTED / ext4 errors=remount-ro 0 1" "$@" \
    'vagrant /vagrant vboxsf uid=1000,gid=1000,_netdev 0 0' >"$ROOT/etc/fstab"
  printf 'auto lo\niface lo inet loopback\n\nauto enp0s3\niface enp0s3 inet dhcp\n' >"$ROOT/etc/network/interfaces"
  echo "$HOST" >"$ROOT/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$HOST" >"$ROOT/etc/hosts"
  inside systemd-machine-id-setup
  inside apt-get clean
}

# grub asks the devices under the tree what they are.
install_grub() {
  LENT=("--bind=$LOOP" "--bind=$ROOT_DEVICE" "--bind=$ROOT_DEVICE:/dev/disk/by-uuid/$UUID")
  inside /bin/sh -ec "
    grub-install --target=i386-pc $LOOP
    update-grub"
  LENT=()
}

# As `vagrant package` packs a VirtualBox machine.
pack() {
  fstrim "$ROOT"
  # First, for a program with mounts of its own may have taken this one along, and the kernel would wait for its end.
  mount -o remount,ro "$ROOT"
  umount "$ROOT"
  mkdir "$WORK/box"
  qemu-img convert -f raw -O vmdk -o subformat=streamOptimized,adapter_type=lsilogic "$WORK/disk.raw" "$WORK/box/box-disk001.vmdk"
  echo '{"provider":"virtualbox"}' >"$WORK/box/metadata.json"
  printf 'Vagrant.configure("2") do |config|\n  config.vm.base_mac = "080027B0C5E0"\nend\n' >"$WORK/box/Vagrantfile"
  sed "s/@CAPACITY@/$(stat --format %s "$WORK/disk.raw")/; s/@MEMORY@/$MEMORY/" "$PARTS/box.ovf" >"$WORK/box/box.ovf"
  tar --create --directory "$WORK/box" ./box.ovf ./Vagrantfile ./metadata.json ./box-disk001.vmdk | gzip -1 >"$WORK/done.box"
  mv "$WORK/done.box" "$TARGET"
}
