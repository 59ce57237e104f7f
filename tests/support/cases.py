#!/usr/bin/env python3
"""cases.py JUNIT REPORTS: how many test cases passed and failed, from ctest's report and those of the suites.

A ctest test is one case, or a suite that left REPORTS/<name>.xml, written by gtest: then its cases count. A suite that failed
without a failed case (it crashed, or ran out of time) is one failed case more. Prints the failed ones and, last, "P F".
"""
import os
import sys
import xml.etree.ElementTree as xml


def suite_counts(path):
    """(passed, names of failed) of a gtest report; a skipped case is neither."""
    passed, failed = 0, []
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None:
            failed.append(name)
        elif case.get("status") == "run" and case.get("result") == "completed":
            passed += 1
    return passed, failed


def count(junit, reports):
    passed, failed = 0, []
    for test in xml.parse(junit).getroot().iter("testcase"):
        name, status = test.get("name"), test.get("status")
        report = os.path.join(reports, name + ".xml")
        if status in ("notrun", "disabled"):
            skipped = test.find("skipped")
            said = "" if skipped is None else skipped.get("message", "")
            if status == "notrun" and not said.startswith("SKIP_"):  # Its program is missing, say.
                failed.append(name + " (not run)")
            continue
        if not os.path.exists(report):
            if status == "run":
                passed += 1
            else:
                failed.append(name)
            continue
        good, bad = suite_counts(report)
        passed += good
        failed += [f"{name}: {case}" for case in bad]
        if status != "run" and not bad:
            failed.append(f"{name} (ended without a failed case)")
    return passed, failed


def main():
    passed, failed = count(sys.argv[1], sys.argv[2])
    for name in failed:
        print("FAILED:", name)
    print(passed, len(failed))


if __name__ == "__main__":
    main()
