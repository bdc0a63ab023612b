"""Which groups become the test set where there is none? Whole ones, about a share of the images of each class."""

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256

from ltbv.data.images.items import Item, natural
from ltbv.errors import Refusal


def share_of_groups(items: Sequence[Item], digests: Sequence[bytes], share: float, where: str) -> Iterator[int]:
    """Places of the items that are tested on: of each class whole groups, as near to the share as they come.

    In the order of the groups' content, which is as good as drawn and the same however files and groups are named. A
    group of several classes counts in each; one group of each class, at least, is trained on.
    """
    of: list[object] = [item.group or k for k, item in enumerate(items)]
    members: dict[object, list[int]] = {}
    for row, group in enumerate(of):
        members.setdefault(group, []).append(row)
    order = sorted(members, key=lambda group: sha256(b"".join(sorted(digests[row] for row in members[group]))).digest())
    sizes = {group: Counter(items[row].label for row in rows) for group, rows in members.items()}
    chosen: set[object] = set()
    for label in sorted({item.label for item in items}, key=natural):
        own = [group for group in order if label in sizes[group]]
        wanted = max(1, round(share * sum(sizes[group][label] for group in own)))
        lacking = wanted - sum(sizes[group][label] for group in own if group in chosen)
        for group in (group for group in own if group not in chosen):
            if lacking <= 0 or (lacking < wanted and sizes[group][label] > 2 * lacking):
                break
            chosen.add(group)
            lacking -= sizes[group][label]
    for label in sorted({item.label for item in items}, key=natural):
        own = [group for group in order if label in sizes[group]]
        if all(group in chosen for group in own):
            raise Refusal(
                f"{where}: class {label!r} has {len(own)} group{'s' * (len(own) > 1)} of images, too few to set"
                f" {share:g} of them aside and to train on one; give --test"
            )
    return (row for row, group in enumerate(of) if group in chosen)
