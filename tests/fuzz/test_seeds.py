"""The fuzz targets without a fuzzer: every seed is read, and a few hundred damaged ones are read or refused."""

import random
import signal
from pathlib import Path

import pytest

from tests.fuzz.saved import FOLDER, MOST, load, save
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
def test_the_saved_corpus(target: str) -> None:
    inputs = load(target)
    assert inputs
    for each in inputs:
        once(target, each)


def test_the_saved_corpus_is_little() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 100_000


def test_what_is_saved_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.saved.FOLDER", tmp_path)
    noise = [random.Random(length).randbytes(length) for length in range(100, 1100, 20)]  # noqa: S311  # no secret
    save("vmdk", noise[::-1])
    assert (tmp_path / "vmdk.zip").stat().st_size <= MOST
    kept = load("vmdk")
    assert len(kept) > 10
    assert kept == noise[: len(kept)]


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
