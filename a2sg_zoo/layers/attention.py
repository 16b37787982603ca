"""Spiking self-attention: products of spikes, no softmax."""


def spiking_attention(q, k, v, heads, scale):
    """out = scale * (Q K^T) V for each head, without softmax.

    The product is associative, and for spikes exact in either order (sums of products of 0 and 1), so the cheaper
    one is taken: (Q K^T) V costs 2 N^2 d a head, Q (K^T V) costs 2 N d^2, for N tokens of d channels.

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
    if N <= d:
        out = v @ (k.transpose(-1, -2) @ q)
    else:
        out = (v @ k.transpose(-1, -2)) @ q
    return (out * scale).flatten(2, 3)
