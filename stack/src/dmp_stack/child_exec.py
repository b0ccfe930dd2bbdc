"""Becomes another program that ends when its parent ends. Run by file name; imports only the standard library.

    python -I -S child_exec.py PARENT_PID ORPHAN_SIGNAL USER PROGRAM [ARGUMENT ...]

PARENT_PID is the process that asked for the child, ORPHAN_SIGNAL the number of the signal that the child gets when the
*thread* that asked for it ends for whatever reason, `kill -9` included (Linux only; elsewhere the next start of the
stack finds the orphans), and USER the system user to become first, or `-` to stay who we are. The process id does not
change. The steps keep this order because the kernel forgets the death signal when the user changes.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

if sys.platform == "linux":
    import ctypes

    _LIBC = ctypes.CDLL(None, use_errno=True)  # now: the other user may not be able to read Python's own files
    _PR_SET_PDEATHSIG = 1  # linux/prctl.h

_OPEN_FILES = 65536  # connections are files, and many systems allow 1024 unless asked


def _become(user: str) -> None:
    import pwd  # needed only here

    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir
    os.chdir("/")


def _die_with_parent(parent_pid: int, signal_number: int) -> None:
    if sys.platform != "linux":
        return
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:  # the parent was gone before the kernel knew what to do about it
        sys.exit(1)


def _allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def main(arguments: list[str]) -> None:
    """Replaces this process by the program that `arguments` describe; returns only by an exception."""
    parent_pid, signal_number, user, program = arguments[0], arguments[1], arguments[2], arguments[3:]
    if user != "-":
        _become(user)
    _die_with_parent(int(parent_pid), int(signal_number))
    _allow_many_files()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the launcher blocks what it waits for
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
