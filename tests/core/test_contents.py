"""What differs between two builds, as a table."""

import pytest

from provision.core.contents import Change, Contents, diff_contents, parse_contents
from provision.errors import InvalidInputError

OLD = Contents(
    packages={"nginx": "1.22.1-9", "vim": "9.0"},
    pip={"jupyterlab": "4.2"},
    services=("jupyter.service",),
    ports=("127.0.0.1:8888", "0.0.0.0:80"),
    files={"notebooks/a.ipynb": "1" * 64, "notebooks/b.csv": 10},
    size=1000,
)


def changed(**more: object) -> Contents:
    return OLD.model_copy(update=more)


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (OLD, []),  # nothing differs
        (changed(ports=("0.0.0.0:80", "127.0.0.1:8888")), []),  # nor does an order
        (changed(packages={"nginx": "1.24", "vim": "9.0"}), [Change("package", "nginx", "1.22.1-9", "1.24")]),
        (
            changed(packages={"nginx": "1.22.1-9", "apt": "2.6"}),
            [Change("package", "apt", None, "2.6"), Change("package", "vim", "9.0", None)],
        ),
        (changed(pip={}), [Change("pip", "jupyterlab", "4.2", None)]),
        (changed(services=()), [Change("service", "jupyter.service", "enabled", None)]),
        (changed(ports=("0.0.0.0:80",)), [Change("port", "127.0.0.1:8888", "open", None)]),
        (
            changed(files={"notebooks/a.ipynb": "2" * 64, "notebooks/b.csv": 11}),
            [
                Change("file", "notebooks/a.ipynb", "1" * 64, "2" * 64),
                Change("file", "notebooks/b.csv", 10, 11),
            ],
        ),
        (changed(size=0), [Change("size", "bytes", 1000, 0)]),
    ],
)
def test_diff(after: Contents, changes: list[Change]) -> None:
    assert diff_contents(OLD, after) == tuple(changes)


def test_the_other_way_round_it_is_the_opposite() -> None:
    there, back = diff_contents(OLD, Contents()), diff_contents(Contents(), OLD)
    assert {change.change for change in there} == {"removed", "changed"}  # the size changes
    assert {change.change for change in back} == {"added", "changed"}
    assert [(each.kind, each.name, each.after, each.before) for each in back] == [
        (each.kind, each.name, each.before, each.after) for each in there
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the whole: Invalid JSON"),
        ("[]", "the whole: Input should be an object"),
        ('{"packages": {"vim": 9}}', "packages.vim: Input should be a valid string"),
        ('{"services": "jupyter"}', "services: Input should be a valid"),
        ('{"size": "large"}', "size: Input should be a valid integer"),
    ],
)
def test_what_is_no_list_of_contents(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=r"contents\.json is no list of a build's contents") as caught:
        parse_contents(text, "contents.json")
    assert words in caught.value.message


def test_what_was_written_is_read() -> None:
    assert parse_contents(OLD.model_dump_json(), "contents.json") == OLD
