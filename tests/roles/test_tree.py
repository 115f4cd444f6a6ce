"""What lending makes in a tree, and that it is gone afterwards."""

from dataclasses import replace
from pathlib import Path

from provision.guests.lending import lend
from provision.guests.tree import opened_tree, release_of
from provision.paths import cache_home
from tests.roles.web.tree import extract


def test_two_folders_below_one_that_the_tree_has_not_leave_nothing(plain_tree: Path, tmp_path: Path) -> None:
    root, lent_folder = tmp_path / "root", tmp_path / "lent"
    extract(plain_tree, root)
    lent_folder.mkdir()
    lent = lend(lent_folder, cache_home() / "packages", release_of(root).codename)
    mounts = tuple((tmp_path, f"/mirror/deep/{name}", False) for name in ("wheels", "index"))
    with opened_tree(root, replace(lent, mounts=(*lent.mounts, *mounts))) as tree:
        assert tree.run_script("ls /mirror/deep", deadline=60).split() == ["index", "wheels"]
    assert not (root / "mirror").exists()
