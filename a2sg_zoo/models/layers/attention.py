"""Spiking self-attention: products of spikes, without softmax."""

import torch


def spiking_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, scale: float) -> torch.Tensor:
    """Compute out = scale * (Q K^T) V for each head, without softmax.

    Matrix products are associative, so the cheaper order is computed: for N tokens of d channels a head,
    (Q K^T) V costs 2 N^2 d multiplications and Q (K^T V) costs 2 N d^2.

    Products of binary spikes are integers no larger than d or N. They are exact; only the result is rounded. Half
    precision holds integers up to 256 (bfloat16) or 2048 (float16). Where N is larger, K^T V is counted in parts and
    stored as two numbers, the multiples of that bound and the rest, which costs N d^2 more. The outputs of integer
    neurons are multiples of 1 / D, so their products are finer than integers, and half precision may round them.

    Args:
        q: queries, spikes (T, B, C, N).
        k: keys, spikes (T, B, C, N).
        v: values, spikes (T, B, C', N); C' may differ from C.
        heads: number of heads; C = heads * d.
        scale: factor on the result.

    Returns:
        (T, B, C', N).

    Source: Zhou et al., Spikformer, ICLR 2023.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.layers import spiking_attention
        >>> q, k, v = (torch.rand(3, 4, 2, 8, 16) > 0.5).float()
        >>> spiking_attention(q, k, v, heads=2, scale=0.125).shape
        torch.Size([4, 2, 8, 16])
    """
    q, k, v = (x.unflatten(2, (heads, -1)) for x in (q, k, v))
    d, N = q.shape[-2:]
    largest = _largest_exact_integer(q)
    if N <= d <= largest:
        out = v @ (k.transpose(-1, -2) @ q)
    elif N <= largest:
        out = (v @ k.transpose(-1, -2)) @ q
    else:
        out = _count_in_parts(k, v, largest) @ torch.cat([q, q], -2)
    return (out * scale).flatten(2, 3)


def _count_in_parts(k, v, largest):
    """V K^T as two summands side by side, its multiples of `largest` and the rest, which are both exact."""
    parts = -(-k.shape[-1] // largest)
    products = [b @ a.transpose(-1, -2) for a, b in zip(*(x.tensor_split(parts, -1) for x in (k, v)))]
    counts = sum(product.float() for product in products)
    # the remainder, not the rounding error `counts - counts.half()`, because compilers drop such a difference
    rest = counts.detach() % largest
    return torch.cat([counts - rest, rest], -1).to(products[0].dtype)


def _largest_exact_integer(x):
    """The precision in which x is multiplied holds every integer up to this one."""
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return round(2 / torch.finfo(dtype).eps)
