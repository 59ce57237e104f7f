#!/usr/bin/env python3
"""The check itself: which lies it finds."""
import os
import tempfile
import unittest

import cases

FILES = {
    "cli/a_test.cc": "TEST(Flags, AreTakenApart) {}\nTEST_F(Doors,\n       Close) {}\nTEST_P(Rows, AreRead) {}\n",
    "libs/base/b.cc": "TEST(Product, HasNone) {}\n",
    "tests/e2e/page_test.py": "print(1)\n",
    "ARCHITECTURE.md": "- true (`cli/a_test.cc`)\n",
    "docs/operating/limits.md": "",
}
HEAD = "| id | file:test |\n|---|---|\n"


class Cases(unittest.TestCase):
    def run_on(self, rows, **pages):
        files = dict(FILES, **{"tests/cases.md": HEAD + rows})
        files.update({"docs/operating/limits.md": pages.get("limits", ""), "docs/hacking.md": pages.get("hacking", "")})
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return cases.check(root)

    def refuses(self, words, rows, **pages):
        found = self.run_on(rows, **pages)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_rows_that_are_true(self):
        self.assertEqual(self.run_on("| A1 | cli/a_test.cc:Flags.AreTakenApart, cli/a_test.cc:Doors.Close (half of it) |\n"
                                     "| h1-11a | cli/a_test.cc:Rows.AreRead |\n| A20 | tests/e2e/page_test.py |\n"
                                     "| D7 | (measured, docs/adr/0015) |\n"), [])

    def test_a_test_that_is_in_another_file_only(self):
        self.refuses("cli/a_test.cc has no Flags.Close", "| A1 | cli/a_test.cc:Flags.Close |\n")

    def test_a_file_that_is_not_there(self):
        self.refuses("no test file cli/b_test.cc", "| A1 | cli/b_test.cc:Flags.AreTakenApart |\n")

    def test_a_script_that_is_not_there(self):
        self.refuses("no test file tests/e2e/door_test.py", "| A1 | tests/e2e/door_test.py |\n")

    def test_what_is_no_name_of_a_test(self):
        self.refuses("is not file:Suite.Test", "| A1 | cli/a_test.cc:Doors.Close, Flags |\n")

    def test_an_id_that_comes_twice(self):
        row = "| A1 | cli/a_test.cc:Doors.Close |\n"
        self.refuses("A1 stands in line 3 already", row + row)

    def test_a_row_without_a_test_or_a_reason(self):
        self.refuses("neither a test nor a reason", "| A1 | |\n")

    def test_a_row_without_an_id(self):
        self.refuses("not a row", "| | cli/a_test.cc:Doors.Close |\n")

    def test_a_page_that_names_a_test_that_is_gone(self):
        self.refuses("docs/hacking.md:1: cli/a_test.cc has no Flags.AreGone", "", hacking="see `cli/a_test.cc:Flags.AreGone`")

    def test_a_page_that_names_a_file_that_is_gone(self):
        self.refuses("docs/hacking.md:1: there is no test file cli/gone_test.cc", "", hacking="see `cli/gone_test.cc`")

    def test_limits_name_tests_with_their_suite(self):
        table = "| what | name | test |\n|---|---|---|\n| head | `Bounds::kHead` | `%s` |\n"
        self.assertEqual(self.run_on("", limits=table % "Flags.*"), [])
        self.refuses("limits.md:3: `AreTakenApart` is not Suite.Test", "", limits=table % "AreTakenApart")
        self.refuses("limits.md:3: no file has Flags.AreGone", "", limits=table % "Flags.AreGone")
        self.refuses("limits.md:1: no file has Gone.*", "", limits="Tests: `Gone.*`.")


if __name__ == "__main__":
    unittest.main()
