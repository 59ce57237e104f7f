#!/usr/bin/env python3
"""The ratchet itself: what it counts, and that it lets nothing grow."""
import os
import tempfile
import unittest

import lengths


def body(lines):
    return "\n".join(f"  Step({n});" for n in range(lines - 2))


class Functions(unittest.TestCase):
    def test_are_found_with_their_names_and_lines(self):
        source = """// Not one: void Commented() {
namespace weir {
namespace {
constexpr int kTable[] = {1, 2,
                          3};
const std::map<int, int> kMap = {{1, 2}};
enum class Kind { kOne };
struct Pair {
  int first = Make(1);
  bool operator==(const Pair& other) const { return true; }
};
class Door : public Base {
 public:
  explicit Door(int fd)
      : fd_{fd}, other_(2) {
    Open();
  }
  ~Door() override {}

 private:
  int fd_{0};
};
template <typename T = std::function<void()>>
T Wait(T value,
       const char* text = "{ no brace {") {
  auto inner = [&] {
    if (value) {
      return '{';
    }
  };
  return inner();
}
}  // namespace
void Door::Close() { const std::string raw = R"({{{
)"; }
TEST(DoorTest, Closes) {
  Door(1).Close();
}
}  // namespace weir
"""
        self.assertEqual(lengths.functions(source), [
            ("operator==", 1), ("Door", 4), ("~Door", 1), ("Wait", 10), ("Door::Close", 2), ("DoorTest.Closes", 3)])

    def test_of_one_line_do_not_merge_with_the_next(self):
        self.assertEqual(lengths.functions("void A() {}\nMACRO(b)\nvoid B() {\n}\n"), [("A", 1), ("B", 2)])


class Ratchet(unittest.TestCase):
    def run_on(self, files, stored):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return lengths.compare(lengths.measure(root), stored)

    def refuses(self, words, files, stored):
        found = self.run_on(files, stored)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_short_ones_need_no_entry(self):
        self.assertEqual(self.run_on({"cli/a.cc": "void A() {\n" + body(40) + "\n}\n"}, {}), [])

    def test_a_new_long_function(self):
        self.refuses("cli/a.cc A: 41 lines, may have 40", {"cli/a.cc": "void A() {\n" + body(41) + "\n}\n"}, {})

    def test_a_long_function_that_grew(self):
        self.refuses("may have 50 in", {"cli/a.cc": "void A() {\n" + body(51) + "\n}\n"}, {"cli/a.cc A": 50})

    def test_a_long_function_that_stays(self):
        self.assertEqual(self.run_on({"cli/a.cc": "void A() {\n" + body(50) + "\n}\n"}, {"cli/a.cc A": 50}), [])

    def test_a_second_long_function_of_that_name(self):
        one = "void A() {\n" + body(50) + "\n}\n"
        self.refuses("cli/a.cc A#2: 50 lines", {"cli/a.cc": one + one}, {"cli/a.cc A": 50})

    def test_one_that_shrank_is_lowered_in_the_list(self):
        self.refuses("--write", {"cli/a.cc": "void A() {\n" + body(45) + "\n}\n"}, {"cli/a.cc A": 50})

    def test_one_that_is_gone_leaves_the_list(self):
        self.refuses("--write", {"cli/a.cc": "\n"}, {"cli/a.cc A": 50})

    def test_a_new_long_file(self):
        self.refuses("cli/a.cc: 401 lines, may have 400", {"cli/a.cc": "\n" * 401}, {})

    def test_a_file_over_the_bound_even_if_it_is_listed(self):
        self.refuses("no file passes 800", {"cli/a.cc": "\n" * 801}, {"cli/a.cc": 801})


if __name__ == "__main__":
    unittest.main()
