"""The machine's root as layers: base (packages), pristine (after its first boot), state (this run). Reset drops state.

Every layer is made under a temporary name and renamed when it is complete: a layer that is there is whole.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision import paths
from provision.lab.release import Release
from provision.process import follow, run

APT_SETTINGS = ('APT::Install-Recommends "false";', 'Acquire::Languages "none";')


@dataclass(frozen=True)
class Layers:
    """Where the layers of one release are kept."""

    folder: Path

    @property
    def base(self) -> Path:
        """The tree with the packages."""
        return self.folder / "base"

    @property
    def pristine(self) -> Path:
        """The frozen first boot: upper (what it changed), secrets.json, digest."""
        return self.folder / "pristine"

    @property
    def state(self) -> Path:
        """What this run changed: upper and work."""
        return self.folder / "state"

    @property
    def root(self) -> Path:
        """Where the layers are mounted, one over the other, while the machine runs."""
        return self.folder / "root"

    @property
    def console(self) -> Path:
        """What the machine's own systemd said at its last boot."""
        return self.folder / "console.log"

    def partial(self, layer: Path) -> Path:
        """The temporary name of a layer under way."""
        return layer.with_name(f"{layer.name}.partial")


def layers_of(release: Release) -> Layers:
    """The layers of `release` under the lab's home."""
    return Layers(paths.lab_home() / release.name)


def made_from(layer: Path) -> str | None:
    """The digest of what `layer` was made from; None unless it is whole."""
    digest = _digest_file(layer)
    return digest.read_text() if digest.exists() and layer.exists() else None


def finish(layers: Layers, layer: Path, digest: str) -> None:
    """Give a complete partial layer its name. The digest comes last: without it the layer does not count."""
    layers.partial(layer).rename(layer)
    _digest_file(layer).write_text(digest)


def discard(layers: Layers, layer: Path) -> None:
    """Remove `layer`, whole or partial. Its digest goes first."""
    _digest_file(layer).unlink(missing_ok=True)
    for tree in (layer, layers.partial(layer)):
        _delete(tree)


def build_base(release: Release, layers: Layers, on_step: Callable[[str], None], *, deadline: float = 1800) -> None:
    """Make the base layer with mmdebstrap from the host's own Debian sources and proxies. `on_step` hears of each."""
    discard(layers, layers.base)
    settings = layers.folder / "apt.conf"
    paths.write_private(settings, "".join(f"{line}\n" for line in (*APT_SETTINGS, *proxies())))
    command = base_command(release, layers.partial(layers.base), debian_sources(release.suite), settings)
    follow(command, deadline=deadline, on_line=lambda line: on_step(line[3:]) if line.startswith("I: ") else None)
    settings.unlink()
    finish(layers, layers.base, release.base_digest())


def base_command(release: Release, target: Path, sources: Sequence[str], settings: Path) -> list[str]:
    """mmdebstrap's command line. Without `sources` it uses its own default for the suite. `settings` is an apt.conf."""
    left_out = [f"path-exclude=/usr/share/{folder}/*" for folder in ("doc", "info", "locale", "man")]
    return [
        # In namespaces of its own: kill it anywhere, and no process and no mount of it is left.
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("mmdebstrap", "--variant=minbase", "--format=directory", "--mode=root"),
        f"--include={','.join(release.packages())}",
        f"--aptopt={settings}",
        *(f"--dpkgopt={setting}" for setting in ("force-unsafe-io", *left_out)),
        f'--customize-hook=sh {shlex.quote(str(release.folder / "base-hook.sh"))} "$1"',
        *(release.suite, str(target), *sources),
    ]


def debian_sources(suite: str) -> list[str]:
    """The host's own sources of Debian's `suite`, as apt sees them: its mirror is used, other packagers are not."""
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]
    if found := parse_sources(run(command, deadline=60).stdout, suite):
        return found
    run(["apt-get", "--quiet", "update"], deadline=600)  # apt knows the origin of what it has fetched once
    return parse_sources(run(command, deadline=60).stdout, suite)


def parse_sources(listed: str, suite: str) -> list[str]:
    """Sources lines from apt's "ORIGIN URI SUITE COMPONENT" lines."""
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    fields = (line.split() for line in listed.splitlines())
    found = {
        (part[1], part[2], part[3]) for part in fields if len(part) == 4 and part[0] == "Debian" and part[2] in wanted
    }
    complete = any(release == suite for _, release, _ in found)
    return [f"deb {uri} {release} {component}" for uri, release, component in sorted(found)] if complete else []


def proxies() -> list[str]:
    """The host's apt proxies and certificates, which mmdebstrap does not take over; they may hold a password."""
    kept = ("Acquire::http", "Acquire::https")
    lines = run(["apt-config", "dump", "--no-empty", *kept], deadline=60).stdout.splitlines()
    return [line for line in lines if "::" in line]


def mount(layers: Layers, lower: Sequence[Path], upper: Path) -> None:
    """Mount `upper` over `lower` (topmost first) as the machine's root."""
    for folder in (layers.root, upper / "upper", upper / "work"):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper / 'upper'},workdir={upper / 'work'}"
    run(["mount", "-t", "overlay", "overlay", "-o", options, layers.root], deadline=60)


def mounted_upper(layers: Layers) -> Path | None:
    """The layer being written while the machine's root is mounted, or None."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == str(layers.root) and "overlay" in fields:
            options = dict(word.partition("=")[::2] for word in fields[-1].split(","))
            return Path(options["upperdir"]).parent
    return None


def unmount(layers: Layers) -> None:
    """Unmount the machine's root, as often as it is mounted."""
    while mounted_upper(layers):
        run(["umount", layers.root], deadline=60)


def drop(tree: Path) -> None:
    """Remove a folder so that it is gone at once under its own name, whatever happens during the removal."""
    doomed = tree.with_name(f"{tree.name}.dropped")
    _delete(doomed)
    if tree.exists():
        tree.rename(doomed)
        _delete(doomed)


def forget_journal(layer: Path) -> None:
    """Remove the journal of the first boot from a layer."""
    _delete(layer / "upper/var/log/journal")


def remove(layers: Layers, *, keep_base: bool) -> None:
    """Remove all layers and what belongs to them; `keep_base` keeps the one with the packages."""
    drop(layers.state)
    discard(layers, layers.pristine)
    if not keep_base:
        discard(layers, layers.base)
    kept = {layers.base, _digest_file(layers.base)} if made_from(layers.base) else set()
    for path in set(layers.folder.glob("*")) - kept:
        _delete(path)
    if not kept and layers.folder.exists():
        layers.folder.rmdir()


def _digest_file(layer: Path) -> Path:
    return layer.with_name(f"{layer.name}.digest")


def _delete(tree: Path) -> None:
    """Delete `tree`, never what is mounted in it."""
    run(["rm", "-rf", "--one-file-system", tree], deadline=600)
