"""course.toml in full: ten mistakes report ten, and lines are known for whatever TOML can say."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.core.course_file import parse_course
from provision.core.toml_lines import Path, toml_lines
from provision.core.toml_schema import written
from provision.core.variables import role_variables
from provision.errors import InvalidInputError

FULL = """\
[course]
name = "tm351"
title = "Data management and analysis"
[box]
build = "build-box"
[machine]
vcpus = 1
memory_mb = 2048
disk_gb = 10
[user]
name = "oustudent"
group = "users"
folders = ["notebooks", "work/own"]
content = "/srv/notebooks"
[public]
tls = "own"
name = "tm351.example.ac.uk"
[jupyter]
packages = ["pandas>=2"]
idle_minutes = 30
[nbdime]
[openrefine]
memory_mb = 700
[postgresql]
databases = ["tm351"]
[[application]]
name = "docs"
title = "Course documents"
port = 8000
command = "/usr/bin/python3 -m http.server 8000"
[[application]]
name = "shiny"
title = "R"
port = 3838
[offline]
packages = ["pandas>=2", "openpyxl"]
data = "/srv/course-data"
proxy = "http://proxy.example.ac.uk:3128"
"""

TEN = """\
[course]
name = "TM 351"
titel = "Data management"
[box]
build = "build-box"
file = "tm351.box"
[machine]
vcpus = "1"
memory_mb = 2048
disk_gb = 10
[user]
name = "oustudent"
group = "users"
folders = ["notebooks", "../outside"]
[jupyter]
packages = ["pandas >> 2"]
[[application]]
name = "login"
title = "Ours"
port = 8000
[[application]]
name = "docs"
title = "Documents"
port = 8000
[[application]]
name = "more"
title = "More"
port = 8888
"""
REPORTED = (
    "public: is missing: a table [public] with tls",
    "line 1: course.title: is missing (The course's name as people read it)",
    "line 2: course.name: must be 1 to 32 small letters and digits, a letter first (such as tm351), not 'TM 351'",
    "line 3: course.titel: is not a key that course.toml knows; did you mean title?",
    "line 4: box: needs exactly one of build and file",
    "line 8: machine.vcpus: should be a whole number, without quotes or a point, not '1'",
    "line 14: user.folders[2]: must be a folder below the home, of letters, digits, '.', '_' and '-': not absolute,"
    " without .., not '../outside'",
    "line 16: jupyter.packages[1]: is no pip requirement (such as pandas>=2): 'pandas >> 2': ",
    "line 18: application[1].name: is taken: /login/ is the machine's own",
    "line 24: application[2].port: 8000 is the port of application[1] already",
    "line 28: application[3].port: is taken: Jupyter listens on 8888",
)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidInputError) as caught:
        parse_course(text, "course.toml")
    return caught.value.problems


def test_a_course_toml_with_ten_mistakes_reports_ten() -> None:
    """The misspelt title is one mistake and two lines: what is not known, and what is missing."""
    found = problems(TEN)
    assert len(found) == len(REPORTED) == 11
    for said, wanted in zip(found, REPORTED, strict=True):
        assert said.startswith(wanted)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('tls = "own"', "", "line 15: public.tls: is missing ("),
        ('tls = "own"', 'tls = "yes"', "line 16: public.tls: should be 'none' or 'own', not 'yes'"),
        ('tls = "own"', 'tls = "own"\ncertificate = "x.pem"', "line 17: public.certificate: needs certificate_key"),
        ('tls = "own"', 'tls = "none"\ncertificate_key = "x"', "line 17: public.certificate_key: means nothing with"),
        ('tls = "own"', 'tls = "none"', 'line 17: public.name: means nothing with tls = "none"'),
        ('name = "tm351.example.ac.uk"', 'name = "http://x"', "line 17: public.name: must be a whole host name"),
        ('"work/own"', '"/etc"', "line 13: user.folders[2]: must be a folder below the home"),
        ('["notebooks", "work/own"]', "[]", "line 13: user.folders: must name at least one"),
        ('"work/own"', '"notebooks"', "line 13: user.folders[2]: 'notebooks' is in the list already, as number 1"),
        ('"/srv/notebooks"', '"notebooks"', "line 14: user.content: must be an absolute path"),
        ('name = "oustudent"', 'name = "vagrant"', "line 11: user.name: must be an ordinary user, not vagrant"),
        ("memory_mb = 700", "memory_mb = 4096", "line 23: openrefine.memory_mb: 4096 is not less than the machine's"),
        ('["tm351"]', '["tm351", "TM351"]', "line 25: postgresql.databases[2]: must be small letters"),
        ('["tm351"]', '["template1"]', "line 25: postgresql.databases[1]: must be a database of the course's own"),
        ('databases = ["tm351"]', "", "line 24: postgresql.databases: is missing ("),
        ('name = "shiny"', 'name = "docs"', "line 32: application[2].name: 'docs' is the name of application[1]"),
        ("port = 3838", "port = 70000", "line 34: application[2].port: should be less than or equal to 65535"),
        ("port = 3838", "port = 22", "line 34: application[2].port: is taken: ssh listens on 22"),
        ("port = 3838", "port = true", "line 34: application[2].port: should be a whole number, without quotes"),
        ("port = 3838", "prot = 3838", "line 34: application[2].prot: is not a key that course.toml knows; did you"),
        ("-m http.server", "-m http.server &&", "line 30: application[1].command: is not run by a shell, which &&"),
        ('"/usr/bin/python3 -m', '"/usr/bin/python3 \'-m', "line 30: application[1].command: has a quote that"),
        ('"openpyxl"]', '"Pandas==2"]', "line 36: offline.packages[2]: 'pandas; None' is in the list"),
        ("http://proxy", "http://me:secret@proxy", "line 38: offline.proxy: must be http://HOST:PORT, without user"),
        ("idle_minutes = 30", "idle_minutes = 0", "line 20: jupyter.idle_minutes: should be greater"),
        ("idle_minutes = 30", "databases = []", "line 20: jupyter.databases: is not a key that course.toml knows"),
        ("[nbdime]", "[nbdime]\nport = 1", "line 22: nbdime.port: is not a key that course.toml knows; it is a key of"),
        ("[[application]]\nname = \"docs\"", "[application]\nname = \"docs\"", "line 31: "),
        ("[nbdime]", "[[nbdime]]", "line 21: nbdime: should be one table"),
        ("[nbdime]", "[nbdimes]", "line 21: nbdimes: is not a key that course.toml knows; did you mean nbdime?"),
        ("[course]", 'title = "x"\n[course]', "line 1: title: is not a key that course.toml knows; it is"),
        ('"Data management and analysis"', '"a\\nb"', "line 3: course.title: must be one line"),
        ('"Data management and analysis"', '""', "line 3: course.title: must not be empty"),
        ("vcpus = 1", "vcpus = 1.0", "line 7: machine.vcpus: should be a whole number, without quotes or a point"),
        ("vcpus = 1", f"vcpus = {'1' * 5000}", "Exceeds the limit"),
        ("vcpus = 1", f"vcpus = {'[' * 20000}", "maximum recursion depth"),
        ("vcpus = 1", "vcpus = ", "line 7: Invalid value"),
        ("[openrefine]", "[nbdime]", "line 22: Cannot declare ('nbdime',) twice"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line_and_its_words(old: str, new: str, problem: str) -> None:
    found = problems(FULL.replace(old, new, 1))
    assert any(said.startswith(problem) for said in found), found


def test_what_the_roles_are_told() -> None:
    told = role_variables(parse_course(FULL, "course.toml"))
    docs = {"name": "docs", "title": "Course documents", "port": 8000}
    shiny = {"name": "shiny", "title": "R", "port": 3838}
    refine = {"name": "openrefine", "title": "OpenRefine", "port": 3334}
    assert told["nginx_proxy_applications"] == [
        refine,
        {"name": "nbdime", "title": "nbdime", "port": 8899},
        docs,
        shiny,
    ]
    assert told["application_list"] == [{**docs, "command": "/usr/bin/python3 -m http.server 8000"}, shiny]
    assert told["course_user_folders"] == ["notebooks", "work/own", "openrefine-projects"]
    assert (told["jupyter_folder"], told["openrefine_memory_mb"]) == ("/home/oustudent/notebooks", 700)
    assert (told["hardening_ports"], told["nginx_proxy_tls"], told["postgresql_databases"]) == (
        [80, 443],
        "own",
        ["tm351"],
    )
    assert (told["offline_data"], told["nginx_proxy_data"]) == ("/srv/course-data", "/srv/course-data")


def test_what_is_left_out_is_off() -> None:
    least = FULL.partition("[nbdime]")[0].replace('"own"', '"none"').replace('name = "tm351.example.ac.uk"', "")
    told = role_variables(parse_course(least, "course.toml"))
    assert (told["nbdime_enabled"], told["openrefine_enabled"], told["postgresql_databases"]) == (False, False, [])
    assert (told["nginx_proxy_applications"], told["application_list"], told["nginx_proxy_name"]) == ([], [], "")
    assert (told["hardening_ports"], told["offline_proxy"], told["offline_data"]) == ([80], "", "")


def paths(value: Any, here: Path = ()) -> set[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ({here} if here else set()) | {path for key, each in inner for path in paths(each, (*here, key))}


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(TEXTS, st.integers(), st.booleans())
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), max_size=3))
def test_each_key_and_element_has_its_line(data: dict[str, dict[str, Any]]) -> None:
    text, lines = "# one\n", {}
    for name, table in data.items():
        text += f"[ {written(name)} ] # [x]\n"
        for key, value in table.items():
            lines[name, key] = text.count("\n") + 1
            text += f"{written(key)} = {written(value)}\n"
    assert tomllib.loads(text) == data
    found = toml_lines(text)
    assert set(found) == paths(data)
    assert {path: found[path] for path in lines} == lines


def test_lines_of_all_that_toml_allows() -> None:
    text = """\
a.'b c'."d\\u00e9" = 1.5 # x = 1
when = 1979-05-27 07:32:00
long = \"\"\"
[no]
x = "1\\"\\"\\"
\"\"\"
inline = { x = [1,
  2], y = {} }
[[t.u]]
list = [
  'one', # [
  [
    3 ],
]
[t.u.v]
k = '''a
b'''
[[t.u]]
list = []
"""
    found = toml_lines(text)
    assert set(found) >= paths(tomllib.loads(text))
    wanted = {
        ("a", "b c", "dé"): 1, ("when",): 2, ("long",): 3, ("inline", "x", 1): 8, ("inline", "y"): 8, ("t", "u", 0): 9,
        ("t", "u", 0, "list", 0): 11, ("t", "u", 0, "list", 1, 0): 13, ("t", "u", 0, "v", "k"): 16,
        ("t", "u", 1): 18, ("t", "u", 1, "list"): 19,
    }  # fmt: skip
    assert {path: found[path] for path in wanted} == wanted
