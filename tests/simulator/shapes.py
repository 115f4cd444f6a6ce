"""Whether the simulator answers as the real thing does: the same calls, statuses and headers, and no key of its own."""

from collections.abc import Iterator
from typing import Any

from .tour import Answer, Recorded

# What provision reads, by a word of the path: without these the simulator would be no match for it.
READ = {
    "/auth/tokens": ("token.catalog.[].endpoints.[].url", "token.project.id", "token.roles.[].name", "token.user.name"),
    "/flavors": ("flavors.[].id", "flavors.[].name", "flavors.[].vcpus", "flavors.[].ram", "flavors.[].disk"),
    "/limits": ("limits.absolute.maxTotalInstances", "limits.absolute.totalInstancesUsed"),
    "/quotas/": ("quota.router.limit", "quota.router.used", "quota.router.reserved"),
}


def differences(real: Recorded, simulated: Recorded) -> list[str]:
    """Each in a sentence; none if the simulator is faithful in what was asked."""
    found = []
    for step, answers in real.items():
        ours = {_key(each): each for each in simulated.get(step, [])}
        for key, answer in {_key(each): each for each in answers}.items():
            if key[1] == "/" or key[1].count("/") == 1:
                continue  # versions: the SDK asks for them when it likes
            if key not in ours:
                found.append(f"{step}: {' '.join(map(str, key))} is not what the simulator answers ({sorted(ours)})")
            else:
                found += [f"{step}: {key[0]} {key[1]}: {words}" for words in _between(answer, ours[key])]
    return found


def _key(answer: Answer) -> tuple[str, str, int]:
    return answer.method, answer.path, answer.status


def _between(real: Answer, ours: Answer) -> Iterator[str]:
    for name in {*real.headers} ^ {*ours.headers}:
        yield f"header {name} is in one answer alone"
    theirs, shown = _leaves(real.body), _leaves(ours.body)
    for path, kinds in shown.items():
        if path in theirs:
            if not kinds & theirs[path] and {"null"} not in (kinds, theirs[path]):
                yield f"{path} is {'/'.join(sorted(kinds))}, but really {'/'.join(sorted(theirs[path]))}"
        elif not _within_empty(path, theirs) and not any(place.startswith(f"{path}.") for place in theirs):
            yield f"there is really no {path}"
    for word, paths in READ.items():
        if word in real.path:
            yield from (f"{path} is missing" for path in paths if path not in shown and path in theirs)


def _within_empty(path: str, theirs: dict[str, set[str]]) -> bool:
    """Whether the real answer has an empty list or nothing on the way there: then nothing can be said."""
    parts = path.split(".")
    return any(theirs.get(".".join(parts[:end]), set()) & {"empty", "null"} for end in range(len(parts)))


def _leaves(body: Any, path: str = "") -> dict[str, set[str]]:
    """The kinds of all values, by their paths; a list's elements share one."""
    if isinstance(body, dict | list) and body:
        found: dict[str, set[str]] = {}
        pairs = body.items() if isinstance(body, dict) else (("[]", each) for each in body)
        for key, value in pairs:
            for place, kinds in _leaves(value, f"{path}.{key}" if path else str(key)).items():
                found.setdefault(place, set()).update(kinds)
        return found
    names = {str: "text", bool: "truth", int: "number", float: "number", type(None): "null"}
    return {path: {names.get(type(body), "empty")}}
