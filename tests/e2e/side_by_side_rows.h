#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

// What each supported field of Envoy's configuration does, as a caller sees it.
namespace weir::e2e {

struct Row {
  const char* what;
  std::vector<const char*> fields;  // "RouteMatch.prefix": the end of its full name.
  std::string routes;               // Of the virtual host.
  std::vector<std::string> requests;
  std::vector<std::string> expected;     // Of each; see Observe.
  std::string http = "";                 // More of the connection manager.
  std::string domains = "domains: '*'";  // Of the virtual host.
  std::string of_routes = "";            // More of the route configuration.
  int times = 1;                         // Each request so often, on connections of its own; all must be as expected.
};

// A request of one connection.
inline std::string Get(const std::string& path, const std::string& host = "a.example", const std::string& more = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n{}Connection: close\r\n\r\n", path, host, more);
}
// Routes to one cluster.
inline std::string To(const std::string& cluster, const std::string& more = "",
                      const std::string& match = "prefix: '/'") {
  return fmt::format("routes {{ match {{ {} }} route {{ cluster: '{}' {} }} }}", match, cluster, more);
}

extern const std::vector<Row> kRows;
// What one process with its configuration in hand cannot show; where it is shown.
extern const std::map<std::string, const char*> kElsewhere;

}  // namespace weir::e2e
