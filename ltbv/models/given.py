"""What is a backbone that is there already? Features come in place of images: no stem, no branches, a head learns."""

from dataclasses import dataclass

from torch import Tensor, nn

from ltbv.errors import Refusal


@dataclass(frozen=True)
class Given:
    """Feature vectors of `width` numbers, which pass as they are: [B, copies*D, 1, 1] -> [copies, B, D]."""

    width: int

    def __str__(self) -> str:
        return f"a frozen backbone of {self.width} features"

    def build_shared(self, copies: int, channels: int) -> nn.Module:
        del copies, channels
        return nn.Identity()

    def build_branch(self, copies: int, width_factor: float) -> nn.Module:
        if width_factor != 1:
            raise Refusal(f"{self} cannot be made {width_factor:g} times as wide; use Net(width=1.0)")
        return _Apart(copies)

    def features(self, width_factor: float) -> int:
        del width_factor
        return self.width

    def map_size(self, size: tuple[int, int]) -> None:
        """It has features only."""
        del size


class _Apart(nn.Module):
    """Each copy's features by themselves; a view."""

    def __init__(self, copies: int):
        super().__init__()
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        return x.view(len(x), self.copies, -1).transpose(0, 1)
