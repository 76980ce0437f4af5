"""Conversions to TensorFlow Lite without the seconds that each spends on importing TensorFlow.

`python converter.py` imports it once. Each line that comes in is a conversion, in a subprocess as ever, but one
that is forked from this one: its messages, its files and its exit code are those of the worker
`tflite_export.workers.convert`.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

MODULE = "tflite_export.workers.convert"


class Converter:
    """Stands for the module `subprocess` in `tflite_export.subprocesses`; what is no conversion it leaves to that."""

    def __init__(self):
        self._server = None

    def run(self, line, *, env, **settings):
        if line[:4] != [sys.executable, "-P", "-m", MODULE]:
            return subprocess.run(line, env=env, **settings)
        if self._server is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self._server = subprocess.Popen([sys.executable, "-P", __file__], env=env, **pipes)
        with tempfile.TemporaryDirectory() as folder:
            words = Path(folder) / "stderr"
            task = {"arguments": line[4:], "env": env, "cwd": os.getcwd(), "words": str(words)}
            self._server.stdin.write(json.dumps(task) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(line, code, "", words.read_text(errors="replace"))

    def close(self):
        if self._server is not None:
            self._server.communicate()


def serve():
    from tflite_export.workers import convert as worker

    sys.modules.update(dict.fromkeys(worker._UNUSED))
    import tensorflow as tf

    tf.lite.TFLiteConverter  # noqa: B018  # imported when it is asked for
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os._exit(convert(worker.main, **json.loads(line)))
        replies.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
        replies.flush()


def convert(main, arguments, env, cwd, words):
    """Runs a conversion and returns the exit code of its process."""
    with open(words, "w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
        os.dup2(file.fileno(), sys.stdout.fileno())
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    try:
        main(*arguments)
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve()
