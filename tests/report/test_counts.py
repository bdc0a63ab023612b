"""Do training images belong to the classes that their keys name, in every form that people keep them in?"""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laid import refusal, write_text

from ltbv import analyse, stats
from ltbv.errors import Refusal
from ltbv.report.elsewhere.assemble import evidence_of
from ltbv.report.elsewhere.counts import read_counts, why_no_ids

COUNTS = [400, 20, 60, 9, 5]
SPLITS = {"many": [0], "medium": [1, 2], "few": [3, 4]}


def as_lists(splits) -> dict[str, list[int]]:
    return {name: ids.tolist() for name, ids in splits.items()}


# by key, not by order

NAMES = ["ant", "bee 2", "bee 3", "cat", "dog"]
LINES = {
    "id count": "".join(f"{k} {n}\n" for k, n in enumerate(COUNTS)),
    "id count, by count": "0 400\n2 60\n1 20\n3 9\n4 5\n",
    "id, tab, count": "".join(f"{k}\t{n}\n" for k, n in enumerate(COUNTS)),
    "id, colon, count": "".join(f"{k}: {n}\n" for k, n in [*enumerate(COUNTS)][::-1]),
    "id, comma, count": "".join(f"{k},{n}\n" for k, n in enumerate(COUNTS)),
    "uniq -c": "".join(f"{n:7} {k}\n" for k, n in enumerate(COUNTS)),
    "uniq -c | sort -rn": "    400 0\n     60 2\n     20 1\n      9 3\n      5 4\n",
    "a row": " ".join(map(str, COUNTS)),
    "a row with commas": ", ".join(map(str, COUNTS)) + "\n",
    "name count": "".join(f"{name} {n}\n" for name, n in zip(NAMES, COUNTS, strict=True)),
    "names of uniq -c": "".join(f"   {n} {name.replace(' ', '_')}x\n" for name, n in zip(NAMES, COUNTS, strict=True)),
    "numbered images": "".join(f"{1000 * c + k} {c}\n" for c, n in enumerate(COUNTS) for k in range(1, n + 1)),
    "name count of directories": "".join(f"train/{c}/ {n}\n" for c, n in zip("abcde", COUNTS, strict=True)),
    "name count of lists": "".join(f"lists/{c}.txt {n}\n" for c, n in zip("abcde", COUNTS, strict=True)),
    "name count with dots": "".join(f"{c}.{c}oo {n}\n" for c, n in zip("abcde", COUNTS, strict=True)),
    "name, comma, count": "".join(f"{name},{n}\n" for name, n in zip(NAMES, COUNTS, strict=True)),
    "name; count": "".join(f"{name}; {n}\n" for name, n in zip(NAMES, COUNTS, strict=True)),
    "quoted name, count": "".join(f'"{c}, of a kind",{n}\n' for c, n in zip("abcde", COUNTS, strict=True)),
    "header, name, count": "class,count\n" + "".join(f"{name},{n}\n" for name, n in zip(NAMES, COUNTS, strict=True)),
    "header, id, count": "class_id\tnum_images\n" + "".join(f"{k}\t{n}\n" for k, n in enumerate(COUNTS)),
    "count: name": "".join(f"{n}: {c}\n" for c, n in zip("abcde", COUNTS, strict=True)),
    "images": "".join(f"{c}/{k}.jpg {c}\n" for c, n in enumerate(COUNTS) for k in range(n)),
    "images without extension": "".join(f"i{c}_{k} {c}\n" for c, n in enumerate(COUNTS) for k in range(n)),
}


@pytest.mark.parametrize("form", LINES)
def test_lines_are_matched_by_what_stands_beside_the_number(tmp_path, form):
    found, names = read_counts(write_text(tmp_path / "counts.txt", LINES[form]))
    assert found.tolist() == COUNTS and as_lists(stats.splits(found)) == SPLITS
    assert (names is None) == ("name" not in form)
    if form == "quoted name, count":
        assert names[0] == "a, of a kind"


@pytest.mark.parametrize("name", ["train/c{:03}", "c{:03}", "lists/c{:03}.txt", "c.{:03}"])
@pytest.mark.parametrize("most", [150, 500])
def test_a_count_of_each_directory_is_no_list_of_images(tmp_path, name, most):
    counts = [max(5, round(most * 0.97**k)) for k in range(100)]
    keys = [name.format(k) for k in range(100)]
    lines = "".join(f"{key} {n}\n" for key, n in zip(keys, counts, strict=True))
    path = write_text(tmp_path / "counts.txt", lines)
    assert read_counts(path)[0].tolist() == counts
    names = [f"c{k:03}" for k in range(100)] if "/" in name else keys
    assert read_counts(path, names[::-1])[0].tolist() == counts[::-1]
    assert "must be the 100 class names" in refusal(read_counts, path, [f"x{k}" for k in range(100)])


def test_names_of_classes_tell_counts_from_labels(tmp_path):
    path = write_text(tmp_path / "counts.txt", "ant 2\nbee 1\ncat 1\ndog 0\nelk 3\n")
    assert "which could be `name count` or `path label`" in refusal(read_counts, path)
    assert read_counts(path, ["elk", "dog", "cat", "bee", "ant"])[0].tolist() == [3, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("0 1\n1 0\n", "such as 0 1, which could be id count or count id"),
        ("0 2\n1 1\n2 1\n3 0\n", "such as 0 2, which could be id count or path label"),
        ("5 9\n7 5\n9 3\n", "such as 5 9, which are neither `id count` nor `path label`"),
        ("1 400\n2 20\n3 60\n", "such as 1 400, which are neither"),
        ("0 400\n0 20\n", "such as 0 400, which are neither"),
        ("500 5\n", "such as 500 5, which are neither"),
        ("1 2 3\n4 5 6\n", "has 2 lines of 3 to 3 numbers"),
        ("1 2\n4 5 6\n", "has 2 lines of 2 to 3 numbers"),
        ("9 ant 2\n5 bee 1\n", "has a number at both ends of its lines, such as '9 ant'"),
        ("ant 9\nant 5\n", "has 'ant' in 2 lines"),
        ("ant 0\nbee 1\ncat 2\n", "has the numbers 0 to 2, each once: class ids, not training images"),
        ("ant 9\nbee 5\ntotal 14\n", "has 'total', the sum of the others, among its classes"),
        (", 500\n, 200\n", "has nothing before a separator in line 1"),
        ("5\n,\n", "has nothing before a separator in line 2"),
        ('1,",\n', "has counts of 1 classes"),
        ("class,count\n0,9\n", "has 'class,count' in line 1: give a number"),
        ("img0.jpg\nimg1.jpg 0\nimg2.jpg 1\n", "has 'img0.jpg' in line 1: give a number"),
    ],
)
def test_lines_that_could_be_two_things_are_refused(tmp_path, lines, complaint):
    path = write_text(tmp_path / "counts.txt", lines)
    assert refusal(read_counts, path).startswith(f"{path} ") and complaint in refusal(read_counts, path)


@pytest.mark.parametrize(
    ("counts", "complaint"),
    [
        ({"1": 400, "2": 20, "3": 9}, "has class ids from 1 to 3; class ids count from 0"),
        ({"0": 400, "00": 20}, "has class id 0 twice"),
        ({"0": 400, "2000000": 20}, "has class id 2000000"),
        ({"ant": 0, "bee": 2, "cat": 1}, "class ids, not training images"),
    ],
)
def test_maps_whose_keys_do_not_say_the_class_are_refused(tmp_path, counts, complaint):
    assert complaint in refusal(read_counts, write_text(tmp_path / "counts.json", json.dumps(counts)))


def test_names_in_alphabetical_order_are_taken_for_ids_and_it_is_said(tmp_path):
    path, notes = write_text(tmp_path / "counts.json", json.dumps(dict(zip(NAMES, COUNTS, strict=True)))), []
    found, names = read_counts(path, notes=notes)
    assert found.tolist() == COUNTS and names == tuple(NAMES)
    assert notes == [
        f"{path} names classes, not ids: the alphabetical order of the names is taken for that of the ids."
    ]
    notes.clear()
    assert read_counts(path, NAMES[::-1], notes)[0].tolist() == COUNTS[::-1] and not notes


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["dog", "ant"], "class names that are not in alphabetical order"),
        (["class 1", "class 10", "class 2"], "not that of their numbers ('class 10' before 'class 2')"),
        (["class 1", "class 2", "class 10"], "not that of their numbers ('class 10' before 'class 2')"),
    ],
)
def test_names_in_another_order_say_nothing_of_ids(tmp_path, names, why):
    path, notes = write_text(tmp_path / "counts.json", json.dumps(dict.fromkeys(names, 4))), []
    assert read_counts(path, notes=notes)[1] == tuple(names) and not notes
    assert why in why_no_ids(names) and why_no_ids(["ant", "dog"]) is None


def test_a_class_without_a_key_has_no_image(tmp_path):
    path = write_text(tmp_path / "counts.json", '{"3": 5, "0": 9}')
    assert read_counts(path)[0].tolist() == [9, 0, 0, 5]
    assert read_counts(path, list("abcde"))[0].tolist() == [9, 0, 0, 5, 0]
    assert "has class id 3; class ids go from 0 to 2" in refusal(read_counts, path, list("abc"))
    digits = write_text(tmp_path / "digits.json", '{"3": 5, "0": 9}')
    assert read_counts(digits, ["3", "0"])[0].tolist() == [5, 9], "class names come first"


@given(st.lists(st.integers(0, 5), min_size=3, max_size=60), st.randoms(use_true_random=False))
def test_whatever_counts_labels_gives_the_same_splits(labels, random):
    assume(0 in labels)
    right = as_lists(stats.splits(np.bincount(labels), many=5, few=2))
    shuffled = random.sample(labels, len(labels))
    for counts in (Counter(shuffled), pd.Series(shuffled).value_counts(), pd.Series(labels).groupby(labels).size()):
        assert as_lists(stats.splits(counts, many=5, few=2)) == right
    text = {str(k): n for k, n in Counter(shuffled).items()}
    assert as_lists(stats.splits(text, many=5, few=2)) == right
    assert as_lists(stats.scaled(text, head=500)) == as_lists(stats.scaled(np.bincount(labels), head=500))


def test_a_series_in_memory_is_matched_by_its_index():
    labels = np.repeat(range(5), 4)
    predictions = np.stack([labels] * 4)
    by_frequency = pd.Series(COUNTS).sort_values(ascending=False)
    assert by_frequency.index.tolist() != list(range(5))
    for counts in (by_frequency, by_frequency.to_dict(), pd.Series(COUNTS), COUNTS):
        found = analyse(predictions, labels, counts).evidence
        assert found.train_counts.tolist() == COUNTS and as_lists(found.splits) == SPLITS
    named = pd.Series(COUNTS, index=NAMES).sort_values()
    assert analyse(predictions, labels, named, class_names=NAMES).evidence.train_counts.tolist() == COUNTS
    assert "keys 'dog', 'cat', 'bee 2', …, which are no class ids" in refusal(analyse, predictions, labels, named)
    assert "class ids from 1 to 5" in refusal(analyse, predictions, labels, dict(zip(range(1, 6), COUNTS, strict=True)))
    assert stats.Record(predictions, labels, train_counts=by_frequency).train_counts.tolist() == COUNTS


def test_tested_classes_without_a_training_image():
    def evidence(counts):
        labels, counts = np.repeat(range(4), 3), np.array(counts)
        return evidence_of([], labels, counts, None, [], num_classes=counts.size, many=100, few=20, dataset="")

    of_images = np.random.default_rng(0).permutation(np.repeat(range(4), [9, 5, 3, 1]))
    assert "there are 18 training counts, none above 3, but labels go up to 3: these look like labels" in refusal(
        evidence, of_images
    )
    assert evidence([9, 5, 3, 1]).setting.notes == evidence([9, 5, 3, 1, 0]).setting.notes == ()
    (note,) = evidence([9, 0, 3, 0]).setting.notes
    assert note.startswith("2 classes have test points, but no training image by the counts given: class ids 1, 3.")
    assert "3 of the 4 classes with test points have no training image (class ids 0, 1, 2)" in refusal(
        evidence, [0, 0, 0, 9]
    )


# in every form the same


counts_of_classes = st.lists(st.integers(0, 10**6), min_size=2, max_size=30).filter(any)


@given(counts_of_classes, st.randoms(use_true_random=False))
def test_counts_in_every_form_are_the_same(tmp_path_factory, numbers, random):
    directory = tmp_path_factory.mktemp("counts")
    names = [f'n{k}, "é"\t' for k in range(len(numbers))]
    shuffled = random.sample(names, len(names))
    write_text(directory / "list.json", json.dumps(numbers))
    write_text(directory / "map.json", json.dumps({name: numbers[names.index(name)] for name in shuffled}))
    write_text(directory / "lines.txt", "\ufeff" + "\r\n".join(map(str, numbers)) + "\n\n")
    np.save(directory / "array.npy", np.array(numbers))
    for path in sorted(directory.iterdir()):
        found, named = read_counts(path, names)
        assert found.tolist() == numbers and named == tuple(names)
    by_id = {str(k): numbers[k] for k in random.sample(range(len(numbers)), len(numbers))}
    of_ids = write_text(directory / "ids.json", json.dumps(by_id))
    assert read_counts(of_ids)[0].tolist() == read_counts(of_ids, names)[0].tolist() == numbers


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40).filter(lambda labels: max(labels) > 0))
def test_lines_of_a_list_are_counted(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("lists") / "train.txt"
    write_text(path, "".join(f"dir with blanks/{i}.jpg {label}\n" for i, label in enumerate(labels)))
    assert read_counts(path)[0].tolist() == np.bincount(labels).tolist()
    assert read_counts(path, [f"c{k}" for k in range(8)])[0].tolist() == np.bincount(labels, minlength=8).tolist()


@given(
    st.binary(max_size=60) | st.text("0123456789 -.,\n[]{}\"':eNa", max_size=60),
    st.sampled_from(["json", "txt", "npy"]),
)
def test_any_file_of_counts_is_read_or_refused(tmp_path_factory, content, extension):
    path = write_text(tmp_path_factory.mktemp("any") / f"counts.{extension}", content)
    try:
        found, _ = read_counts(path)
    except Refusal as refused:
        assert str(path) in str(refused) and "\n" not in str(refused)
    else:
        assert found.dtype == np.int64 and found.size >= 2 and (found >= 0).all() and found.any()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("c.json", "[5, 3.5]", "is no list of whole numbers, nor a map from class name to whole number"),
        ("c.json", "[5, true]", "is no list of whole numbers"),
        ("c.json", "[5, NaN]", "is no list of whole numbers"),
        ("c.json", "7", "is no list of whole numbers"),
        ("c.json", '{"a": 1, "a": 2}', "cannot be read as JSON: 'a' is there twice"),
        ("c.json", "[5,", "cannot be read as JSON"),
        ("c.json", "[" * 100_000, "cannot be read as JSON"),
        ("c.json", "[5, -3]", "has -3 training images for class 1"),
        ("c.json", f"[5, {10**30}]", f"has {10**30} training images for class 1"),
        ("c.json", "[0, 0]", "has no training image in any class"),
        ("c.txt", "5\n", "has counts of 1 classes; there must be from 2 to 1,000,000"),
        ("c.txt", "\n", "has no lines with numbers"),
        ("c.txt", "a.jpg 99999999\n", "has class id 99999999; the most is 999,999"),
        ("c.txt", "5.5\n4\n", "has '5.5' in line 1: give a number, or a path, a blank and a class id"),
        ("c.txt", b"\xff\xfe", "cannot be read as text: 'utf-8' codec can't decode"),
        ("c.txt", "", "is empty (0 bytes)"),
    ],
)
def test_counts_that_cannot_be(tmp_path, name, content, complaint):
    path = write_text(tmp_path / name, content)
    assert refusal(read_counts, path).startswith(f"{path} {complaint}")
