"""Memory that is freed is reused: seen by the pages that the kernel hands out."""

import resource
import sys

import pytest

from inception_tf.runtime.memory import keep_freed_memory


def _pages_of(blocks, megabytes=48):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        b"x" * (megabytes * 2**20)  # not numpy's: it asks for huge pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_block_of_48_mib_is_not_mapped_anew_each_time():
    keep_freed_memory()
    _pages_of(1)
    assert _pages_of(8) < 48 * 2**20 / 4096  # less than one block's pages for all of them
