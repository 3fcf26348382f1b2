"""Where evaluations count in tests that are not about worker processes."""

from dbp.evaluation import executors


def in_threads(patch):
    """Let evaluations count in threads: processes take longer to begin than tests to count."""
    patch.setattr(executors, "_processes", lambda count: executors._threads(count, 0))
