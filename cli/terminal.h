#pragma once

#include <string>
#include <string_view>

namespace weir::cli {

// What only people at a terminal get. Output that goes to a file or another program has neither colours nor progress.

// Standard output is a terminal that shows colours, and nobody says NO_COLOR (no-color.org).
bool ShowsColours();
// A word of a table in its colour: states, and what needs somebody to act; any other as it is.
std::string Painted(std::string_view word);

// "… 12 s" on standard error while an answer is waited for; nothing where that is no terminal.
class Progress {
 public:
  void Tick();  // Once a second.
  void End();   // Takes it away.

 private:
  int seconds_ = 0;
};

}  // namespace weir::cli
