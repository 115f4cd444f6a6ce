"""Finding and reading a course's file."""

from pathlib import Path

from provision.core.course import Course
from provision.core.course_file import parse_course
from provision.errors import InvalidInputError, NotFoundError
from provision.paths import data_path


def read_course(name: str) -> tuple[Course, Path]:
    """The course `name` (or a path to its folder or file), and its course.toml's place."""
    place = find_course(name)
    return parse_course(read_text(place), str(place)), place


def find_course(name: str) -> Path:
    """Where a course's file is: here, in ./images, or among those that came with the package."""
    given = Path(name)
    if given.suffix == ".toml":
        places = [given]
    else:
        places = [folder / "course.toml" for folder in (Path("images") / name, data_path("images") / name)]
        if "/" in name:
            places = [given / "course.toml"]
    for place in places:
        if place.is_file():
            return place
    shelves = (Path("images"), data_path("images"))
    there = sorted({path.parent.name for shelf in shelves for path in shelf.glob("*/course.toml")})
    raise NotFoundError(
        f"There is no course {name!r}: no file {' or '.join(map(str, places))}. Courses: {', '.join(there) or 'none'}.",
        hint="Give the course's name, or the path of its course.toml.",
    )


def read_text(place: Path) -> str:
    """What a person's editor or spreadsheet wrote. A byte order mark may still be its first letter."""
    try:
        data = place.read_bytes()
    except OSError as exc:
        raise NotFoundError(f"{place} cannot be read: {exc.strerror}.") from exc
    encoding = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "UTF-8"  # Excel's "Unicode text"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise InvalidInputError(
            f"{place} is not {encoding}: line {line} holds a byte that cannot be read.",
            hint='Save it again as UTF-8; in Excel: Save as, "CSV UTF-8".',
        ) from exc
