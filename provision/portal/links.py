"""Writing personal links down: the one file in which they are, while the database has their hashes alone."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Engine

from provision.clock import REAL, Clock
from provision.core.roster import Student
from provision.errors import InvalidInputError
from provision.paths import write_private
from provision.portal.entry import new_links
from provision.portal.store import add_links
from provision.workflows.handouts import prepare_folder

COLUMNS = ("id", "name", "email", "link")


def write_links(
    engine: Engine, folder: Path, students: Iterable[Student], staff: Iterable[str], url: str, days: int,
    clock: Clock = REAL,
) -> Path:  # fmt: skip
    """Make links, and write them to links.csv in the folder, 0600. Raises InvalidInputError for a bad address."""
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.netloc or address.query or address.fragment:
        raise InvalidInputError(f"{url!r} is not the address of a page.", hint="Such as https://launch.example.org")
    listed = list(students)
    emails = {student.id: student.email for student in listed}
    rows = new_links(listed, staff, clock.now() + days * 86400)
    prepare_folder(folder)
    place = folder / "links.csv"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        link = f"{url.rstrip('/')}/link/{row['token']}"
        writer.writerow((row["student"] or "", row["name"], emails.get(row["student"], ""), link))
    write_private(place, text.getvalue())
    add_links(engine, rows)
    return place
