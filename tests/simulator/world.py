"""A course, a class and a cloud that suits them: what the tests and the benchmarks launch."""

from provision.core.course_file import parse_course
from provision.core.roster import Student
from provision.workflows.orders import Order

from .state import PROJECT, Cloud

COURSE = parse_course(
    """
[course]
name = "demo"
title = "Demo"
[box]
file = "demo.box"
[machine]
vcpus = 1
memory_mb = 1024
disk_gb = 5
[user]
name = "student"
group = "student"
[public]
tls = "none"
""",
    "course.toml",
)
COHORT, PRESENTATION = "demo-26J", "26J"
IMAGE_ID = "70000000-0000-4000-8000-000000000001"


def add_image(cloud: Cloud) -> None:
    """Publish the course's image."""
    cloud.images[IMAGE_ID] = {
        "id": IMAGE_ID,
        "name": COHORT,
        "status": "active",
        "visibility": "private",
        "owner": PROJECT,
        "protected": False,
        "os_hidden": False,
        "disk_format": "qcow2",
        "container_format": "bare",
        "size": 2**30,
        "virtual_size": 5 * 2**30,
        "min_disk": 5,
        "min_ram": 512,
        "tags": ["provision"],
        "created_at": "2026-11-21T10:00:00Z",
        "updated_at": "2026-11-21T10:00:00Z",
        "provision_course": "demo",
        "provision_presentation": PRESENTATION,
        "provision_build": "build1",
        "provision_number": "1",
        "provision_promoted": "2026-11-21T11:00:00.000000Z",
    }


def order(count: int) -> Order:
    """A class of that many."""
    students = tuple(Student(f"s{number:04}", f"Student {number}", f"s{number}@x.org") for number in range(count))
    return Order(COURSE, COHORT, PRESENTATION, students)
