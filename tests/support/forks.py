"""Python programs without the seconds that each spends on importing TensorFlow and Keras.

`python forks.py KIND SOCKET ...` imports them once, then forks for each program that it is asked for: a subprocess
as ever, with the arguments, variables and working directory that it would have; what it prints, writes and ends with is
the same. There are two such servers: of conversions, which import TensorFlow alone, and of programs.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import tempfile
import traceback
import types
from pathlib import Path

MODULE = "tflite_export.workers.convert"
# What a process reads only while it imports. Where one of these is not as in the server, the program starts afresh.
FIXED = ("KERAS_", "TF_", "PYTHON", "XLA_", "CUDA_", "JAX_", "MPL")


class Forks:
    """A server and how it is asked. It is started for the first program, and ends with the process that started it.

    Args:
        kind: "conversions" or "programs".
        address: The path of its socket. Servers for which `start` is not called are expected to run there.
    """

    def __init__(self, kind, address):
        self._kind, self._address = kind, str(address)
        self._server = None

    def start(self, env, *more):
        if self._server is None:
            line = [sys.executable, "-P", __file__, self._kind, self._address, *more]
            self._server = subprocess.Popen(line, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self._server.stdout.readline() == b"ready\n"

    def ask(self, line, arguments, env, cwd, timeout=None):
        """Runs a program and returns what `subprocess.run` would for the line."""
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as connection:
            out, err = Path(folder) / "stdout", Path(folder) / "stderr"
            task = {"arguments": arguments, "env": env, "cwd": str(cwd or os.getcwd()), "streams": [str(out), str(err)]}
            connection.settimeout(timeout)
            connection.connect(self._address)
            connection.sendall(json.dumps(task).encode() + b"\n")
            try:
                code = int(connection.makefile().readline())
            except TimeoutError:
                raise subprocess.TimeoutExpired(line, timeout) from None
            texts = (path.read_text("utf-8", errors="replace") for path in (out, err))
            return subprocess.CompletedProcess(line, code, *texts)

    def close(self):
        if self._server is not None:
            self._server.communicate()


class Converter(Forks):
    """Stands for `execute` of `tflite_export.subprocesses`; what is no conversion it leaves to that."""

    def __init__(self, address):
        from tflite_export.subprocesses import execute

        super().__init__("conversions", address)
        self._execute = execute

    def run(self, line, env):
        if line[:4] != [sys.executable, "-P", "-m", MODULE]:
            return self._execute(line, env)
        if not os.path.exists(self._address):
            self.start(env)
        return self.ask(line, line[4:], env, None)


class Programs(Forks):
    """Runs files of Python and code (`-c`) that use Keras on TensorFlow. Their conversions are such forks too."""

    def __init__(self, address, converter):
        super().__init__("programs", address)
        self._converter, self._env = converter, None

    def run(self, line, *, env, cwd=None, timeout=None):
        """What `subprocess.run(line, ..., capture_output=True)` does.

        Args:
            line: `[sys.executable, FILE or "-c", ...]`.
            env: All of its variables.
            cwd: Its working directory.
            timeout: After so many seconds it is an error.
        """
        assert line[0] == sys.executable
        if self._env is None:
            self._env = env
            self._converter.start(env)
            self.start(env, self._converter._address)
        line = [str(word) for word in line]
        if fixed(env) != fixed(self._env):
            return subprocess.run(
                line, env=env, cwd=cwd, timeout=timeout, capture_output=True, encoding="utf-8", check=False
            )
        return self.ask(line, line[1:], env, cwd, timeout)


def fixed(env):
    return {name: value for name, value in env.items() if name.startswith(FIXED)}


def serve(kind, address, *more):
    """Imports, says "ready", and forks for each connection until standard input ends: with who started this."""
    ready = {"conversions": conversions, "programs": programs}[kind](*more)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("ready", flush=True)
        while True:
            asked, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in asked:
                return
            connection, _ = listening.accept()
            with connection:
                task = json.loads(connection.makefile().readline())
                process = os.fork()
                if process == 0:
                    become(task)
                    ready(task["arguments"])
                    return
                code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    connection.sendall(b"%d\n" % code)


def become(task):
    """Gives this process the streams, variables and working directory of the task."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    for stream, path in zip((sys.stdout, sys.stderr), task["streams"], strict=True):
        with open(path, "w") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])


def conversions():
    from tflite_export.workers import convert as worker

    sys.modules.update(dict.fromkeys(worker._UNUSED))
    import tensorflow as tf

    tf.lite.TFLiteConverter  # noqa: B018  # imported when it is asked for

    def run(arguments):
        # The end of a process that only converted is not waited for.
        os._exit(code_of(worker.main, arguments))

    return run


def code_of(main, arguments):
    try:
        main(*arguments)
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
    return 0


def programs(converter):
    import keras  # noqa: F401
    import numpy as np
    import tensorflow as tf  # noqa: F401

    import tflite_export.subprocesses

    tflite_export.subprocesses.execute = Converter(converter).run

    def run(words):
        np.random.seed()  # noqa: NPY002  # as in a new process, and not as in the other forks
        program, *arguments = words
        if program == "-c":
            code, *arguments = arguments
            sys.argv = ["-c", *arguments]
            sys.path.insert(0, "")
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(code, "<string>", "exec"), main.__dict__)
        else:
            sys.argv = [program, *arguments]
            sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
            runpy.run_path(program, run_name="__main__")

    return run


if __name__ == "__main__":
    serve(*sys.argv[1:])
