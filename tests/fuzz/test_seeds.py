"""The fuzz targets without a fuzzer: every seed is read, and a few hundred damaged ones are read or refused."""

import random
import signal

import pytest

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS, once

ROUNDS = 60  # damaged copies of each seed


def test_every_target_has_seeds() -> None:
    assert SEEDS.keys() == TARGETS.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    for seed in SEEDS[target]():
        assert once(target, seed)


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_seeds(target: str) -> None:
    source = random.Random(target)  # noqa: S311  # no secret
    signal.alarm(120)
    for seed in SEEDS[target]():
        for _ in range(ROUNDS):
            once(target, damaged(seed, source))
    signal.alarm(0)


def damaged(seed: bytes, source: random.Random) -> bytes:
    """The seed with some bytes changed, mostly at its beginning, and sometimes cut off."""
    whole = bytearray(seed)
    for _ in range(source.randrange(1, 6)):
        place = source.randrange(source.choice([min(len(whole), 600), len(whole)]))
        width = source.choice([1, 2, 4, 8])
        value = source.choice([0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), source.getrandbits(8 * width)])
        whole[place : place + width] = value.to_bytes(width, source.choice(["little", "big"]))
    return bytes(whole[: source.randrange(len(whole))] if source.random() < 0.1 else whole)
