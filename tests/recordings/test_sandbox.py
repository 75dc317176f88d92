"""The sandbox: what code can do, every limit, and known ways to escape."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from recordings.sandbox import Limits, PythonSandbox, SandboxResult

SECONDS = 1.0
LIMITS = Limits(seconds=SECONDS, memory=64 * 2**20, recursion=200, code=2_000, output=300)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PythonSandbox]:
    with PythonSandbox(LIMITS) as started:
        yield started


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("48/2", "24.0"),
        ("x = 3\nx * 7  # times seven", "21"),
        ("x = 3; x;", "3"),
        ("print('a')\nprint('b')", "a\nb"),
        ("print('a')\n'b'", "a\nb"),
        ("(1,\n 2)", "(1, 2)"),
        ("x = 5\r\nx", "5"),
        ("name = 'é'; name", "é"),
        ("import math\nmath.comb(10, 3)", "120"),
        ("import re\nre.findall(r'[0-9]+', 'a1b22')", "['1', '22']"),
        ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nf(20)", "2432902008176640000"),
        ("for i in range(3):\n    print(i)", "0\n1\n2"),
        ("x = 1", ""),
        ("None", ""),
        ("", ""),
        ("# nothing", ""),
    ],
)
def test_what_is_printed_and_the_last_value_come_back(sandbox: PythonSandbox, code: str, text: str) -> None:
    assert sandbox.run(code) == SandboxResult(text, failed=False)


@pytest.mark.parametrize(
    ("code", "last_line"),
    [
        ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError: division by zero (line 2)"),
        ("print('so far')\nmissing + 1", "NameError: name 'missing' is not defined (line 2)"),
        ("1 +", "SyntaxError: Expected an expression (line 1)"),
        ("int('a')", "ValueError: invalid literal for int() with base 10: 'a' (line 1)"),
        ("10 ** 5000", "ValueError: Exceeds the limit (4300 digits) for integer string conversion"),
        ("\ud800", "SyntaxError: source code is not valid UTF-8"),
        ("x\0", "SyntaxError: "),
    ],
)
def test_a_failure_is_the_last_line(sandbox: PythonSandbox, code: str, last_line: str) -> None:
    ran = sandbox.run(code)
    assert ran.failed
    assert ran.text.splitlines()[-1].startswith(last_line)
    assert ran.text.startswith("so far\n") is code.startswith("print")


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "open('/tmp/written-by-a-model', 'w').write('x')",
        "from pathlib import Path\nPath('/etc/passwd').read_text()",
        "import os\nos.listdir('/')",
        "import os\nos.environ",
        "import os\nos.getenv('HOME')",
        "import os\nos.system('id')",
        "import subprocess",
        "import socket",
        "import urllib.request",
        "import http.client",
        "import ctypes",
        "import importlib",
        "import pickle",
        "__import__('os')",
        "__builtins__['open']",
        "eval(\"__import__('os').system('id')\")",
        'exec("import socket")',
        "().__class__.__bases__[0].__subclasses__()",
        "(lambda: 0).__globals__",
        "(lambda: 0).__code__",
        "getattr(getattr((), '__cla' + 'ss__'), '__bases__')",
        "'{0.__class__}'.format(0)",
        "import sys\nsys.modules['os'].system",
        "import sys\nsys._getframe()",
        "breakpoint()",
        "input()",
    ],
)
def test_there_is_no_way_out(sandbox: PythonSandbox, code: str) -> None:
    ran = sandbox.run(code)
    assert ran.failed, ran.text
    assert "root:" not in ran.text
    assert not Path("/tmp/written-by-a-model").exists()


def test_the_environment_is_not_there(sandbox: PythonSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hidden")
    with PythonSandbox(LIMITS) as started_with_it:
        for code in ("import os\nstr(vars(os))", "import os\nos.environ.get('A_SECRET')", "import os\nos.getcwd()"):
            ran = started_with_it.run(code)
            assert "hidden" not in ran.text
            assert os.getcwd() not in ran.text


@pytest.mark.parametrize("code", ["while True:\n    pass", "sum(range(10 ** 12))", "while True: print('a' * 100)"])
def test_an_endless_run_ends(sandbox: PythonSandbox, code: str) -> None:
    began = time.monotonic()
    ran = sandbox.run(code)
    assert ran.failed
    assert ran.text.splitlines()[-1].startswith("TimeoutError: ")
    assert time.monotonic() - began < SECONDS + 5


def test_sleep_takes_no_time(sandbox: PythonSandbox) -> None:
    began = time.monotonic()
    assert not sandbox.run("import time\ntime.sleep(1_000)").failed
    assert time.monotonic() - began < 100


@pytest.mark.parametrize(
    "code",
    [
        "[0] * 10 ** 9",
        "x = 'a'\nwhile True:\n    x += x",
        "9 ** 9 ** 9",
        "x = []\nwhile True:\n    x.append('a' * 10 ** 6)",
        "range(10 ** 9).__iter__\nlist(range(10 ** 9))",
    ],
)
def test_a_memory_bomb_is_refused(sandbox: PythonSandbox, code: str) -> None:
    before = psutil.Process().memory_info().rss
    ran = sandbox.run(code)
    assert ran.failed
    # Which of its limits a run meets first depends on the machine; that this process does not grow does not.
    assert psutil.Process().memory_info().rss - before < 2 * LIMITS.memory
    assert sandbox.run("1 + 1").text == "2"


def test_a_value_that_grows_without_bound_where_it_is_written_out(sandbox: PythonSandbox) -> None:
    began = time.monotonic()
    ran = sandbox.run("x = [1]\nfor i in range(60):\n    x = [x, x]\nx")
    assert ran.failed
    assert time.monotonic() - began < SECONDS + 5
    assert sandbox.run("x = []\nx.append(x)\nx").text in ("[[...]]", "[[[...]]]")


def test_output_is_cut(sandbox: PythonSandbox) -> None:
    ran = sandbox.run("print('a' * 299)\nprint('b' * 10)\n'c'")
    assert ran == SandboxResult("a" * 299 + "\n" + "\n... (cut: the output has more than 300 characters)", failed=False)
    endless = sandbox.run("while True: print('a' * 100)")
    assert len(endless.text) < 500
    assert "... (cut: the output has more than 300 characters)\nTimeoutError" in endless.text


@pytest.mark.parametrize("code", ["def f(n):\n    return f(n + 1)\nf(0)", "f = lambda n: f(n)\nf(0)"])
def test_deep_recursion_ends(sandbox: PythonSandbox, code: str) -> None:
    assert "RecursionError" in sandbox.run(code).text


def test_long_code_is_refused(sandbox: PythonSandbox) -> None:
    ran = sandbox.run("1+" * 1_000 + "1")
    assert ran == SandboxResult("SandboxError: the code has more than 2,000 characters", failed=True)


def test_runs_know_nothing_of_each_other(sandbox: PythonSandbox) -> None:
    sandbox.run("left_behind = 5\nimport math\nmath.pi = 3")
    assert sandbox.run("left_behind").failed
    assert sandbox.run("import math\nmath.pi").text == "3.141592653589793"
    assert sandbox.run("import random\nrandom.random()") == sandbox.run("import random\nrandom.random()")


def test_a_worker_that_dies_takes_nothing_with_it() -> None:
    ran: list[SandboxResult] = []
    others = workers()
    with PythonSandbox(Limits(seconds=30), workers=1) as sandbox:
        assert sandbox.run("1 + 1").text == "2"
        (worker,) = workers() - others
        endless = threading.Thread(target=lambda: ran.append(sandbox.run("while True: pass")))
        endless.start()
        wait_until_busy(worker)
        worker.kill()
        endless.join(20)
        assert ran == [
            SandboxResult("SandboxError: the interpreter ended, and nothing of this run is left", failed=True)
        ]
        assert sandbox.run("1 + 1").text == "2"
    assert workers() <= others


def workers() -> set[psutil.Process]:
    return {child for child in psutil.Process().children() if child.name() == "monty"}


def wait_until_busy(worker: psutil.Process) -> None:
    began = worker.cpu_times().user
    end = time.monotonic() + 10
    while worker.cpu_times().user < began + 0.1 and time.monotonic() < end:
        time.sleep(0.01)


def test_workers_run_side_by_side() -> None:
    with PythonSandbox(Limits(seconds=3), workers=2) as sandbox:
        threads = [threading.Thread(target=sandbox.run, args=("while True: pass",)) for _ in range(2)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < 6


def test_a_sandbox_that_was_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="inside its `with`"):
        PythonSandbox().run("1")
