"""Labels: what the cloud takes, stable, never two of one name, and nobody's but with the key."""

import re

from hypothesis import given
from hypothesis import strategies as st

from provision.core import naming
from provision.core.plan import Stack
from provision.core.privacy import LABEL, Labels, recognised

KEY = bytes(range(32))
keys = st.binary(min_size=32, max_size=32)
students = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}", fullmatch=True)


def stack(student: str) -> Stack:
    return Stack("1", f"demo-26J-{student}", student, "CREATE_COMPLETE", "", "")


def test_a_label_stays_what_it_is() -> None:
    """Another one tomorrow would be another machine."""
    assert Labels(KEY).label("s001") == "kumihxf-4flvncttcvx72fsx"
    assert Labels(KEY).label("s002") == "kumihxf-bbqaoqh4q2wtfqdb"


@given(keys, students)
def test_the_cloud_takes_every_label_whole(key: bytes, student: str) -> None:
    label = Labels(key).label(student)
    assert LABEL.fullmatch(label)
    assert naming.STUDENT_ID.fullmatch(label)
    assert naming.server_name("tm351-26J", label) == f"tm351-26J-{label}"


@given(st.lists(students, unique=True, min_size=1), keys, keys)
def test_only_the_key_that_made_them_tells_them(ids: list[str], key: bytes, other: bytes) -> None:
    ours, theirs = Labels(key, tuple(ids)), Labels(other, tuple(ids))
    labels = [ours.label(student) for student in ids]
    assert len(set(labels)) == len(ids)
    assert [ours.student(label) for label in labels] == ids
    assert all(ours.named(label) for label in labels)
    if key != other:
        assert [theirs.student(label) for label in labels] == labels
        assert not any(theirs.named(label) for label in labels)
    assert not any(Labels().named(label) for label in labels)
    assert not any(ours.named(student) for student in ids if not re.match(ours.prefix, student))


@given(st.lists(students, unique=True))
def test_without_a_key_they_are_their_own_ids(ids: list[str]) -> None:
    plain = Labels(students=tuple(ids))
    assert [plain.label(student) for student in ids] == ids
    assert all(plain.named(student) for student in ids)
    assert recognised([stack(student) for student in ids], plain) == tuple(stack(student) for student in ids)


def test_a_stack_keeps_its_name_and_gets_its_student() -> None:
    labels = Labels(KEY, ("s001",))
    known, unknown = labels.label("s001"), labels.label("s002")
    found = recognised([stack(known), stack(unknown)], labels)
    assert [(each.name, each.student) for each in found] == [
        (f"demo-26J-{known}", "s001"),
        (f"demo-26J-{unknown}", unknown),
    ]
    assert "key=" not in repr(labels)
