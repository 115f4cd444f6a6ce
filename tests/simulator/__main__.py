"""A simulated cloud by hand: `python -m tests.simulator [--port N] [--read S] [--write S] [--build S] > clouds.yaml`.

Prints a clouds.yaml whose cloud `campus` it is, and serves until it is interrupted. It has one course's image,
demo-26J, and forgets all when it ends.
"""

import argparse
import os
import signal
import sys

from provision.clock import REAL

from . import world
from .faults import Build, Latency, Setup
from .server import simulator_on_a_socket

parser = argparse.ArgumentParser(description=__doc__)
for name, default in (("port", 0), ("read", 0.0), ("write", 0.0), ("build", 1.0)):
    parser.add_argument(f"--{name}", type=type(default), default=default)
asked = parser.parse_args()
setup = Setup(latency=Latency(asked.read, asked.write), build=Build(asked.build, asked.build, 0), stack_limit=10**6)
with simulator_on_a_socket(setup, REAL, asked.port) as running:
    world.add_image(running.cloud)
    sys.stdout.write(running.clouds_yaml())
    sys.stdout.flush()
    os.close(sys.stdout.fileno())  # whoever reads it knows that this is all
    signal.sigwait([signal.SIGINT, signal.SIGTERM])
