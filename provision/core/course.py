"""course.toml: what a course's machine is made from and what it needs. Titles and descriptions are the reference's."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from provision.core import values
from provision.core.values import ApplicationName, BoxFolder, CourseName, Database, HomeFolder, LoginName, Text


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class CourseTable(_Table):
    """Who it is."""

    name: Annotated[
        CourseName,
        Field(
            title="Name",
            description="Short name; part of every name on the cloud",
            examples=["tm351"],
        ),
    ]
    title: Annotated[
        Text,
        Field(
            title="Title", description="The course's name as people read it", examples=["Data management and analysis"]
        ),
    ]


class Box(_Table):
    """The VirtualBox source: exactly one of the two."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["build"]}, {"required": ["file"]}]})

    build: Annotated[
        values.Beside | None,
        Field(
            title="Program",
            description="A program beside this file that makes the box: `BUILD TARGET.box`",
            examples=["build-box"],
        ),
    ] = None
    file: Annotated[
        values.Beside | None,
        Field(
            title="File",
            description="A disk beside this file: .box, .ova, .vmdk, .vdi, .qcow2 or raw",
            examples=["course.box"],
        ),
    ] = None


class Machine(_Table):
    """The smallest machine that the course runs on; the flavor is chosen by it."""

    vcpus: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            title="Processors",
            description="Virtual processors",
            examples=[1],
        ),
    ]
    memory_mb: Annotated[
        int,
        Field(
            ge=256,
            le=1024 * 1024,
            title="Memory",
            description="Memory in MiB",
            examples=[2048],
        ),
    ]
    disk_gb: Annotated[
        int,
        Field(
            ge=1,
            le=4096,
            title="Disk",
            description="Disk in GiB",
            examples=[10],
        ),
    ]


class User(_Table):
    """The account in which a student works."""

    name: Annotated[
        LoginName,
        Field(
            title="Name",
            description="Login name; its home is /home/NAME",
            examples=["student"],
        ),
    ]
    group: Annotated[
        LoginName,
        Field(
            title="Group",
            description="Group, made if it is not there",
            examples=["student"],
        ),
    ]
    folders: Annotated[
        tuple[HomeFolder, ...],
        Field(
            strict=False,
            min_length=1,
            title="Folders",
            description="Folders in the home, made again before each start when they are gone; the first is Jupyter's",
        ),
    ] = ("notebooks",)
    content: Annotated[
        BoxFolder,
        Field(title="Content", description="Folder of the box that is copied once into the first folder, if it exists"),
    ] = "/home/vagrant/notebooks"


class Public(_Table):
    """How the machine is seen from outside."""

    tls: Annotated[
        Literal["none", "own"],
        Field(
            title="TLS",
            description='"none" is plain HTTP, and the student\'s page says so; "own" is HTTPS with a certificate that'
            " each machine makes for itself, until it is given another",
            examples=["none"],
        ),
    ]
    name: Annotated[
        values.HostName | None,
        Field(
            title="Name",
            description='The public host name, if there is one: it is in the certificate that tls = "own" makes',
            examples=["tm351.example.ac.uk"],
        ),
    ] = None
    certificate: Annotated[
        values.Beside | None,
        Field(
            title="Certificate",
            description="A certificate with its chain (PEM) beside this file, for each machine in place of its own",
            examples=["certificate.pem"],
        ),
    ] = None
    certificate_key: Annotated[
        values.Beside | None,
        Field(
            title="Its key",
            description="The certificate's key beside this file (PEM, no password); who gets at the image has it",
            examples=["key.pem"],
        ),
    ] = None


class Jupyter(_Table):
    """JupyterLab, which every machine has."""

    packages: Annotated[
        tuple[values.Requirement, ...],
        Field(strict=False, title="Packages", description="pip requirements installed beside JupyterLab"),
    ] = ()
    idle_minutes: Annotated[
        int,
        Field(ge=1, le=10080, title="Idle minutes", description="A kernel idle for so long is ended, a busy one never"),
    ] = 60


class Nbdime(_Table):
    """Pages that show how two notebooks differ, at /nbdime/. The table's presence turns it on."""


class OpenRefine(_Table):
    """OpenRefine, at /openrefine/. The table's presence turns it on; projects are in the home's openrefine-projects."""

    memory_mb: Annotated[
        int, Field(ge=256, le=64 * 1024, title="Memory", description="Java's heap in MiB; it needs some 400 more")
    ] = 512


class PostgreSQL(_Table):
    """PostgreSQL on the machine alone. The course's user has a role of its own name and needs no password."""

    databases: Annotated[
        tuple[Database, ...],
        Field(
            strict=False,
            min_length=1,
            title="Databases",
            description="Databases that the course's user may read and write; those that are missing are made",
            examples=[["course"]],
        ),
    ]


class Application(_Table):
    """A further web application that listens on 127.0.0.1, served at /NAME/ behind Jupyter's login; any number."""

    name: Annotated[
        ApplicationName,
        Field(
            title="Name",
            description="It is served at /NAME/",
            examples=["docs"],
        ),
    ]
    title: Annotated[
        Text,
        Field(
            title="Title",
            description="What people call it",
            examples=["Course documents"],
        ),
    ]
    port: Annotated[
        values.Port,
        Field(
            title="Port",
            description="Its port on 127.0.0.1; it is served at /proxy/PORT/ too",
            examples=[8000],
        ),
    ]
    command: Annotated[
        values.Command | None,
        Field(
            title="Command",
            description="How systemd starts it as the course's user, without a shell; it stays in the foreground."
            " Without a command it is the box's own service",
            examples=["/usr/bin/python3 -m http.server --bind 127.0.0.1 8000"],
        ),
    ] = None


class Offline(_Table):
    """What a machine can do with no route out."""

    packages: Annotated[
        tuple[values.Requirement, ...],
        Field(strict=False, title="Packages", description="pip requirements that can be installed with no network"),
    ] = ()
    data: Annotated[
        BoxFolder | None,
        Field(
            title="Data",
            description="Folder of the box that is served read-only at /data/ behind the login",
            examples=["/srv/course-data"],
        ),
    ] = None
    proxy: Annotated[
        values.ProxyURL | None,
        Field(
            title="Proxy",
            description="The faculty's HTTP proxy, if it has one; it decides what is let through",
            examples=["http://proxy.example.ac.uk:3128"],
        ),
    ] = None


class Course(_Table):
    """What a course's machine is made from and what it needs."""

    model_config = ConfigDict(title="course.toml")

    course: Annotated[CourseTable, Field(title="Course")]
    box: Annotated[Box, Field(title="Box")]
    machine: Annotated[Machine, Field(title="Machine")]
    user: Annotated[User, Field(title="User")]
    public: Annotated[Public, Field(title="Public port")]
    jupyter: Annotated[Jupyter, Field(title="JupyterLab")] = Jupyter()
    nbdime: Annotated[Nbdime | None, Field(title="nbdime")] = None
    openrefine: Annotated[OpenRefine | None, Field(title="OpenRefine")] = None
    postgresql: Annotated[PostgreSQL | None, Field(title="PostgreSQL")] = None
    application: Annotated[tuple[Application, ...], Field(strict=False, title="Applications")] = ()
    offline: Annotated[Offline, Field(title="Offline")] = Offline()

    @property
    def name(self) -> str:
        """The course's short name, such as tm351."""
        return self.course.name

    @property
    def title(self) -> str:
        """The course's name as people read it."""
        return self.course.title

    @property
    def scheme(self) -> str:
        """How its machines are addressed: "http" or "https"."""
        return "http" if self.public.tls == "none" else "https"
