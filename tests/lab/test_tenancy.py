"""A project for each student on the real cloud: made by its Keystone, owned by its users, and gone without a trace.

No machine need get ready: its image is a few empty megabytes, and what is proved is whose it is.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cloud.connection import connect
from provision.cloud.projects import enter, find_projects
from provision.cloud.stacks import observe_stacks
from provision.core.naming import cohort_tag

from .test_cohort import census, provision

COHORT = """\
[cohort]
course = "demo"
presentation = "OWN"
[cloud]
name = "lab-admin"
tenancy = "project per student"
[projects]
users = "create"
[machine]
image = "{image}"
flavor = "tenancy"
"""
TAG = cohort_tag("demo-OWN")
LAUNCH = ("cohort", "launch", ".", "--progress", "plain", "--format", "json", "--deadline", "120")


@pytest.fixture(scope="module")
def folder(lab: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cohort of two, an image that boots nothing, and a flavor that takes next to nothing."""
    made, cloud = tmp_path_factory.mktemp("tenancy"), connect("lab-admin")
    image = cloud.image.create_image("tenancy", disk_format="raw", container_format="bare", data=os.urandom(2**20))
    flavor = cloud.compute.create_flavor(name="tenancy", vcpus=1, ram=1024, disk=6)
    (made / "cohort.toml").write_text(COHORT.format(image=image.id))
    (made / "roster.csv").write_text("id,name,email\nown1,Ada,ada@example.org\nown2,Alan,alan@example.org\n")
    try:
        yield made
    finally:
        provision(made, "cohort", "delete", ".", "--yes", "--before-end", seconds=600)
        cloud.compute.delete_flavor(flavor)
        cloud.image.delete_image(image.id)


def test_students_own_their_machines_and_nothing_stays(folder: Path) -> None:
    cloud, before = connect("lab-admin"), census()
    for _ in range(2):  # the second completes, and makes nothing twice
        done = provision(folder, *LAUNCH, seconds=900)
        outcomes = {each["student"]: each for each in json.loads(done.stdout)}
        assert outcomes.keys() == {"own1", "own2"}, done.stderr
        assert not [each for each in outcomes.values() if each.get("stage") in ("project", "create")], done.stdout
        projects = find_projects(cloud, TAG)
        assert [each.name for each in projects] == ["demo-OWN-own1", "demo-OWN-own2"]
    for project in projects:
        inside = enter(cloud, project)
        assert [stack.name for stack in observe_stacks(inside, TAG)] == [project.name]
        assert inside.current_project_id == project.id
        owner = cloud.identity.find_user(project.label)
        assert owner is not None
        query = f"?user.id={owner.id}&scope.project.id={project.id}&include_names=true"
        held = cloud.identity.get(f"/role_assignments{query}").json()["role_assignments"]
        assert [each["role"]["name"] for each in held] == ["member"]
        assert cloud.compute.get(f"/os-quota-sets/{project.id}").json()["quota_set"]["instances"] == 1
    planned = provision(folder, "cohort", "plan", ".", "--format", "json")
    assert len(json.loads(planned.stdout)) == 2, planned.stderr
    deleted = provision(folder, "cohort", "delete", ".", "--yes", seconds=600)
    assert deleted.returncode == 0, deleted.stderr
    assert find_projects(cloud, TAG) == ()
    assert [user for user in ("own1", "own2") if cloud.identity.find_user(user)] == []
    groups = {group.project_id for group in cloud.network.security_groups()}
    assert groups.isdisjoint(project.id for project in projects)
    assert census() == before
