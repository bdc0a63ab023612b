"""DisAlign against the authors' values in both forms; and that it begins as CE's network."""

import pytest
import torch

from ltbv.errors import Refusal
from ltbv.losses import cross_entropy, inverse_power, weighted_mean
from ltbv.methods import METHODS
from ltbv.methods.disalign import Aligning, Alignment, aligned, with_alignment
from ltbv.models.resnet import Resnet
from ltbv.models.stack import draw_run
from ltbv.seeds import generator

EXACT = {"rtol": 1e-9, "atol": 1e-9}
GRADIENTS = {"scale": "gradient_scale_code", "offset": "gradient_offset_code"}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("form", "name"), [("between", "paper"), ("added", "code")])
@pytest.mark.parametrize("case", [0, 1])
def test_is_the_authors(golden, case, form, name):
    of = golden("methods/disalign")["cases"][case]
    features, labels, counts = tensor(of["features"]), torch.tensor(of["labels"]), torch.tensor(of["counts"])
    layer = Aligning(1, features.shape[1], len(counts), form).double()
    own = {"scale": "scale", "offset": "offset", "weight": "confidence_weight", "bias": "confidence_bias"}
    with torch.no_grad():
        for ours, theirs in own.items():
            getattr(layer, ours).copy_(tensor(of[theirs]))
    logits = features @ tensor(of["weight"]).T + tensor(of["bias"])
    torch.testing.assert_close(logits, tensor(of["logits_before"]), **EXACT)
    found = layer(logits[None], features[None])[0]
    torch.testing.assert_close(found, tensor(of[f"logits_{name}"]), **EXACT)
    weights = inverse_power(counts, of["rho"])
    torch.testing.assert_close(weights, tensor(of["class_weights"]), **EXACT)
    loss = weighted_mean(cross_entropy(found, labels), labels, weights)
    torch.testing.assert_close(loss, tensor(of[f"loss_{name}"]), **EXACT)
    if name == "code":
        loss.backward()
        for ours, theirs in {**GRADIENTS, "weight": "gradient_confidence_weight_code"}.items():
            torch.testing.assert_close(getattr(layer, ours).grad[0], tensor(of[theirs]), **EXACT)


def test_it_begins_with_the_logits_that_were_there():
    net = METHODS["disalign"].stages[1].net
    network = net.build(Resnet(widths=(4, 4, 4), blocks=1), runs=2, channels=2, classes=5).double().eval()
    for run in range(2):
        draw_run(network, run, 2, generator(0, run, "init"))
    images = torch.randn(7, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = network(images).logits.mean(1)
    torch.testing.assert_close(with_alignment(network, images).logits, logits, **EXACT)
    longer = aligned(logits, torch.full((2, 7, 1), 0.5), torch.ones(2, 1, 5), torch.zeros(2, 1, 5), "added")
    torch.testing.assert_close(longer, 1.5 * logits, **EXACT)


def test_another_form_is_refused():
    with pytest.raises(Refusal, match="unknown form of alignment 'add' .*there is: added, between"):
        Alignment("add")
