"""Every broken or malicious file: a name, what makes it in a folder, and what the refusal says (a pattern)."""

from tests.disks.hostile import archives, maps, vmdk
from tests.disks.hostile.seeds import Make

KINDS: dict[str, dict[str, tuple[Make, str]]] = {
    "vmdk header": vmdk.HEADERS,
    "vmdk map": vmdk.MAPS,
    "vmdk stream": vmdk.STREAMS,
    "descriptor": vmdk.DESCRIPTORS,
    "vdi": maps.VDIS,
    "qcow2": maps.QCOW2S,
    "tar": archives.TARS,
    "gzip": archives.GZIPS,
    "file": archives.FILES,
}
CASES = {f"{kind}: {name}": case for kind, cases in KINDS.items() for name, case in cases.items()}
