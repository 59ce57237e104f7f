#pragma once

#include <string>
#include <vector>

namespace weir::cli {

// What may stand in the place of a word that is being typed.
struct Candidates {
  std::vector<std::string> words;
  bool files = false;  // Names of files, too: the shell knows them.
};

// `words`: what was typed after "weir", the last one being typed ("" = nothing of it yet). Commands, flags and what
// they take are read from the commands and their usage; names of resources are asked of the server, for at most two
// seconds. Whatever fails leaves its words out.
Candidates Complete(const std::vector<std::string>& words);

// `weir __complete WORD…`: a candidate on each line, and last ":files" where names of files fit. The exit code.
int PrintCandidates(const std::vector<std::string>& words);

}  // namespace weir::cli
