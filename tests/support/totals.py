"""Adds up JUnit results (ctest's and pytest's): the last line is "N passed, N failed".

Exits 1 if anything failed. With CI=true a skipped test has failed. --checks adds what else was
checked and passed or failed.
"""

import argparse
import os
import sys
import xml.etree.ElementTree as ElementTree


def count(path):
    """(passed, failed, skipped) of one file; an unreadable file is one failure."""
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        print(f"{path}: {error}")
        return 0, 1, 0
    failed = sum(any(case.find(kind) is not None for kind in ("failure", "error"))
                 for case in cases)
    skipped = sum(case.find("skipped") is not None
                  or "[  SKIPPED ]" in case.findtext("system-out", "") for case in cases)
    return len(cases) - failed - skipped, failed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, nargs=2, default=(0, 0), metavar=("PASSED", "FAILED"))
    parser.add_argument("results", nargs="*")
    arguments = parser.parse_args()
    passed, failed, skipped = map(sum, zip((*arguments.checks, 0),
                                           *map(count, arguments.results)))
    if skipped and os.environ.get("CI") == "true":
        failed += skipped
        print(f"{skipped} skipped, which CI counts as failed")
    elif skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
