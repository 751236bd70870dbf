# SPDX-License-Identifier: MIT
"""Runs one unittest file for tests/run: `one_file.py RESULT_FD FILE [PATTERN]`, inside new namespaces.

Pid 1 of the pid namespace only reaps; a child of it runs the tests and writes one JSON line for each
to RESULT_FD.  When pid 1 goes, the kernel ends whatever the tests left running.
"""
import importlib.util
import json
import os
import sys
import time
import unittest

LIB = os.path.dirname(os.path.abspath(__file__))


def reap_until(child):
    """Collect every orphan until CHILD ends; CHILD's exit status."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


class JsonResult(unittest.TextTestResult):
    """The usual text for people, and a line of JSON for each test."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._started = {}
        self._failed = set()

    def startTest(self, test):
        self._started[test.id()] = time.monotonic()
        super().startTest(test)

    def _report(self, test, outcome, reason=""):
        seconds = time.monotonic() - self._started.get(test.id(), time.monotonic())
        emit(test=test.id(), outcome=outcome, reason=reason, seconds=round(seconds, 3))

    def _report_failure(self, test):
        if test.id() not in self._failed:  # several subtests of one test fail it once
            self._failed.add(test.id())
            self._report(test, "failed")

    def addSuccess(self, test):
        super().addSuccess(test)
        self._report(test, "passed")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._report(test, "passed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._report_failure(test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._report(test, "skipped", reason)

    def addError(self, test, err):
        super().addError(test, err)
        self._report_failure(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._report_failure(test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._report_failure(test)


_results = None


def emit(**fields):
    if _results is not None:
        _results.write(json.dumps(fields) + "\n")
        _results.flush()


def note(text):
    """A line for the run's summary (a count, a measured figure)."""
    if _results is None:
        print(f"note: {text}")
    emit(note=text)


def load(path, pattern):
    """The suite of one test file; PATTERN as for unittest's -k."""
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [pattern if "*" in pattern else f"*{pattern}*"]
    return loader.loadTestsFromModule(module)


def ids(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from ids(test)
        else:
            yield test.id()


def main():
    global _results
    result_fd, path = int(sys.argv[1]), sys.argv[2]
    pattern = sys.argv[3] if len(sys.argv) > 3 else ""
    if os.getpid() == 1:
        child = os.fork()
        if child:
            os.close(result_fd)
            status = reap_until(child)
            sys.exit(status if status >= 0 else 128 - status)
    os.set_inheritable(result_fd, False)
    _results = os.fdopen(result_fd, "w")
    sys.modules["one_file"] = sys.modules["__main__"]  # so that note() of a test's import is this one
    sys.path[:0] = [LIB, os.path.dirname(path)]
    suite = load(path, pattern)
    emit(planned=len(list(ids(suite))))
    runner = unittest.TextTestRunner(stream=sys.stderr, verbosity=2, resultclass=JsonResult)
    runner.run(suite)
    emit(done=True)


if __name__ == "__main__":
    main()
