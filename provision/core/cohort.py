"""cohort.toml: whose machines are made, where, how they are reached and until when. Titles are the reference's."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from provision.core import values
from provision.core.values import Text


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class CohortTable(_Table):
    """Who it is: one presentation of a course, and its students."""

    course: Annotated[
        values.CourseOrFile,
        Field(
            title="Course",
            description="The course's name, or the path of its course.toml from this file",
            examples=["tm351"],
        ),
    ]
    presentation: Annotated[
        values.Presentation,
        Field(title="Presentation", description="The presentation whose image the machines get", examples=["26J"]),
    ]
    roster: Annotated[
        Text,
        Field(title="Roster", description="The CSV file of its students; its path from this file"),
    ] = "roster.csv"
    start: Annotated[
        date | None, Field(title="Start", description="The first day of the course", examples=[date(2026, 10, 3)])
    ] = None
    end: Annotated[
        date | None,
        Field(title="End", description="The last day on which machines are needed", examples=[date(2027, 6, 30)]),
    ] = None
    privacy: Annotated[
        bool,
        Field(
            title="Privacy",
            description="Names and e-mail addresses never go to the cloud; with true, students' ids do not either:"
            " their machines bear labels made with a key beside the handouts. Decide before the first launch",
        ),
    ] = False


class Cloud(_Table):
    """The cloud and the project that it runs in."""

    name: Annotated[
        Text | None,
        Field(
            title="Name",
            description="The cloud, as clouds.yaml names it; otherwise the one that OS_CLOUD or OS_* name",
            examples=["mycloud"],
        ),
    ] = None
    tenancy: Annotated[
        Literal["one project", "project per student"],
        Field(
            title="Tenancy",
            description='"one project" holds all machines; with "project per student" each student owns the machine',
        ),
    ] = "one project"
    stack_limit: Annotated[
        int | None,
        Field(
            ge=1,
            title="Stack limit",
            description="How many stacks Heat lets the project have, if the operator has told: nobody else can ask for"
            " it, and 512 is usual",
            examples=[2000],
        ),
    ] = None


class Projects(_Table):
    """Students' own projects, with tenancy = "project per student"."""

    users: Annotated[
        Literal["none", "existing", "create"],
        Field(
            title="Users",
            description='Whether students are users of the cloud, named by their ids in the roster: "existing" must be'
            ' there, "create" makes who is not, with "none" only the operator enters their projects',
        ),
    ] = "existing"
    roles: Annotated[
        tuple[Text, ...],
        Field(strict=False, title="Roles", description="What a student is in the project, in the cloud's words"),
    ] = ("member",)
    domain: Annotated[
        Text | None,
        Field(
            title="Domain",
            description="The domain of projects and users; otherwise the operator's own",
            examples=["students"],
        ),
    ] = None


class Machine(_Table):
    """What every machine is made from."""

    flavor: Annotated[
        Text | None,
        Field(title="Flavor", description="Otherwise the smallest that fits course and image", examples=["m1.small"]),
    ] = None
    image: Annotated[
        Text | None,
        Field(
            title="Image",
            description="An id, a name or a build (tm351-26J:3); otherwise the presentation's current build",
            examples=["tm351-26J:3"],
        ),
    ] = None


class Network(_Table):
    """How machines are connected."""

    external_network: Annotated[
        Text | None,
        Field(
            title="External network",
            description="The network that gives public addresses; may be left out where there is only one",
            examples=["public"],
        ),
    ] = None
    shape: Annotated[
        Literal["private", "shared"],
        Field(
            title="Shape",
            description='"private" gives each student a network and a router; in "shared" up to 200 students share'
            " them, and cannot reach each other",
        ),
    ] = "private"
    floating_ip: Annotated[
        bool,
        Field(
            title="Floating IP",
            description="With false no machine has a public address: they are reached through a gateway machine",
        ),
    ] = True


class Access(_Table):
    """From where machines may be reached. All else is closed."""

    web: Annotated[
        values.CIDR,
        Field(title="Web", description="Who may open the machines' pages (ports 80 and 443); 0.0.0.0/0 is anywhere"),
    ] = "0.0.0.0/0"
    ssh: Annotated[
        values.CIDR | None,
        Field(
            title="SSH",
            description="Who may use SSH (port 22), this computer among them; without it the port is closed",
            examples=["192.0.2.0/24"],
        ),
    ] = None


class Pool(_Table):
    """Machines started ahead of need."""

    size: Annotated[
        int, Field(ge=0, le=1000, title="Size", description="How many wait for a student who comes unannounced")
    ] = 0
    timetable: Annotated[
        tuple[values.Hours, ...],
        Field(
            strict=False,
            title="Timetable",
            description="At which hours more wait: days, from-until by this computer's clock, and how many",
            examples=[["mon,wed 09:00-11:00 40", "weekdays 08:00-18:00 5"]],
        ),
    ] = ()
    ahead: Annotated[
        int, Field(ge=1, le=1440, title="Ahead", description="Minutes before those hours at which they are begun")
    ] = 30
    idle: Annotated[
        int,
        Field(
            ge=1, le=10080, title="Idle", description="Minutes without a student after which surplus ones are deleted"
        ),
    ] = 60


class Handouts(_Table):
    """What each student is given to read once the machine is ready."""

    template: Annotated[
        Text,
        Field(
            title="Template",
            description='"text" and "html" come with the package; otherwise a Jinja2 template, its path from this file:'
            " .html is HTML, anything else plain text",
        ),
    ] = "text"
    help: Annotated[Text, Field(title="Help", description="How a student gets help, in words that end the letter")] = (
        "ask who gave you this letter."
    )


class Columns(_Table):
    """What the registry calls the roster's columns. With this table, all other columns of the roster are ignored."""

    id: Annotated[Text, Field(title="Id", description="The student's id, unique and short")] = "id"
    name: Annotated[
        Text,
        Field(
            title="Name",
            description='The student\'s name; several columns are joined by + ("First name + Last name")',
        ),
    ] = "name"
    email: Annotated[Text, Field(title="E-mail", description="The student's e-mail address")] = "email"
    ssh_keys: Annotated[
        Text, Field(title="SSH keys", description="Public keys, several joined by |; the column may be missing")
    ] = "ssh_keys"


class Cohort(_Table):
    """Whose machines are made, where, how they are reached and until when."""

    model_config = ConfigDict(title="cohort.toml")

    cohort: Annotated[CohortTable, Field(title="Cohort")]
    cloud: Annotated[Cloud, Field(title="Cloud")] = Cloud()
    projects: Annotated[Projects, Field(title="Projects")] = Projects()
    machine: Annotated[Machine, Field(title="Machines")] = Machine()
    network: Annotated[Network, Field(title="Network")] = Network()
    access: Annotated[Access, Field(title="Access")] = Access()
    pool: Annotated[Pool, Field(title="Pool")] = Pool()
    handouts: Annotated[Handouts, Field(title="Handouts")] = Handouts()
    columns: Annotated[Columns | None, Field(title="Columns of the roster")] = None
