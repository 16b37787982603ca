"""Spiking self-attention: products of spikes, no softmax."""

import torch


def spiking_attention(q, k, v, heads, scale):
    """out = scale * (Q K^T) V for each head, without softmax.

    The product is associative, so the cheaper order is taken: (Q K^T) V costs 2 N^2 d a head, Q (K^T V) costs 2 N d^2,
    for N tokens of d channels. For spikes, what stands in between are counts up to d or up to N, and they are exact, so
    that only the result is rounded: where the counts exceed what half precision holds (256 in bfloat16, 2048 in
    float16), K^T V is counted in parts, and is two numbers that Q is multiplied by, which costs N d^2 more. The values
    of integer neurons are multiples of 1/D and make finer sums, which half precision may round in between, too.

    Args:
        q, k, v: (T, B, C, N) spikes.
        heads: number of heads; C = heads * d.
        scale: factor on the result.

    Returns:
        (T, B, C, N).

    Source: Zhou et al., Spikformer, ICLR 2023.
    """
    q, k, v = (x.unflatten(2, (heads, -1)) for x in (q, k, v))
    d, N = q.shape[-2:]
    most = _exact_up_to(q)
    if N <= d <= most:
        out = v @ (k.transpose(-1, -2) @ q)
    elif N <= most:
        out = (v @ k.transpose(-1, -2)) @ q
    else:
        out = _counted_in_parts(k, v, most) @ torch.cat([q, q], -2)
    return (out * scale).flatten(2, 3)


def _counted_in_parts(k, v, most):
    """V K^T as its multiples of `most` and the rest, side by side: both fit where no more than `most` would."""
    parts = -(-k.shape[-1] // most)
    products = [b @ a.transpose(-1, -2) for a, b in zip(*(x.tensor_split(parts, -1) for x in (k, v)))]
    counts = sum(product.float() for product in products)
    # not the error of a rounding, which compilers leave out
    rest = counts.detach() % most
    return torch.cat([counts - rest, rest], -1).to(products[0].dtype)


def _exact_up_to(x):
    """Up to where the precision that x is multiplied in holds every integer."""
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return round(2 / torch.finfo(dtype).eps)
