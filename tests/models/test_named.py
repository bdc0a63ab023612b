"""Names of networks: one name however it is written, arguments of their types, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbv.errors import Refusal
from ltbv.harness.keys import canonical
from ltbv.harness.study import resolve
from ltbv.models.named import Named, named, value_of
from ltbv.models.vision import backbone, torchvision

PLAIN = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.none(), st.text(max_size=8)
)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        (".1", 0.1),
        ("3", 3),
        ("-2", -2),
        ("true", True),
        ("False", False),
        ("none", None),
        ("avg", "avg"),
        ("'0.1'", "0.1"),
        ("(64,128,(1,a))", (64, 128, (1, "a"))),
        ("[1, 2]", (1, 2)),
        ("()", ()),
    ],
)
def test_values_have_their_types(text, value):
    found = value_of(text)
    assert found == value and type(found) is type(value)


@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_what_is_spelt_is_read_again(arguments):
    one = Named("timm", "resnet18", tuple(sorted(arguments.items())), "layer3", "+pretrained")
    if not any(mark in str(one)[:-11] for mark in ("@", "+weights=", "+pretrained")) or str(one).count("@") == 1:
        again = named(str(one))
        assert repr(again) == repr(one)


def test_order_and_spelling_are_no_part_of_a_name():
    one = named("timm:a, drop_rate=.10 ,channels=[64, 128]@layer3+weights=a,b@c+pretrained.pt")
    assert one == named("timm:a,channels=(64,128),drop_rate=0.1@layer3+weights=a,b@c+pretrained.pt")
    assert str(one) == "timm:a,channels=(64,128),drop_rate=0.1@layer3+weights=a,b@c+pretrained.pt"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnet18,drop_rate", "'drop_rate' is no argument; give key=value"),
        ("timm:resnet18,", "'' is no argument"),
        ("timm:resnet18,a=1,a=2", "gives a twice"),
        ("timm:resnet18,a=1e999", "a=1e999 is no value"),
        ("timm:resnet18,a=f(1)", r"a=f\(1\) is no value"),
        ("timm:resnet18,a={1:2}", "is no value"),
        ("timm:resnet18,a=", "a= is no value"),
        ("timm:resnet18,a=nan", "a=nan is no value"),
        ("timm:resnet18,a=(1,-inf)", r"a=\(1,-inf\) is no value"),
        ("timm:resnet18,a=Infinity", "a=Infinity is no value"),
        ("timm:resnet18+weights=", r"names no file; give \+weights=FILE"),
        ("timm:resnet18@layer3,a=1", "arguments stand before the place to cut"),
        ("torchvision:resnet18+pretrainedx", "ends in '.pretrainedx'"),
    ],
)
def test_what_says_nothing_is_refused(name, words):
    with pytest.raises(Refusal, match=words) as told:
        named(name)
    assert "\n" not in str(told.value)


def test_arguments_make_another_network_and_another_study(tiny_lt):
    del tiny_lt
    plain, wide = (backbone(f"torchvision:resnet18{more}") for more in ("", ",width_per_group=64,norm_layer=none"))
    assert "arguments" not in canonical(plain) and canonical(wide)["arguments"]
    keys = set()
    for more in ("", ",zero_init_residual=True", ",zero_init_residual=true"):
        keys.add(resolve(network=f"torchvision:resnet18{more}").asked()["network"])
    assert keys == {"torchvision:resnet18", "torchvision:resnet18,zero_init_residual=True"}


def test_arguments_of_torchvision_reach_narrowed_branches_too():
    of = backbone("torchvision:resnet18,replace_stride_with_dilation=(0,0,0)@layer3")
    assert of.features(0.75) == 384 and of.made(0.75).layer4[0].conv1.in_channels == 192


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision:resnet18,nothing=1", "cannot be made .*'nothing'.*; there is: zero_init_residual, groups"),
        ("torchvision:resnet18,num_classes=3", "num_classes is not for a study to choose; leave it out"),
        ("timm:resnet18,nothing=1", "cannot be made .*'nothing'.*; there is: .*drop_path_rate"),
        ("timm:resnet18,drop_path_rate=much", "cannot be made .TypeError"),
        ("timm:resnet18,in_chans=1", "in_chans is not for a study to choose"),
        ("timm:resnet18,checkpoint_path=x", "checkpoint_path is not for a study"),
        ("timm:resnet18.none", "unknown weights of timm:resnet18 'none'.*a1_in1k"),
        ("timm:deit_tiny_distilled_patch16_224", "has 2 heads"),
        ("json:dumps", r"cannot be made .TypeError.*without arguments, or give them: json:dumps,key=value"),
        ("torch.nn:Linear", "cannot be made .TypeError.*without arguments, or give them: .*Linear,key=value"),
        ("torch.nn:Linear,a=1", "cannot be made .TypeError.*; there is: in_features"),
        ("torch.nn:Identity", "no linear layer at its end to be replaced"),
        ("timm:test_resnet,output_stride=3", "cannot be made .AssertionError.; there is"),
    ],
)
def test_what_a_package_does_not_take_is_refused_in_a_line(name, words):
    torchvision()
    if name.startswith("timm"):
        pytest.importorskip("timm")
    with pytest.raises(Refusal, match=words) as told:
        backbone(name).features(1.0)
    assert "\n" not in str(told.value)


def test_timm_takes_arguments():
    torchvision()
    pytest.importorskip("timm")
    made = backbone("timm:resnet18,drop_path_rate=0.1,channels=(8,16,24,32)@layer3").made()
    assert made.layer4[1].drop_path.drop_prob == pytest.approx(0.1) and made.fc.in_features == 32
    assert backbone("timm:vit_tiny_patch16_224,img_size=32,patch_size=8").features(1.0) == 192


@pytest.mark.parametrize("text", ["'\"", "a\\", "\\'\",b", "',\\\\\""])
def test_quotes_of_both_kinds_are_read_again(text):
    for value in (text, (text, "x")):
        one = Named("timm", "resnet18", (("key", value),))
        assert named(str(one)) == one
