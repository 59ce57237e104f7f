#!/usr/bin/env python3
"""That clang, asked as CMakeLists.txt asks it, refuses who touches what a lock of libs/base/mutex.h guards without it."""
import os
import re
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as lists:
    WARNINGS = re.search(r"set\(WEIR_CLANG_WARNINGS ([^)]*)\)", lists.read()).group(1).split()
CLASS = """#include "libs/base/wait.h"
struct Counter {
  weir::Mutex mutex;
  weir::CondVar wake;
  int count WEIR_GUARDED_BY(mutex) = 0;
  void Raise() WEIR_REQUIRES(mutex) { ++count; }
"""
WITH = ("weir::MutexLock lock(mutex); ++count; Raise();",
        "weir::MutexLock lock(mutex); lock.Unlock(); lock.Lock(); ++count;",
        "weir::MutexLock lock(mutex); wake.Wait(mutex, [this]() WEIR_REQUIRES(mutex) { return count > 0; });",
        "weir::MutexLock lock(mutex); weir::WaitFor(weir::Clock::Real(), wake, mutex, weir::Duration(1), "
        "[this]() WEIR_REQUIRES(mutex) { return count > 0; });")
WITHOUT = ("++count;", "Raise();", "weir::MutexLock lock(mutex); lock.Unlock(); ++count;",
           "wake.Wait(mutex, [this]() WEIR_REQUIRES(mutex) { return count > 0; });",
           "weir::WaitFor(weir::Clock::Real(), wake, mutex, weir::Duration(1), [] { return true; });",
           "weir::MutexLock lock(mutex); wake.Wait(mutex, [this] { return count > 0; });",
           "mutex.Lock(); ++count;", "mutex.Unlock();")


class Locks(unittest.TestCase):
    def refused(self, bodies):
        """Which of the bodies of member functions are refused for a lock."""
        functions = "".join(f"  void F{i}() {{ {body} }}\n" for i, body in enumerate(bodies))
        done = subprocess.run(["clang++-19", "-std=c++20", "-fsyntax-only", "-Werror", "-I" + ROOT, *WARNINGS, "-xc++", "-"],
                              input=CLASS + functions + "};\n", capture_output=True, text=True, check=False)
        errors = re.findall(r"<stdin>:(\d+):\d+: error: .*", done.stderr)
        self.assertEqual(done.stderr.count("error: "), done.stderr.count("-Wthread-safety"), done.stderr)
        return {bodies[int(line) - CLASS.count("\n") - 1] for line in errors}

    def test_with_the_lock_everything_may_be_touched(self):
        self.assertEqual(self.refused(WITH), set())

    def test_without_it_nothing(self):
        self.assertEqual(self.refused(WITHOUT), set(WITHOUT))


if __name__ == "__main__":
    unittest.main()
