#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace weir::document {

// One place where two messages of one type differ. Values as JSON, at most DifferenceLimits::value bytes ("..." where
// it was cut); nullopt: it is not there.
struct Difference {
  std::string path;  // "spec.externalServers[0].clusters[c1].weight"
  std::optional<std::string> before;
  std::optional<std::string> after;
};
struct DifferenceLimits {
  size_t lines = 40;
  size_t value = 240;
};
struct Differences {
  std::vector<Difference> lines;
  size_t more = 0;  // Others that there was no room for.
};

// Entries of a list are matched by their field `name` (or `cluster`, `hostname`, `domain`) where every entry has one of
// its own, else by what is the same before and behind them. What google.protobuf.Any holds is compared as what it is,
// where its type is linked in.
Differences Compare(const google::protobuf::Message& before, const google::protobuf::Message& after,
                    const DifferenceLimits& limits = {});

}  // namespace weir::document
