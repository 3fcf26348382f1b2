"""Threads of the package leave torch's own threads as they were."""

import os
from concurrent.futures import ThreadPoolExecutor

import torch

from dbp.support import threads


def test_tasks_get_a_core_and_one_thread_of_torch_each():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads.pool(100) as pool:
            assert pool._max_workers == len(os.sched_getaffinity(0))
            assert set(pool.map(lambda _: torch.get_num_threads(), range(20))) == {1}
        with ThreadPoolExecutor() as others:
            assert others.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
        with threads.pool(0) as pool:
            assert pool.submit(int, 5).result() == 5
    finally:
        torch.set_num_threads(before)
