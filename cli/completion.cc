#include "cli/completion.h"

#include <algorithm>
#include <iostream>
#include <map>

#include "api/weir/v2/metadata.pb.h"
#include "cli/commands.h"
#include "cli/objects.h"
#include "libs/base/text.h"

namespace weir::cli {
namespace {

constexpr std::chrono::seconds kPatience{2};  // Of who presses a key.
constexpr size_t kMostNames = 1000;
// A shell may read more into other characters; names of resources have no others.
constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-";

std::vector<std::string> Split(const std::string& text, std::string_view separators) {
  std::vector<std::string> parts;
  for (size_t at = 0; (at = text.find_first_not_of(separators, at)) != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(separators, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end;
  }
  return parts;
}

// What the usage of a command says it takes.
struct Takes {
  std::vector<std::vector<std::string>> forms;  // Placeholders in their order, one list for each form.
  std::map<std::string, std::string> flags;     // Name -> placeholder of its value.
};

std::string FlagName(const FlagSpec& spec, const std::string& word) {
  std::string name = word.substr(0, word.find_first_of("[="));
  if (name.starts_with("--")) return name.substr(2);
  const auto letter = name.size() > 1 ? spec.letters.find(name[1]) : spec.letters.end();
  return letter == spec.letters.end() ? "" : letter->second;
}

// "Usage: weir get KIND [NAME…] [-o FORMAT]": a line that begins with the command is another form of it.
Takes ReadUsage(const Command& command) {
  Takes takes;
  const std::string help(command.help);
  const std::string text = help.substr(0, help.find("\n\n"));
  const std::string head = "weir " + std::string(command.name);
  for (size_t at = text.find(head); at != std::string::npos;) {
    const size_t next = text.find(head, at + head.size());
    const std::vector<std::string> words = Split(text.substr(at + head.size(), next - at - head.size()), " \n[]");
    at = next;
    std::vector<std::string>& form = takes.forms.emplace_back();
    bool other = false;  // Behind a "|": what may stand there instead.
    for (size_t i = 0; i < words.size(); ++i) {
      if (words[i].starts_with('-') && words[i].size() > 1) {
        const std::string name = FlagName(command.flags, words[i]);
        if (command.flags.values.contains(name) && i + 1 < words.size()) takes.flags.emplace(name, words[++i]);
        continue;
      }
      other = other || words[i] == "|";
      if (!other) form.push_back(words[i]);
    }
  }
  return takes;
}

// The typed words, taken apart as far as they can be.
struct Typed {
  const Command* command = nullptr;
  std::vector<std::string> words;  // Behind the command, without flags.
  Flags flags;
  std::string flag;  // Whose value is being typed; "" = none.
};

Typed Read(const std::vector<std::string>& done) {
  Typed typed;
  size_t length = 0;
  for (const Command& command : Commands()) {
    const std::vector<std::string> name = Split(std::string(command.name), " ");
    if (name.size() <= length || name.size() > done.size() || !std::equal(name.begin(), name.end(), done.begin()))
      continue;
    typed.command = &command;
    length = name.size();
  }
  if (typed.command == nullptr) return typed;
  const FlagSpec spec = WithCommonFlags(typed.command->flags);
  for (size_t i = length; i < done.size(); ++i) {
    if (!done[i].starts_with('-') || done[i].size() == 1) {
      typed.words.push_back(done[i]);
      continue;
    }
    const std::string name = FlagName(spec, done[i]);
    const size_t equals = done[i].find('=');
    if (!spec.values.contains(name)) continue;
    if (equals != std::string::npos) {
      typed.flags.values[name].push_back(done[i].substr(equals + 1));
    } else if (i + 1 < done.size()) {
      typed.flags.values[name].push_back(done[++i]);
    } else {
      typed.flag = name;
    }
  }
  return typed;
}

void AddNames(const resource::KindInfo& kind, const Typed& typed, const std::string& begun, Candidates& to) {
  if (begun.find_first_not_of(kPlain) != std::string::npos) return;
  const auto session = LoadSession(typed.flags);
  if (!session.ok()) return;
  auto client = Client::Connect(*session);
  if (!client.ok()) return;
  client->EndIn(kPatience);
  Question question;
  if (!begun.empty()) question.filter = fmt::format("metadata.name = \"{}*\"", begun);
  const auto found = ListResources(*client, *session, kind, ScopeOf(typed.flags), question);
  if (!found.ok()) return;
  for (const ResourceMessage& message : *found) {
    const std::string& name = resource::MetadataOf(*message).name();
    if (name.empty() || name.find_first_not_of(kPlain) != std::string::npos) continue;
    if (to.words.size() < kMostNames) to.words.push_back(name);
  }
}

bool IsWord(const std::string& text) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz";
  return text.find_first_not_of(std::string(kLetters) + "-") == std::string::npos &&
         text.find_first_of(kLetters) != std::string::npos;
}

// For one placeholder. `kind`: of what a NAME is one.
void AddFor(const std::string& placeholder, const resource::KindInfo* kind, const Typed& typed,
            const std::string& begun, Candidates& to) {
  for (const std::string& part : Split(placeholder, "|,.…")) {
    if (part == "FILE" || part == "FOLDER" || part == "PATH") {
      to.files = true;
    } else if (part == "KIND") {
      for (const resource::KindInfo& each : resource::Kinds()) to.words.push_back(AsciiLower(each.name));
    } else if (IsWord(part)) {
      to.words.push_back(part);
    } else if (const auto* named = part == "NAME" ? kind : resource::FindLoosely(AsciiLower(part)); named != nullptr) {
      AddNames(*named, typed, begun, to);
    }
  }
}

void AddCommands(const std::vector<std::string>& done, Candidates& to) {
  for (const Command& command : Commands()) {
    const std::vector<std::string> name = Split(std::string(command.name), " ");
    if (done.size() < name.size() && std::equal(done.begin(), done.end(), name.begin())) {
      to.words.push_back(name[done.size()]);
    }
  }
  if (done.empty()) to.words.insert(to.words.end(), {"help", "version"});
}

void AddValue(const Typed& typed, const std::string& begun, Candidates& to) {
  const Takes takes = ReadUsage(*typed.command);
  const resource::KindInfo* kind = resource::FindLoosely(typed.flag);
  const auto said = takes.flags.find(typed.flag);
  if (typed.flag == "ca-file") {
    to.files = true;
  } else if (kind != nullptr) {
    AddNames(*kind, typed, begun, to);
  } else if (said != takes.flags.end()) {
    AddFor(said->second, nullptr, typed, begun, to);
  }
}

void AddWords(const Typed& typed, const std::string& begun, Candidates& to) {
  const std::string first(typed.command->name.substr(0, typed.command->name.find(' ')));
  std::vector<std::string> seen;  // Two forms may take the same.
  for (const std::vector<std::string>& form : ReadUsage(*typed.command).forms) {
    if (form.empty()) continue;
    const size_t last = form.size() - 1;
    const bool many = form[last].ends_with("…") || form[last].ends_with("...");
    const size_t at = typed.words.size();
    if (at > last && !many) continue;
    const std::string& placeholder = form[std::min(at, last)];
    if (std::find(seen.begin(), seen.end(), placeholder) != seen.end()) continue;
    seen.push_back(placeholder);
    const resource::KindInfo* kind = form[0] == "KIND" && !typed.words.empty() ? resource::FindLoosely(typed.words[0])
                                                                               : resource::FindLoosely(first);
    AddFor(placeholder, kind, typed, begun, to);
  }
}

}  // namespace

Candidates Complete(const std::vector<std::string>& words) {
  std::vector<std::string> done(words.begin(), words.end() - (words.empty() ? 0 : 1));
  std::string begun = words.empty() ? "" : words.back();
  if (!done.empty() && done.front() == "help") done.erase(done.begin());
  std::string before;  // "--output=", which stays.
  if (const size_t equals = begun.find('='); begun.starts_with("--") && equals != std::string::npos) {
    before = begun.substr(0, equals + 1);
    done.push_back(begun.substr(0, equals));
    begun = begun.substr(equals + 1);
  }
  Candidates all;
  const Typed typed = Read(done);
  if (!typed.flag.empty()) {
    AddValue(typed, begun, all);
  } else if (begun.starts_with('-') && typed.command != nullptr) {
    const FlagSpec spec = WithCommonFlags(typed.command->flags);
    for (const auto& names : {spec.values, spec.switches}) {
      for (const std::string& name : names) all.words.push_back("--" + name);
    }
  } else {
    AddCommands(done, all);
    if (typed.command != nullptr) AddWords(typed, begun, all);
  }
  Candidates fitting;
  fitting.files = all.files;
  for (const std::string& word : all.words) {
    if (word.starts_with(begun)) fitting.words.push_back(before + word);
  }
  std::sort(fitting.words.begin(), fitting.words.end());
  fitting.words.erase(std::unique(fitting.words.begin(), fitting.words.end()), fitting.words.end());
  return fitting;
}

int PrintCandidates(const std::vector<std::string>& words) {
  const Candidates candidates = Complete(words);
  for (const std::string& word : candidates.words) std::cout << word << "\n";
  if (candidates.files) std::cout << ":files\n";
  return kExitOk;
}

namespace {

// A shell's own words are used for nothing but passing on what was typed and taking lines: what a server calls its
// resources is never looked at by the shell as something to expand.
constexpr std::string_view kBash = R"(# bash completion of weir; names come from the server.
_weir() {
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}") lines line
  COMPREPLY=()
  mapfile -t lines < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
  for line in "${lines[@]}"; do
    if [ "$line" = :files ]; then
      compopt -o filenames 2>/dev/null
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    else
      COMPREPLY+=("$line")
    fi
  done
}
complete -F _weir weir
)";
constexpr std::string_view kZsh = R"(#compdef weir
# zsh completion of weir; names come from the server.
_weir() {
  local -a lines
  lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( ${lines[(I):files]} )); then _files; fi
  lines=("${(@)lines:#:files}")
  lines=("${(@)lines:#}")
  (( ${#lines} )) && compadd -- "${(@)lines}"
}
if [ "$funcstack[1]" = "_weir" ]; then _weir "$@"; else compdef _weir weir; fi
)";
constexpr std::string_view kFish = R"(# fish completion of weir; names come from the server.
function __weir_complete
    set -l words (commandline -opc)
    for line in ($words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            printf '%s\n' $line
        end
    end
end
complete -c weir -f -a '(__weir_complete)'
)";

Result<int> Completion(const Flags& flags) {
  if (flags.words.size() != 1) return Usage("completion wants one of bash, zsh and fish");
  const std::string& shell = flags.words[0];
  if (shell != "bash" && shell != "zsh" && shell != "fish") {
    return Usage(fmt::format("\"{}\" is not served; completion knows bash, zsh and fish", shell));
  }
  std::cout << (shell == "bash" ? kBash : shell == "zsh" ? kZsh : kFish);
  return kExitOk;
}

constexpr std::string_view kHelp = R"(Usage: weir completion bash|zsh|fish

Prints what makes the shell complete commands, flags, kinds and the names of resources, which it asks of the server as who
is signed in, for at most two seconds. The package weir-cli has it where the shells look; by hand:

  source <(weir completion bash)                                     in ~/.bashrc
  weir completion zsh > "${fpath[1]}/_weir"                          once, before compinit
  weir completion fish > ~/.config/fish/completions/weir.fish        once
)";

}  // namespace

Command CompletionCommand() {
  return {"completion", "print what completes commands and names in a shell", kHelp, {}, Completion};
}

}  // namespace weir::cli
