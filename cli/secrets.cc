#include "cli/secrets.h"

#include <algorithm>
#include <cctype>
#include <optional>

namespace weir::cli {
namespace {

constexpr std::string_view kWords[] = {"password",   "passwd", "passphrase", "token",  "secret",
                                       "credential", "apikey", "privatekey", "cookie", "authorization"};
constexpr size_t kShortest = 6;  // Of a known secret: shorter ones would mask words.

bool IsKeyChar(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.'; }
bool IsTokenChar(char c) { return IsKeyChar(c) || c == '+' || c == '/' || c == '=' || c == '~'; }

// "X-Api_Key" -> "xapikey"
bool IsSecretKey(std::string_view key) {
  std::string folded;
  for (const char c : key) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      folded += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view word) { return folded.find(word) != std::string::npos; });
}

size_t Indent(std::string_view line) { return std::min(line.find_first_not_of(' '), line.size()); }

void ReplaceAll(std::string& line, std::string_view what) {
  for (size_t at = 0; (at = line.find(what, at)) != std::string::npos; at += kMasked.size())
    line.replace(at, what.size(), kMasked);
}

// Where the value ends that begins at `at`: a quoted one at its quote, another at what ends it in logs and YAML.
size_t EndOfValue(const std::string& line, size_t at, char separator) {
  if (at < line.size() && (line[at] == '"' || line[at] == '\'')) {
    for (size_t i = at + 1; i < line.size(); ++i) {
      if (line[i] == '\\')
        ++i;
      else if (line[i] == line[at])
        return i + 1;
    }
    return line.size();
  }
  if (at < line.size() && line[at] == '[') {
    const size_t close = line.rfind(']');
    return close == std::string::npos || close < at ? line.size() : close + 1;
  }
  if (separator == '=') return std::min(line.find_first_of(" \t,}])&;\"'", at), line.size());
  // A header's value and a YAML text go on to the end; within braces a comma or brace ends it.
  const bool in_braces = line.find('{') < at;
  return in_braces ? std::min(line.find_first_of(",}", at), line.size()) : line.size();
}

// "key: value", "key=value" and "\"key\": value" of secret keys. True: the value stands on the lines below.
bool MaskValues(std::string& line) {
  bool below = false;
  for (size_t at = 0; at < line.size();) {
    if (!IsKeyChar(line[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < line.size() && IsKeyChar(line[end])) ++end;
    const bool secret = IsSecretKey(std::string_view(line).substr(at, end - at));
    size_t value = end;
    while (value < line.size() && (line[value] == '"' || line[value] == '\'' || line[value] == ' ')) ++value;
    if (!secret || value >= line.size() || (line[value] != ':' && line[value] != '=')) {
      at = end;
      continue;
    }
    const char separator = line[value++];
    while (value < line.size() && (line[value] == ' ' || line[value] == '\t')) ++value;
    if (value >= line.size() || line[value] == '|' || line[value] == '>') {
      below = true;
      break;
    }
    if (line[value] == '{') {  // A map has keys of its own.
      at = value + 1;
      continue;
    }
    below |= line[value] == '[' && line.find(']', value) == std::string::npos;
    const size_t stop = EndOfValue(line, value, separator);
    line.replace(value, stop - value, kMasked);
    at = value + kMasked.size();
  }
  return below;
}

void MaskSchemes(std::string& line) {
  for (const std::string_view scheme : {"Bearer ", "bearer ", "Basic ", "basic ", "weir-join-1.", "weir-rejoin-1."}) {
    for (size_t at = 0; (at = line.find(scheme, at)) != std::string::npos;) {
      at += scheme.size();
      size_t end = at;
      while (end < line.size() && IsTokenChar(line[end])) ++end;
      if (end - at < kShortest) continue;
      line.replace(at, end - at, kMasked);
    }
  }
}

void MaskUserInfo(std::string& line) {
  for (size_t at = 0; (at = line.find("://", at)) != std::string::npos;) {
    at += 3;
    const size_t end = std::min(line.find_first_of("/ \t\"'", at), line.size());
    const size_t sign = line.rfind('@', end);
    if (sign == std::string::npos || sign < at || sign >= end) continue;
    line.replace(at, sign - at, kMasked);
  }
}

void MaskWebTokens(std::string& line) {
  for (size_t at = 0; (at = line.find("eyJ", at)) != std::string::npos;) {
    size_t end = at;
    while (end < line.size() && IsTokenChar(line[end])) ++end;
    const auto dots = std::count(line.begin() + static_cast<long>(at), line.begin() + static_cast<long>(end), '.');
    if (dots >= 2) line.replace(at, end - at, kMasked), end = at + kMasked.size();
    at = end;
  }
}

class Masker {
 public:
  explicit Masker(const std::set<std::string>& known) : known_(known) {}

  std::string Line(std::string line) {
    const bool ends = line.find("-----END ") != std::string::npos && line.find("PRIVATE KEY") != std::string::npos;
    if (in_key_) {
      in_key_ = !ends;
      return std::string(kMasked);
    }
    const size_t begin = line.find("-----BEGIN ");
    if (begin != std::string::npos && line.find("PRIVATE KEY") != std::string::npos) {
      in_key_ = !ends;                                      // As one line, with "\n" spelled out, it ends there.
      line = line.substr(0, begin) + std::string(kMasked);  // What stands before it is masked like any line.
    }
    if (below_ && !line.empty() && Indent(line) < line.size()) {
      if (Indent(line) > *below_) return line.substr(0, Indent(line)) + std::string(kMasked);
      below_.reset();
    }
    for (const std::string& secret : known_) {
      if (secret.size() >= kShortest) ReplaceAll(line, secret);
    }
    MaskSchemes(line);
    MaskWebTokens(line);
    MaskUserInfo(line);
    const size_t indent = Indent(line);
    if (MaskValues(line)) below_ = indent;
    return line;
  }

 private:
  const std::set<std::string>& known_;
  bool in_key_ = false;
  std::optional<size_t> below_;  // Indented deeper than this is the value of a secret key.
};

}  // namespace

std::string WithoutSecrets(std::string_view text, const std::set<std::string>& known) {
  std::string out;
  Masker masker(known);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out += masker.Line(std::string(text.substr(at, end - at)));
    if (end < text.size()) out += '\n';
    at = end + 1;
  }
  return out;
}

}  // namespace weir::cli
