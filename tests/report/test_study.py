"""Is a study read as it stands, and is what is amiss refused with the command that mends it?"""

import numpy as np
import pytest

from ltbv.data.dataset import labels_of
from ltbv.errors import Refusal
from ltbv.files import read_arrays, write_arrays
from ltbv.report.study import read_study
from ltbv.report.tables import build
from ltbv.store import Store, provenance

SETTINGS = "--dataset glyphs-lt --scheme subsample --head 100 --imbalance 50 --profile exp --epochs 30 --seed 7"


def refusal(path) -> str:
    with pytest.raises(Refusal) as refused:
        read_study(path)
    message = str(refused.value)
    assert "\n" not in message
    return message


def change(path, run, method="ce", **fields):
    """Write a prediction file anew with some fields replaced, or left out where None."""
    file = Store(path).prediction_file(method, run)
    arrays = read_arrays(file) | fields
    write_arrays(file, {name: values for name, values in arrays.items() if values is not None})
    return file


def test_the_reference_comes_first_and_the_others_in_the_order_of_their_recipes(study):
    path = study(ce=None, ride="RIDE", crt="cRT", runs=1)
    Store(path).open_method("ce", {"key": "ce", "label": "CE", "order": 9, "stages": []})
    for method in ("ride", "crt"):
        arrays = read_arrays(Store(path).prediction_file(method, 0))
        said = provenance.of_prediction(Store(path).recipe("ce"), 7, 0)
        write_arrays(Store(path).prediction_file("ce", 0), provenance.sealed(arrays, said))
    evidence = read_study(path)
    assert evidence.names == {"ce": "CE", "ride": "RIDE", "crt": "cRT"}
    assert evidence.reference.key == "ce"


def test_runs_that_lost_a_class_are_told(study):
    path = study(runs=2)
    ids = Store(path).samples()
    assert not any("lost a class" in line for line in build(read_study(path)).cautions)
    ids[1, labels_of(ids[1]) == 11] = ids[1, 0]
    write_arrays(path / "samples.npz", {"ids": ids})
    assert any("1 of 2 resamples lost a class" in line for line in build(read_study(path)).cautions)


def test_what_is_read_is_what_was_written(study):
    path = study(ride="RIDE", runs={"ce": range(3), "ride": range(1, 5)})
    evidence = read_study(path)
    ride = evidence.methods[1]
    assert ride.runs == (1, 2, 3, 4)
    assert np.array_equal(ride.predictions, Store(path).predictions("ride"))
    assert np.array_equal(ride.p_negative, Store(path).predictions("ride", "p_negative"))
    assert evidence.paired_runs(ride) == [1, 2]
    assert np.array_equal(ride.rows([2]).p_true[0], Store(path).predictions("ride", "p_true")[1])
    assert evidence.setting.scheme == "subsample" and 0 < evidence.setting.shared[0] < 1


def test_a_study_of_which_labels_alone_were_kept_is_reported_without_scores(study):
    path = study(runs=3)
    whole = read_study(path).reference
    for run in range(3):
        change(path, run, p_true=None, p_negative=None, negative=None)
    reference = read_study(path).reference
    assert reference.p_true is None and reference.p_negative is None and reference.negatives is None
    assert np.array_equal(reference.predictions, whole.predictions)


def test_a_directory_that_is_no_study(tmp_path):
    (empty := tmp_path / "runs" / "empty").mkdir(parents=True)
    assert f"ltbv bootstrap --study {empty}" in refusal(empty)
    assert "is not a study" in refusal(tmp_path / "nowhere")


def test_an_empty_study_names_the_command_with_its_own_settings(study):
    path = study(runs=0)
    assert f"has no predictions yet; run: ltbv bootstrap --method ce {SETTINGS} --study {path}" in refusal(path)


def test_a_study_without_ce_names_the_command_with_as_many_runs(study):
    path = study(ce=None, ride="RIDE", runs=3)
    (line, *_) = read_study(path).setting.notes
    assert f"run: ltbv bootstrap --method ce --runs 3 {SETTINGS} --study {path}" in line


def test_a_path_with_blanks_is_quoted_in_the_command(study, tmp_path):
    path = study(runs=0).rename(tmp_path / "my study")
    assert refusal(path).endswith(f"--study '{path}'")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half an archive", b"text"], ids=["empty", "half", "text"])
def test_a_damaged_prediction_file(study, content):
    path = study(ride="RIDE", runs=2)
    file = Store(path).prediction_file("ride", 1)
    file.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{file} is damaged")
    assert f"delete it and run: ltbv bootstrap --method ride --runs 2 {SETTINGS}" in message


def test_one_flipped_bit_is_damage(study):
    path = study(runs=1)
    file = Store(path).prediction_file("ce", 0)
    content = bytearray(file.read_bytes())
    at = content.find(b"p_true.npy") + 300
    content[at] ^= 1
    file.write_bytes(content)
    assert "is damaged (Bad CRC-32" in refusal(path)


def test_objects_are_never_unpickled(study):
    path = study(runs=1)
    file = Store(path).prediction_file("ce", 0)
    np.savez(file, **read_arrays(file) | {"label": np.array([print], object)})
    assert "is damaged (label holds Python objects, which are never unpickled)" in refusal(path)


def test_predictions_of_another_number_of_points(study):
    path = study(runs=2)
    file = change(path, 1, label=np.zeros(119, np.uint16))
    assert f"{file} has label of shape (119,), but the test set has 120 points; delete it" in refusal(path)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"p_true": None}, "is damaged (it has no p_true)"),
        ({"label": np.full(120, 12, np.uint16)}, "has label 12, but there are 12 classes"),
        ({"label": np.zeros(120, np.float32)}, "has label of type float32"),
        ({"p_true": np.full(120, np.nan, np.float32)}, "has p_true that is NaN or no probability at 120 of 120 points"),
        ({"p_negative": np.r_[1.5, np.zeros(119)]}, "has p_negative that is NaN or no probability at 1 of 120 points"),
        ({"sum_p2": np.r_[1.5, np.zeros(119)]}, "has sum_p2 that is NaN or no probability at 1 of 120 points"),
        (
            {"logits": np.full((120, 12), np.nan, np.float16)},
            "cannot be: its logits are NaN at 120 of the points 0 to 119",
        ),
        ({"logits": np.zeros((120, 11), np.float16)}, "has logits of type float16 and shape (120, 11)"),
    ],
)
def test_fields_that_cannot_be(study, fields, complaint):
    path = study(runs=2)
    assert f"{change(path, 0, **fields)} {complaint}; delete it and run: ltbv bootstrap" in refusal(path)
