"""libFuzzer on one target: `python -m tests.fuzz.engine vmdk FOLDER...`, as tests.fuzz.fuzz calls it."""

import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # only in the environment that fuzzes

with atheris.instrument_imports(include=["provision"]):
    from tests.fuzz.targets import once

LIMITS = ["-max_len=65536", "-rss_limit_mb=512", "-timeout=5", "-print_final_stats=1"]


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    target, *options = sys.argv[1:]
    again = f"{sys.executable} -m tests.fuzz.engine {target}"  # what it starts to merge folders
    atheris.Setup([again, *LIMITS, *options], lambda whole: once(target, whole) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
