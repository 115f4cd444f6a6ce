"""Write down how a real cloud answers: `python -m tests.simulator.record CLOUD [NAME]` (CLOUD of clouds.yaml, or lab).

Makes two small stacks there and deletes them again. The file, recorded/NAME.json, names no host, address, id or token;
look it through nevertheless before it is committed.
"""

import sys
from pathlib import Path

from provision.clock import REAL
from provision.cloud.connection import connect

from .tour import as_json, tour

FOLDER = Path(__file__).parent / "recorded"


def main(cloud: str, name: str = "lab") -> None:
    recorded = tour(connect(cloud), REAL)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(as_json(recorded))


if __name__ == "__main__":
    main(*sys.argv[1:])
