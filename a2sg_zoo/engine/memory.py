"""How memory is laid out and handed out: two settings that training on a CPU gains a factor of two from."""

import ctypes
import sys

# parameters of mallopt, from malloc.h of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory():
    """Has the C library keep freed memory for the next tensor, where it is glibc; returns whether it will.

    Otherwise each large tensor is mapped anew, and the first touch of each of its pages is a trip to the kernel. The
    process then holds its peak of memory to its end.
    """
    if not sys.platform.startswith('linux'):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    accepted = [mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, 2**31 - 1), mallopt(_M_TOP_PAD, 256 << 20)]
    return accepted == [1, 1, 1]
