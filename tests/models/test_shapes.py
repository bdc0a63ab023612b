"""Networks without numbers: as those with, but that nothing is drawn."""

import pytest
import torch
from torch import nn

from ltbv.models.shapes import of_shapes, shapes_only


def layers() -> nn.Module:
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    nn.init.trunc_normal_(made[0].weight, std=0.1)
    nn.init.kaiming_normal_(made[3].weight)
    return made


def reads() -> nn.Module:
    return nn.Linear(int(torch.linspace(1, 3, 3).sum().item()), 2)


def test_shapes_are_those_of_the_network_and_no_generator_moves():
    before, expected = torch.get_rng_state(), layers().state_dict()
    torch.set_rng_state(before)
    found = of_shapes(layers).state_dict()
    assert {name: of.shape for name, of in found.items()} == {name: of.shape for name, of in expected.items()}
    assert all(of.is_meta for of in found.values()) and torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "fill", [nn.init.kaiming_normal_, nn.init.uniform_, nn.init.trunc_normal_, torch.Tensor.normal_]
)
def test_what_is_not_filled_is_given_back(fill):
    with shapes_only():
        tensor = torch.empty(3, 4)
        assert fill(tensor) is tensor
    numbers = torch.zeros(3, 4)
    with shapes_only():
        fill(numbers)
    assert (numbers != 0).all(), "what has numbers is filled in there too"


def test_a_network_that_reads_numbers_when_it_is_made_has_some():
    assert not of_shapes(reads).weight.is_meta and of_shapes(reads).in_features == 6
