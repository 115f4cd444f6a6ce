"""The cloud's words explained with the numbers of what was asked for."""

from dataclasses import replace

import pytest

from provision.core.capacity import Quota
from provision.core.diagnosis import Facts, explain
from tests.core.test_checks import LARGE, SMALL, TINY, image

NO_HOST = (
    'Went to status ERROR due to "Message: No valid host was found. There are not enough hosts available., Code: 500"'
)
NO_MORE_TRIES = "Message: Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures"
SMALL_DISK = (
    "Flavor's disk is too small for requested image. Flavor disk is 21474836480 bytes, image is 68719476736 bytes."
)
ROUTERS = "Conflict: resources.router: Quota exceeded for resources: ['router']."
CORES = "Quota exceeded for cores, ram: Requested 1, 2048, but already used 20, 51200 of 20, 51200 cores, ram"

FITTING = Facts(SMALL, image())
LARGE_IMAGE = Facts(SMALL, image(min_disk=64, virtual=64.0))
QUOTAS = Facts(
    SMALL,
    image(),
    {"routers": Quota(10, 4), "vCPUs": Quota(20, 18), "RAM (MiB)": Quota(51200, 0), "networks": Quota(9, 9)},
    {"routers": 30, "vCPUs": 30},
    "project1",
)


@pytest.mark.parametrize(
    ("said", "facts", "meaning", "hint"),
    [
        (
            NO_HOST,
            FITTING,
            "No compute node has room for this flavor, or none offers what it asks for. That is not the image "
            "(min_disk 8 GiB, virtual size 7.5 GiB, min_ram 512 MiB): it fits the flavor m1.small (1 vCPU, 2048 MiB, "
            "20 GiB).",
            "Take a smaller flavor",
        ),
        (
            NO_HOST,
            LARGE_IMAGE,
            "The image does not fit the flavor m1.small: flavor disk 20 GiB < image min_disk 64 GiB; flavor disk "
            "20 GiB < image virtual size 64.0 GiB.",
            "Take a larger flavor",
        ),
        (
            NO_MORE_TRIES,
            replace(LARGE_IMAGE, image=image(min_disk=0, virtual=64.0)),
            "The image does not fit the flavor m1.small: flavor disk 20 GiB < image virtual size 64.0 GiB.",
            "Take a larger flavor",
        ),
        (
            NO_MORE_TRIES,
            FITTING,
            "Every compute node that tried to start the machine failed. That is not the image (",
            "Ask the operator for the compute node's log",
        ),
        # Where the image's size is not known, nothing is said of it.
        (NO_MORE_TRIES, Facts(SMALL, image(virtual=None)), "Every compute node that tried", "Compare the image's"),
        (NO_MORE_TRIES, Facts(SMALL), "Every compute node that tried", "Compare the image's min_disk"),
        (
            "Flavor's memory is too small for requested image.",
            Facts(TINY, image(min_disk=0, min_ram=1024, virtual=None)),
            "The image does not fit the flavor m1.tiny: flavor memory 512 MiB < image min_ram 1024 MiB.",
            "Take a larger flavor",
        ),
        (SMALL_DISK, LARGE_IMAGE, "The image does not fit the flavor m1.small: flavor disk 20 GiB <", "Take a larger"),
        (SMALL_DISK, Facts(LARGE, image()), "The flavor's disk is smaller than the image.", "Take a flavor"),
        (
            ROUTERS,
            QUOTAS,
            "A quota of the project is used up. routers: 4 of 10 were used before.",
            "Delete what nobody uses. Ask the operator for: openstack quota set --routers 34 project1",
        ),
        (
            CORES,
            QUOTAS,
            "A quota of the project is used up. vCPUs: 18 of 20 were used before; RAM (MiB): 0 of 51200",
            "Delete what nobody uses. Ask the operator for: openstack quota set --cores 48 project1 Ask the operator "
            "for: openstack quota set --ram 51201 project1",
        ),
        (ROUTERS, Facts(), "A quota of the project is used up.", "Delete what nobody uses, or ask"),
        (
            "Maximum stacks per tenant, 512.",
            QUOTAS,
            "A quota of the project is used up.",
            "Delete what nobody uses, or",
        ),
    ],
)
def test_explained_with_numbers(said: str, facts: Facts, meaning: str, hint: str) -> None:
    known = explain(said, facts)
    assert known is not None
    assert known.meaning.startswith(meaning)
    assert known.hint.startswith(hint)
    assert known.capacity


def test_words_that_nobody_knows_stay_unexplained() -> None:
    assert explain("Something else.", QUOTAS) is None
