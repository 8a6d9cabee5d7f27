"""A training that the server started: told to stop and save when the server is gone.

    python -m alexnet.serve.child SERVER train ...      SERVER is the server's process number

Linux sends a process the signal that it asked for when its parent ends, however that went; that
holds over exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become `alexnet` with the arguments behind the server's number."""
    server, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(server):  # it went before the line above
        sys.exit(75)
    os.execv(sys.executable, [sys.executable, "-m", "alexnet", *arguments])


if __name__ == "__main__":
    main()
