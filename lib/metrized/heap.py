"""Memory that is freed stays at hand for the next step."""
import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Ask glibc to keep what is freed, up to 512 MB, and to take arrays up to 32 MB from it; True where it agreed, False on other systems.

    Training allocates the same arrays in every step. By default large ones go back to the kernel at once, which hands out fresh pages of
    zeros for the next, one page fault for every 4096 bytes: a third of the time of a step of a small GPT. mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all([mallopt(M_MMAP_THRESHOLD, 32 << 20), mallopt(M_TRIM_THRESHOLD, 512 << 20)])
