"""What is sent to a cloud follows from what the cloud says, and the reason is said."""

import pytest

from provision.core.delivery import AUTO, QCOW2, RAW, Method, Offer, choose_delivery
from provision.errors import PreflightError

BOTH = frozenset({"ami", "raw", "vhd", "vmdk", "qcow2", "iso"})
NO_QCOW2, NO_RAW, NEITHER = BOTH - {"qcow2"}, BOTH - {"raw"}, BOTH - {"qcow2", "raw"}
PUT, IMPORT = Method.PUT, Method.IMPORT


@pytest.mark.parametrize(
    ("store", "imports", "formats", "wanted", "form", "method", "reason"),
    [
        (None, False, frozenset(), AUTO, QCOW2, PUT, "does not say what its store is"),
        (None, True, BOTH, AUTO, QCOW2, PUT, "does not say what its store is"),
        ("file", False, BOTH, AUTO, QCOW2, PUT, "its store is file (it said so), which keeps what it is given"),
        ("file", True, BOTH, AUTO, QCOW2, PUT, "its store is file"),
        ("swift", True, BOTH, AUTO, QCOW2, PUT, "its store is swift"),
        ("rbd", True, BOTH, AUTO, QCOW2, IMPORT, "an import may make it raw there"),
        ("rbd", True, frozenset(), AUTO, QCOW2, IMPORT, "an import may make it raw there"),
        ("rbd", False, BOTH, AUTO, RAW, PUT, "its store is rbd (it said so), which clones raw images"),
        ("rbd", True, NO_QCOW2, AUTO, RAW, PUT, "takes raw alone"),
        ("file", True, NO_QCOW2, AUTO, RAW, PUT, "takes raw alone"),
        ("rbd", False, NO_RAW, AUTO, QCOW2, PUT, "takes qcow2 alone"),
        # asked for: that and nothing else, so by the way on which no cloud converts
        ("rbd", True, BOTH, QCOW2, QCOW2, PUT, "you asked"),
        ("rbd", True, BOTH, RAW, RAW, PUT, "you asked"),
        ("file", True, BOTH, RAW, RAW, PUT, "you asked"),
        (None, False, frozenset(), RAW, RAW, PUT, "you asked"),
    ],
)
def test_what_is_sent(
    store: str | None, imports: bool, formats: frozenset[str], wanted: str, form: str, method: Method, reason: str
) -> None:
    chosen = choose_delivery(Offer(store, "it said so", formats, imports), wanted)
    assert (chosen.form, chosen.method) == (form, method)
    assert reason in chosen.reason


@pytest.mark.parametrize(
    ("formats", "wanted", "words", "hint"),
    [
        (NO_QCOW2, QCOW2, "takes no qcow2 images; it takes ami, iso, raw", "say raw"),
        (NO_RAW, RAW, "takes no raw images", "say qcow2"),
        (NEITHER, AUTO, "takes no qcow2 or raw images; it takes ami, iso, vhd, vmdk", "Ask the operator"),
        (NEITHER, RAW, "takes no raw images", "Ask the operator"),
    ],
)
def test_what_a_cloud_does_not_take(formats: frozenset[str], wanted: str, words: str, hint: str) -> None:
    with pytest.raises(PreflightError, match=words) as caught:
        choose_delivery(Offer(formats=formats), wanted)
    assert hint in str(caught.value.hint)
