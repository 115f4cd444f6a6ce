"""Why a machine does not serve its student: the first cause of all that is seen, before what only follows from it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from provision.core.servers import Server

Web = Literal["", "serving", "starting", "refused", "silent"]
FULL = 98  # percent of a file system at which programs begin to fail


@dataclass(frozen=True)
class Facts:
    """What the cloud shows, what is seen from outside, and what the machine says; what was not asked is empty.

    `stack` is Heat's status, "" for no stack, with its `fault`. `missing` are the security group's rules that ought to
    be there, in words. `address`: a public one leads to it. `web`: "starting" answers without serving, "refused" has a
    closed port, "silent" drops what is sent. `services` are /healthz's. `inside` is the caretaker's JSON.
    """

    stack: str = ""
    fault: str = ""
    server: Server | None = None
    missing: tuple[str, ...] = ()
    address: bool = True
    console: str = ""
    web: Web = ""
    services: Mapping[str, str] = field(default_factory=dict)
    password: bool | None = None  # whether the handout's signs in
    inside: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cause:
    """What is wrong, in a word for programs and a sentence for people, and what to do about it."""

    kind: str
    says: str
    do: str


@dataclass(frozen=True)
class Diagnosis:
    """`causes` have the first one first. Of one that is well, they are what should be looked at all the same."""

    well: bool
    causes: tuple[Cause, ...]


def diagnose(facts: Facts) -> Diagnosis:
    """What is wrong with a machine. One that is not well always has a cause, if only that nothing is known."""
    well = facts.web == "serving" and facts.password is not False and not _lost(facts)
    seen: dict[str, Cause] = {}
    for cause in (*_lost(facts), *(cause for look in _LOOKS for cause in look(facts))):
        seen.setdefault(cause.kind, cause)
    if not well and not seen:
        seen["unknown"] = _unknown(facts)
    return Diagnosis(well, tuple(seen.values()))


def _lost(facts: Facts) -> list[Cause]:
    """What leaves no machine that could be asked."""
    server, again = facts.server, "Run: provision up COHORT STUDENT"
    if not facts.stack:
        return [Cause("no machine", "There is no machine.", again)]
    if facts.stack.endswith("_FAILED"):
        words = f"Its stack is {facts.stack}: {facts.fault}" if facts.fault else f"Its stack is {facts.stack}."
        return [Cause("stack failed", words, "Run: provision cohort repair COHORT")]
    if server is None and facts.stack.endswith("_IN_PROGRESS"):
        return [Cause("being made", f"Its stack is {facts.stack}.", "Wait a minute, and ask again.")]
    if server is None:
        return [
            Cause("server gone", "Its server was deleted, though its stack stands.", "Run: provision cohort repair")
        ]
    return list(_stopped(server))


def _stopped(server: Server) -> Iterator[Cause]:
    if server.status == "ERROR":
        words = f"Nova has it in ERROR: {server.fault or 'without a word why'}"
        yield Cause("server error", words, "Run: provision cohort repair COHORT, which reboots it first.")
    elif server.asleep or server.status in ("SHUTOFF", "PAUSED"):
        word = "sleeps" if server.asleep else "is off" if server.status == "SHUTOFF" else "is paused"
        yield Cause("asleep", f"It {word} ({server.status}).", "Run: provision resume COHORT STUDENT")
    elif server.status == "BUILD":
        yield Cause("being made", "Nova is still making it.", "Wait a minute, and ask again.")
    elif server.status != "ACTIVE" or server.task:
        words = f"Nova is at work on it: {server.status}" + (f", {server.task}" if server.task else "")
        yield Cause("in transit", words, "Wait a minute, and ask again.")


def _network(facts: Facts) -> Iterator[Cause]:
    if not facts.address:
        yield Cause("address gone", "No public address leads to it any more.", "Run: provision cohort repair COHORT")
    if facts.missing:
        words = f"Its security group lacks what cohort.toml opens: {'; '.join(facts.missing)}."
        yield Cause("rule missing", words, "Run: provision cohort repair COHORT, which puts the rule back.")


def _boot(facts: Facts) -> Iterator[Cause]:
    if found := _last(facts.console, _DEAD):
        words = f"It did not come up. Its console says: {found}"
        yield Cause("boot failed", words, "Restore a snapshot, or make it anew: provision destroy, then provision up.")


def _disk(facts: Facts) -> Iterator[Cause]:
    full = {place: used for place, used in _mapping(facts.inside, "full").items() if int(used) >= FULL}
    hint = "Delete large files in a terminal of JupyterLab (du -xh ~ | sort -h | tail), then restart what failed."
    if full:
        places = ", ".join(f"{place} ({used} %)" for place, used in full.items())
        yield Cause("disk full", f"No room is left on {places}.", hint)
    elif not facts.inside and (found := _last(facts.console, (r"No space left on device",))):
        yield Cause("disk full", f"A disk is full. Its console says: {found}", hint)


def _memory(facts: Facts) -> Iterator[Cause]:
    programs = [str(each) for each in facts.inside.get("oom") or ()]
    programs += [unit for unit, why in _mapping(facts.inside, "failed").items() if "oom" in str(why).lower()]
    if not programs and (found := _last(facts.console, _OOM)):
        programs = [found]
    if programs:
        size = facts.inside.get("memory_mb")
        of = f" of {size} MB" if size else ""
        words = f"Its memory{of} ran out, and the kernel ended a program: {programs[-1]}."
        yield Cause("out of memory", words, "Work with less data at once, close kernels, or take a larger flavor.")


def _execute(facts: Facts) -> Iterator[Cause]:
    programs = [str(each) for each in facts.inside.get("not_executable") or ()]
    if not programs and (found := _last(facts.console, (r"Failed at step EXEC spawning (\S+): Permission denied",))):
        programs = [found]
    for program in programs:
        words = f"{program} is started by a service, and lacks its execute bit."
        yield Cause("not executable", words, f"As root there: chmod a+x {program}; or build the image again with it.")


def _password_file(facts: Facts) -> Iterator[Cause]:
    said = facts.inside.get("password_file")
    if said is None or re.fullmatch(r"0?640 root:\S+", str(said)):
        return
    words = "is not there" if said == "absent" else f"is {said}, and ought to be 0640 root:GROUP"
    hint = "Set the password anew: provision password reset COHORT STUDENT"
    yield Cause("password file", f"The file with the password's hash {words}: nobody can sign in.", hint)


def _failed(facts: Facts) -> Iterator[Cause]:
    failed = _mapping(facts.inside, "failed")
    if not facts.inside and (found := _last(facts.console, (r"Failed to start (.+)",))):
        failed = {found: "its console says that it failed to start"}
    failed = failed or {name: "it says so itself" for name, state in facts.services.items() if state == "failed"}
    for unit, why in sorted(failed.items(), key=lambda each: _RANK.get(each[0].removesuffix(".service"), 9)):
        words = f"The service {unit} failed: {why}."
        hint = f"Look at it: provision ssh COHORT STUDENT -- journalctl -u {unit}. Then: provision halt, provision up."
        yield Cause("service failed", words, hint)
    if errors := [str(each) for each in facts.inside.get("cloud_init") or ()]:
        yield Cause("first boot failed", f"cloud-init did not do all: {'; '.join(errors)}", "Make it anew.")


def _password(facts: Facts) -> Iterator[Cause]:
    if facts.web == "serving" and facts.password is False:
        words = "It serves, and does not take the handout's password: it was changed since, or a snapshot was restored."
        yield Cause("wrong password", words, "Set it anew: provision password reset COHORT STUDENT")


def _ports(facts: Facts) -> Iterator[Cause]:
    """What keeps visitors out of a machine that says of itself that it is well, or says nothing."""
    listening = [str(each) for each in facts.inside.get("listening") or ()]
    if facts.web in ("refused", "silent") and listening:
        if any(re.search(r"(^|:)(80|443)$", each) for each in listening):
            words = "It listens on its public port, and this computer does not get there."
            yield Cause("port blocked", words, _WHO)
        else:
            words = "No program listens on its public port: nginx does not run."
            yield Cause("web server off", words, "Run: provision ssh COHORT STUDENT -- journalctl -u nginx")


def _starting(facts: Facts) -> Iterator[Cause]:
    young = float(facts.inside.get("uptime") or 1e9) < 600
    if facts.web == "starting" or (facts.web in ("refused", "silent") and (young or _boots(facts.console))):
        waits = ", ".join(name for name, state in facts.services.items() if state != "ready")
        words = f"It is still starting{f' ({waits})' if waits else ''}."
        yield Cause("starting", words, "Wait a minute or two, and ask again.")


def _unknown(facts: Facts) -> Cause:
    if facts.web == "silent":
        words = (
            "Nothing comes back from it, as from a port that something on the way blocks. All that is known is well."
        )
        return Cause("port blocked", words, _WHO)
    words = "It does not serve, and nothing that is known says why."
    return Cause("unknown", words, "Read its console: openstack console log show SERVER")


_WHO = "Does cohort.toml ([access] web) let in this computer's address? Or use SSH: provision open --tunnel"
_RANK = {"provision-first-boot": 0, "nginx": 1, "jupyter": 2}  # of several, what the others need
_DEAD = (
    r"Kernel panic.*",
    r"You are in emergency mode.*",
    r"ALERT! .* does not exist.*",
    r"error: no such (?:device|partition).*",
    r"grub rescue>.*",
    r"No bootable device.*",
)
_OOM = (r"Out of memory: Killed process \d+ \((.+?)\)", r"[Oo]om-kill.*task=([^,\s]+)")
_LOOKS: Sequence[Callable[[Facts], Iterator[Cause]]] = (
    # In the order in which one brings about another.
    _network,
    _boot,
    _disk,
    _memory,
    _execute,
    _password_file,
    _failed,
    _password,
    _ports,
    _starting,
)


def _last(text: str, patterns: Sequence[str]) -> str:
    """What the last place says that one of the patterns finds: the group if it has one; "" for none."""
    for pattern in patterns:
        if found := list(re.finditer(pattern, text)):
            return (found[-1][1] if found[-1].re.groups else found[-1][0]).strip()
    return ""


def _boots(console: str) -> bool:
    """Whether a console that was read shows no login yet."""
    return bool(console) and not re.search(r"login: *$", console.rstrip("\n"), re.MULTILINE)


def _mapping(inside: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return inside.get(key) or {}
