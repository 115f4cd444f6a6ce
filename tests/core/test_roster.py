"""roster.csv: read as registries and Excel write it; every bad row at once, with its line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.cohort import Columns
from provision.core.roster import Student, parse_roster
from provision.errors import InvalidInputError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
ADA = Student("s1", "Ada", "ada@x.org")
HEAD = "id,name,email,ssh_keys\n"


@pytest.mark.parametrize(
    "text",
    [
        "id,name,email\ns1,Ada,ada@x.org\n",
        "id,name,email\ns1,Ada,ada@x.org",
        "\ufeffid,name,email\r\ns1,Ada,ada@x.org\r\n",
        "id;name;email\ns1;Ada;ada@x.org\n",
        "id\tname\temail\ns1\tAda\tada@x.org\n",
        '"id","name","email"\n"s1","Ada","ada@x.org"\n',
        "\n\nID, Name ,EMAIL\n\n s1 , Ada , ada@x.org \n\n,,\n",
        "email,id,name,,\nada@x.org,s1,Ada,,\n",
        "sep=;\r\nid;name;email\r\ns1;Ada;ada@x.org\r\n",
        'id;"name";email\rs1;"Ada";ada@x.org\r',
    ],
)
def test_every_usual_way_of_writing_is_read(text: str) -> None:
    assert parse_roster(text, "roster.csv") == (ADA,)


REGISTRY = Columns(id="Student PI", name="First name+ Family name", email="E-mail  address")


@pytest.mark.parametrize(
    "text",
    [
        "Student PI,Family name,First name,E-mail address,Grade\ns1,Byron,Ada,ada@x.org,A\n",
        "student  pi;FIRST NAME;Family Name;e-mail address;Grade;Grade\ns1;Ada;Byron;ada@x.org;A;B\n",
        '"Student PI";"First name";"Family name";"E-mail address";"Grade, last"\n"s1";"Ada";"Byron";"ada@x.org";""\n',
        "ssh_keys,Student PI,Family name,First name,E-mail address,name,id\n,s1,Byron,Ada,ada@x.org,,other\n",
    ],
)
def test_a_registrys_own_columns_are_mapped_and_its_others_ignored(text: str) -> None:
    assert parse_roster(text, "roster.csv", REGISTRY) == (Student("s1", "Ada Byron", "ada@x.org"),)


@pytest.mark.parametrize(
    ("columns", "header", "problems"),
    [
        (REGISTRY, "Student,First name,E-mail address",
         ["column 'Student PI' is missing", "column 'Family name' is missing", "its columns are Student, First"]),
        (REGISTRY, "Student PI,STUDENT PI,Family name,First name,E-mail address", ["'student pi' is there twice"]),
        (Columns(ssh_keys="Public key"), "id,name,email,Note", ["column 'Public key' is missing"]),
        (Columns(), "id,name,e-mail", ["column 'email' is missing"]),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_is_said(columns: Columns, header: str, problems: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_roster(f"{header}\ns1,Ada,ada@x.org\n", "roster.csv", columns)
    for words in problems:
        assert any(words in found for found in caught.value.problems)
    assert "[columns]" in str(caught.value.hint)


def test_keys_lose_their_comments_and_quoted_fields_keep_their_commas() -> None:
    text = f'{HEAD}s1,"Lovelace, Ada",ada@x.org,"{KEY} ada@home, the old one|{KEY}"\n'
    assert parse_roster(text, "roster.csv") == (Student("s1", "Lovelace, Ada", "ada@x.org", (KEY, KEY)),)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["it lists no student"]),
        ("id,name,email\n", ["it lists no student"]),
        ("id,name\ns1,Ada\n", ["line 1: column 'email' is missing"]),
        ("id,name,email,age\n", ["line 1: column 'age' is not known"]),
        ("id,name,email,id\n", ["line 1: column 'id' is there twice"]),
        ("id,name,email\ns1,Ada,a@x.org\nS1,Bob,b@x.org\n", ["line 3: id 'S1' is already on line 2"]),
        ("id,name,email\n,Ada,a@x.org\n", ["line 2: id is empty"]),
        ("id,name,email\ns1,Ada\n", ["line 2: email is empty"]),
        ("id,name,email\ns1,Ada,a@x.org,more\n", ["line 2: has 4 fields, but the header has 3"]),
        ("id,name,email\n../x,Ada,a@x.org\n", ["line 2: id '../x' must be 1 to 48 letters, digits, '.', '_' or '-',"]),
        ("id,name,email\ns1,A\x07a,a@x.org\n", ["line 2: name 'A\\x07a' holds a character that cannot be printed"]),
        ("id,name,email\ns1,Ada,ada\n", ["line 2: email 'ada' is not an address"]),
        ("id,name,email\ns1,A\x85a,a@x.org\n", ["line 2: name 'A\\x85a' holds a character that cannot be printed"]),
        ('id,name,email\ns1,"Ada,a@x.org\n', ["line 2: is not CSV: unexpected end of data"]),
        (HEAD + "s1,Ada,a@x.org,AAAA\n", ["line 2: ssh key 'AAAA' does not begin with a key type"]),
        (
            HEAD + "s1,Ada,a@x.org,command=sh ssh-rsa AAAA\n",
            ["line 2: ssh key 'command=sh ssh-rsa AAAA' does not begin"],
        ),
        (
            HEAD + "s1,Ada,a@x.org,ssh-rsa A!\n",
            ["line 2: ssh key 'ssh-rsa A!' is damaged: its second word is not base64"],
        ),
        (
            HEAD + f"s1,Ada,a@x.org,{KEY[:-12]}\n",
            ["line 2: ssh key 'ssh-ed25519 AAAAC3NzaC1lZDI...' is damaged: its data"],
        ),
        (
            HEAD + f"s1,Ada,a@x.org,{KEY.replace('ed25519', 'rsa')}\n",
            ["line 2: ssh key 'ssh-rsa AAAAC3NzaC1lZDI1NTE...' is"],
        ),
        (HEAD + "s1,Ada,a@x.org,-----BEGIN OPENSSH PRIVATE KEY-----\n", ["line 2: ssh_keys holds a private key"]),
        (
            'id,name,email\n"s 1","A\nda",x\n\ns2,Bob,b@x.org\ns2,Cy,c@x.org\n',
            [
                "line 2: name 'A\\nda' holds a character",
                "line 2: id 's 1' must be",
                "line 2: email 'x' is not an address",
                "line 6: id 's2' is already on line 5",
            ],
        ),
    ],
)
def test_every_problem_is_named_with_its_line(text: str, problems: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_roster(text, "roster.csv")
    assert [found[: len(words)] for found, words in zip(caught.value.problems, problems, strict=True)] == problems


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
rows = st.builds(
    Student,
    id=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,47}", fullmatch=True),
    name=words,
    email=st.from_regex(r"[a-z0-9.]{1,9}@[a-z]{1,9}\.[a-z]{2,3}", fullmatch=True),
    ssh_keys=st.sampled_from([(), (KEY,), (KEY, KEY)]),
)


@given(st.lists(rows, min_size=1, unique_by=lambda student: student.id), st.sampled_from(",;\t"), st.booleans())
def test_what_is_written_is_read_again(students: list[Student], delimiter: str, excel: bool) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n" if excel else "\n")
    writer.writerow(["id", "name", "email", "ssh_keys"])
    writer.writerows([student.id, student.name, student.email, "|".join(student.ssh_keys)] for student in students)
    assert parse_roster("\ufeff" * excel + text.getvalue(), "roster.csv") == tuple(students)
