"""How many channels does a copy have in memory? More than in truth, where that is faster.

cuDNN's grouped convolution is several times slower for some numbers of channels a group than for powers of two. So a
copy's channels may be padded in memory, with zeros.
"""

import torch.nn.functional as F
from torch import Tensor


def padded(channels: int) -> int:
    """Channels of a copy in memory: the next power of two, 16 at least."""
    return max(16, 1 << (channels - 1).bit_length())


def widen(x: Tensor, copies: int, channels: int) -> Tensor:
    """A map [B, copies*channels, H, W] with padded channels; one that is padded already is left as it is."""
    extra = padded(channels) - channels
    if not extra or x.shape[1] != copies * channels:
        return x
    nhwc = x.movedim(1, -1).unflatten(-1, (copies, channels))
    return F.pad(nhwc, (0, extra)).flatten(-2).movedim(-1, 1)


def narrow(x: Tensor, copies: int, channels: int) -> Tensor:
    """The inverse of `widen`; a map that is not padded is left as it is."""
    if x.shape[1] == copies * channels:
        return x
    return x.movedim(1, -1).unflatten(-1, (copies, -1))[..., :channels].flatten(-2).movedim(-1, 1)
