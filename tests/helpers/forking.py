"""Runs `untrusted_files.main` in forks of one clean process: some hundred files a minute, not ten.

As a script it is that process: a line of JSON in, the arguments; a line out, the exit status. What
the fork printed lies in the two files named before the arguments.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

TIME_LIMIT_S = 20


class Server:
    """In the place of `dbp.support.untrusted_files._in_a_process`."""

    def __init__(self, folder):
        self.outputs = [str(folder / "stdout"), str(folder / "stderr")]
        self.statuses = []
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, arguments):
        self.process.stdin.write(json.dumps([*self.outputs, *arguments]) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        self.statuses.append(status)
        content, message = (Path(path).read_bytes() for path in self.outputs)
        return status, content, message.decode(errors="replace").strip() if status == 2 else ""

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def serve():
    # Loaded once.
    import h5py  # noqa: F401
    from scipy.io import matlab  # noqa: F401

    from dbp.support import untrusted_files

    for line in sys.stdin:
        *outputs, path, names = (lambda a: (a[0], a[1], a[2], a[3:]))(json.loads(line))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for number, output in enumerate(outputs, 1):
                    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
                signal.alarm(TIME_LIMIT_S)
                status = untrusted_files.main([path, *names])
                sys.stderr.flush()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
