"""What the roles are told of a course: their variables, each named after its role."""

from provision.core.course import Course

NBDIME_PORT, OPENREFINE_PORT = 8899, 3334
OPENREFINE_FOLDER = "openrefine-projects"
HTTP_PORT, HTTPS_PORT = 80, 443


def role_variables(course: Course) -> dict[str, object]:
    """The variables of all roles for a course."""
    return {
        **_user(course),
        **_services(course),
        **_applications(course),
        "nginx_proxy_tls": course.public.tls,
        "nginx_proxy_name": course.public.name or "",
        "nginx_proxy_applications": _proxied(course),
        "nginx_proxy_databases": course.postgresql is not None,
        "nginx_proxy_data": course.offline.data or "",
        "offline_packages": list(course.offline.packages),
        "offline_data": course.offline.data or "",
        "offline_proxy": course.offline.proxy or "",
        **{f"{role}_ports": _public_ports(course) for role in ("hardening", "caretaker")},
    }


def _public_ports(course: Course) -> list[int]:
    return [HTTP_PORT] if course.public.tls == "none" else [HTTP_PORT, HTTPS_PORT]


def _user(course: Course) -> dict[str, object]:
    user = course.user
    folders = [*user.folders, *([OPENREFINE_FOLDER] if course.openrefine else [])]
    owners = ("jupyter", "openrefine", "nbdime", "application", "first_boot")
    return {
        "course_user_name": user.name,
        "course_user_group": user.group,
        "course_user_folders": list(dict.fromkeys(folders)),
        "course_user_content": user.content,
        **{f"{role}_user": user.name for role in owners},
        **{f"{role}_group": user.group for role in owners},
        "caretaker_user": user.name,
        "caretaker_folders": list(dict.fromkeys(folders)),
        "ssh_keys_allowed_users": [user.name],
    }


def _services(course: Course) -> dict[str, object]:
    home = f"/home/{course.user.name}"
    notebooks = f"{home}/{course.user.folders[0]}"
    variables: dict[str, object] = {
        "jupyter_packages": list(course.jupyter.packages),
        "jupyter_folder": notebooks,
        "jupyter_idle_minutes": course.jupyter.idle_minutes,
        "nbdime_enabled": course.nbdime is not None,
        "nbdime_folder": notebooks,
        "openrefine_enabled": course.openrefine is not None,
        "openrefine_folder": f"{home}/{OPENREFINE_FOLDER}",
        "postgresql_databases": list(course.postgresql.databases) if course.postgresql else [],
        "postgresql_user": course.user.name,
    }
    if course.openrefine:
        variables["openrefine_memory_mb"] = course.openrefine.memory_mb
    return variables


def _applications(course: Course) -> dict[str, object]:
    return {"application_list": [each.model_dump(exclude_none=True) for each in course.application]}


def _proxied(course: Course) -> list[dict[str, object]]:
    """All that nginx serves behind Jupyter's login, in the order in which people see it."""
    own = (("openrefine", "OpenRefine", OPENREFINE_PORT), ("nbdime", "nbdime", NBDIME_PORT))
    there = [dict(zip(("name", "title", "port"), each, strict=True)) for each in own if getattr(course, each[0])]
    return there + [each.model_dump(include={"name", "title", "port"}) for each in course.application]
