#include "libs/proxy/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace weir::proxy {
namespace {

constexpr std::string_view kHello = "weir-health 1\n";
constexpr size_t kMaxChanged = 65'536;

// A host name as it stands in a certificate or an SNI: nothing that could be a line or a word of its own.
bool IsHost(std::string_view host) {
  return !host.empty() && host.size() <= 255 &&
         std::all_of(host.begin(), host.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string_view NextWord(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

constexpr std::string_view kKinds[] = {"prefix", "exact", "below"};  // By traffic::PathKind.
static_assert(static_cast<int>(traffic::PathKind::kPrefix) == 0 && static_cast<int>(traffic::PathKind::kExact) == 1 &&
              static_cast<int>(traffic::PathKind::kPathSeparated) == 2);

void AppendEscaped(std::string_view path, std::string& out) {
  for (const char c : path) {
    if (c > 0x20 && c < 0x7f && c != '%') {
      out.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool Unescape(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

size_t PathBytes(const traffic::RuleHealths& rules) {
  size_t bytes = 0;
  for (const traffic::RuleHealth& rule : rules) bytes += rule.path.size();
  return bytes;
}

}  // namespace

std::string_view DigestHello() { return kHello; }

void AppendDown(std::string_view host, std::string_view reason, std::string& out) {
  fmt::format_to(std::back_inserter(out), "down {} {}\n", host,
                 reason.empty() ? Word(traffic::Reason::kNoEndpoint) : reason);
}
void AppendPartial(std::string_view host, const traffic::RuleHealths& rules, std::string& out) {
  const size_t begin = out.size();
  bool fits = rules.size() <= DigestReader::kMaxRulesOfAHost;
  for (const traffic::RuleHealth& rule : rules) {
    if (!fits) break;
    const size_t line = out.size();
    fmt::format_to(std::back_inserter(out), "rule {} {} {} ", host, rule.can_serve ? "up" : "down",
                   kKinds[static_cast<size_t>(rule.kind)]);
    AppendEscaped(rule.path, out);
    fits = out.size() - line < DigestReader::kMaxLine;
    out.push_back('\n');
  }
  if (!fits) out.resize(begin);
  AppendDown(host, Word(traffic::Reason::kPartial), out);
}
void AppendUp(std::string_view host, std::string& out) { fmt::format_to(std::back_inserter(out), "up {}\n", host); }
void AppendUnsure(std::string_view host, std::string& out) {
  fmt::format_to(std::back_inserter(out), "unsure {}\n", host);
}
void AppendChunk(std::string_view text, std::string& out) {
  if (text.empty()) return;  // An empty chunk would be the end.
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", text.size());
  out.append(text).append("\r\n");
}

DigestReader::State DigestReader::Feed(const char* data, size_t size) {
  if (state_ != State::kMore || size == 0) return state_;
  if (status_ != 0) return state_ = Body(data, size);
  const size_t before = held_.size();
  held_.append(data, std::min(size, kMaxHead + 1 - before));
  const size_t from = before < 3 ? 0 : before - 3;
  if (held_.find("\r\n\r\n", from) == std::string::npos && held_.size() <= kMaxHead) return state_;
  const auto head = std::make_unique<codec::ResponseHead>();
  const codec::Parse parsed = codec::ParseResponse(held_.data(), held_.size(), false, *head);
  if (parsed != codec::Parse::kComplete || head->status < 200) return state_ = State::kGarbage;
  status_ = head->status;
  if (head->status != 200 || head->body != codec::BodyKind::kChunked) return state_ = State::kNoDigest;
  const size_t rest = before + size - head->size;  // The head ends in these bytes: it was not complete before.
  held_.clear();
  return rest == 0 ? state_ : state_ = Body(data + size - rest, rest);
}

DigestReader::State DigestReader::Body(const char* data, size_t size) {
  size_t at = 0;
  while (at < size) {
    const auto run = chunks_.Next(data + at, size - at);
    if (run.kind == codec::ChunkReader::Kind::kBad) return State::kGarbage;
    if (run.kind == codec::ChunkReader::Kind::kData && !Text({data + at, run.size})) return State::kGarbage;
    if (run.kind == codec::ChunkReader::Kind::kEnd) return State::kEnded;
    at += run.size;
  }
  return State::kMore;
}

bool DigestReader::Text(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view part = text.substr(0, end);
    if (held_.size() + part.size() > kMaxLine) return false;
    if (end == std::string_view::npos) {
      held_.append(part);
      return true;
    }
    if (held_.empty()) {
      if (!Line(part)) return false;
    } else {
      held_.append(part);
      if (!Line(held_)) return false;
      held_.clear();
    }
    text.remove_prefix(end + 1);
  }
  return true;
}

bool DigestReader::Line(std::string_view line) {
  if (!greeted_) {
    greeted_ = line == kHello.substr(0, kHello.size() - 1);
    return greeted_;
  }
  const std::string_view word = NextWord(line);
  if (word == "beat" || word == "ready") {
    ready_ |= word == "ready";
    beats_ += ready_;
    return true;
  }
  if (word == "draining") {
    draining_ = true;
    return true;
  }
  if (word == "rule") return Rule(line);
  const bool down = word == "down", unsure = word == "unsure", up = word == "up";
  if (!down && !unsure && !up) return true;
  const std::string_view host = NextWord(line);
  if (!IsHost(host)) return false;
  if (up) return Set(host, nullptr);
  Host state{down ? traffic::Evidence::kBad : traffic::Evidence::kNone, nullptr};
  if (down && line == Word(traffic::Reason::kPartial)) {
    state.evidence = traffic::Evidence::kGood;
    if (rules_host_ == host && !rules_.empty()) state.rules = std::make_shared<const traffic::RuleHealths>(rules_);
  }
  rules_host_.clear();
  rules_.clear();
  return Set(host, &state);
}

bool DigestReader::Rule(std::string_view line) {
  const std::string_view host = NextWord(line), can = NextWord(line), kind = NextWord(line);
  const auto known = std::find(std::begin(kKinds), std::end(kKinds), kind);
  traffic::RuleHealth rule;
  if (!IsHost(host) || (can != "up" && can != "down") || known == std::end(kKinds)) return false;
  if (!Unescape(line, rule.path = {})) return false;
  rule.kind = static_cast<traffic::PathKind>(known - std::begin(kKinds));
  rule.can_serve = can == "up";
  if (rules_host_ != host) rules_.clear();
  if (rules_.size() >= kMaxRulesOfAHost) return false;
  rules_host_ = host;
  rules_.push_back(std::move(rule));
  return true;
}

bool DigestReader::Set(std::string_view host, const Host* state) {
  const auto known = hosts_.find(host);
  if (known != hosts_.end() && known->second.rules != nullptr) {
    rules_known_ -= known->second.rules->size();
    rule_bytes_ -= PathBytes(*known->second.rules);
  }
  if (state != nullptr && state->rules != nullptr) {
    rules_known_ += state->rules->size();
    rule_bytes_ += PathBytes(*state->rules);
    if (rules_known_ > kMaxRules || rule_bytes_ > kMaxRuleBytes) return false;
  }
  if (state == nullptr) {
    if (known != hosts_.end()) hosts_.erase(known);
  } else if (known != hosts_.end()) {
    known->second = *state;
  } else {
    if (hosts_.size() >= kMaxHosts) return false;
    hosts_.emplace(host, *state);
  }
  if (!ready_) return true;
  if (changed_.size() >= kMaxChanged) return false;
  changed_.emplace_back(host);
  return true;
}

DigestReader::Host DigestReader::Of(std::string_view host) const {
  const auto known = hosts_.find(host);
  return known == hosts_.end() ? Host{} : known->second;
}

}  // namespace weir::proxy
