"""The prepared interpreter of `mediafleet.node.nursery`, run as a plain script: it imports nothing of ours.

    python -I _nursery.py <descriptor of its socket> <path of a script>

It runs the script up to the moment at which that asks standard input for its line, so with all its libraries and without
having read anything. There it stays. With each byte on the socket come three descriptors: a child is forked that has them as
its standard input, output and error, and in which the script goes on. The answer is the child's number, or an errno below 0.

The child is the node's and not this process's (CLONE_PARENT): the node waits for it and it dies with the node, as if the
node had started it itself, whatever becomes of this process. libc has no function for that, so the kernel is asked directly,
and with what libc would do beside: the number of the thread is renewed, and Python sees to its own state.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import runpy
import signal
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER = struct.Struct("i")
_STREAMS = 3
_CLONE_PARENT, _CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x8000, 0x20_0000, 0x100_0000
"""From `linux/sched.h`."""
_PR_SET_PDEATHSIG, _PR_GET_TID_ADDRESS = 1, 40
"""From `linux/prctl.h`."""
_CLONE = {"x86_64": (56, 3), "aarch64": (220, 4)}
"""Machine → number of the call, and which of its arguments is the place of the child's thread number."""
_ORPHANED, _UNFIT = 127, 70


class UnfitError(Exception):
    """This system, or this script, cannot be forked safely; the node then starts interpreters one by one."""


def prepare_fork() -> Callable[[], int]:
    """Return what forks as `os.fork` does, but makes a child of this process's own parent.

    Raises:
        UnfitError: This system is not known to permit it.
    """
    machine = os.uname().machine
    if machine not in _CLONE or ctypes.sizeof(ctypes.c_void_p) != ctypes.sizeof(ctypes.c_longlong):
        raise UnfitError(machine)
    # Both keep the interpreter's lock, as a fork must.
    kernel, python = ctypes.PyDLL(None, use_errno=True), ctypes.pythonapi
    place = _find_thread_number(kernel)
    number, at = _CLONE[machine]
    words = [_CLONE_PARENT | _CLONE_CHILD_CLEARTID | _CLONE_CHILD_SETTID | signal.SIGCHLD, 0, 0, 0, 0]
    words[at] = place
    call = kernel.syscall
    call.restype, call.argtypes = ctypes.c_long, [ctypes.c_long] * 6
    before, after, begin = python.PyOS_BeforeFork, python.PyOS_AfterFork_Parent, python.PyOS_AfterFork_Child
    for step in (before, after, begin):
        step.restype, step.argtypes = None, []

    def fork() -> int:
        before()
        pid = int(call(number, *words))
        if pid == 0:
            begin()
            return 0
        after()
        if pid < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return pid

    return fork


def _find_thread_number(kernel: ctypes.PyDLL) -> int:
    """Return where libc keeps the number of this thread: in a child it is another, and libc signals itself by it."""
    place = ctypes.c_ulong()
    if kernel.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(place), 0, 0, 0):
        raise UnfitError("the kernel does not tell where libc keeps its thread number")
    # Other libraries than glibc tell the kernel another place.
    if not place.value or ctypes.c_int.from_address(place.value).value != threading.get_native_id():
        raise UnfitError("an unknown C library")
    return place.value


class Nursery:
    """Forks for as long as the node holds the other end of the socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._fork = prepare_fork()
        # The node's: what started this process has made sure of it.
        self._parent = os.getppid()
        self._prctl = ctypes.PyDLL(None).prctl

    def serve(self) -> None:
        """Return in a child, as often as one is asked for; here, never."""
        sys.stdout.flush()
        sys.stderr.flush()
        # What is here now stays shared: a search for garbage would write to each object, and so copy its page.
        gc.collect()
        gc.freeze()
        while True:
            word, streams, _, _ = socket.recv_fds(self._control, 1, _STREAMS, socket.MSG_CMSG_CLOEXEC)
            if not word:
                os._exit(0)
            if len(streams) != _STREAMS:
                raise UnfitError("a child's descriptors were lost")
            # A thread would be missing in the child, together with whatever it has locked.
            if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - counted, and by the smallest means
                raise UnfitError("the script has started threads")
            if self._bear(streams):
                return
            for stream in streams:
                os.close(stream)

    def _bear(self, streams: list[int]) -> bool:
        """Fork, and tell the node once the child can be signalled; return whether this is the child."""
        reader, writer = os.pipe()
        try:
            pid = self._fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            self._leave(streams)
            os.close(writer)
            os.close(reader)
            return True
        os.close(writer)
        # To its end, which is also that of a child that was killed in between: the node has to know of it.
        os.read(reader, 1)
        os.close(reader)
        self._control.send(ANSWER.pack(pid))
        return False

    def _leave(self, streams: list[int]) -> None:
        """Become what a child of the node is: all limits are inherited, but neither session nor tie."""
        os.setsid()
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The node may have died before the call above: then no signal will ever come.
        if os.getppid() != self._parent:
            os._exit(_ORPHANED)
        self._control.close()
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)


class FirstLine(io.TextIOBase):
    """Stands for standard input until its first line is read, which only children do; whatever else is read is an error."""

    def __init__(self, serve: Callable[[], None]) -> None:
        self._serve = serve
        self._is_served = False

    def readline(self, size: int = -1, /) -> str:
        """Return the next line of a child's standard input."""
        if not self._is_served:
            self._serve()
            self._is_served = True
            sys.stdin = sys.__stdin__
        return "" if sys.__stdin__ is None else sys.__stdin__.readline(size)


def main() -> None:
    """Prepare the script and fork it; ends with the status `_UNFIT` where that cannot be done."""
    control, script = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    try:
        sys.stdin = FirstLine(Nursery(control).serve)
        sys.argv = [script]
        runpy.run_path(script, run_name="__main__")
    except UnfitError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(_UNFIT)


if __name__ == "__main__":
    main()
