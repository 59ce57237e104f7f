#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace weir::test {

struct Target {
  std::string address;
  uint16_t port = 0;
};

class Timeline;

struct LoadOptions {
  std::vector<Target> targets;  // Connections are dealt out over them in turn.
  std::string host;             // Host header.
  std::string method = "GET";
  std::string path = "/";
  std::string body;            // Of each request.
  std::string headers;         // More lines, each with its CRLF.
  std::string ids;             // Each request is numbered: `X-Demo-Id: <ids>-<number>`; "" = it is not.
  unsigned connections = 8;    // One thread each.
  uint64_t requests = 10'000;  // Exactly so many; 0 = until `stop` says true.
  double rate = 0;             // Open loop: requests per second over all; 0 = closed loop.
  std::string backend_header = "x-served-by";
  std::chrono::milliseconds timeout{10'000};
  bool new_connections = false;                 // One for each request.
  Timeline* timeline = nullptr;                 // Takes a note of each request; times count from its start.
  std::function<bool()> stop;                   // Asked before each request; may be empty.
  std::function<void(uint64_t done)> progress;  // Called about ten times a second from one thread; may be empty.
};

struct LoadReport {
  uint64_t requests = 0;                       // Sent.
  uint64_t failed = 0;                         // No answer, or a status other than 2xx.
  std::map<std::string, uint64_t> by_backend;  // Value of the header; "" when it was missing.
  std::string first_error;
  double seconds = 0;
  double p50_ms = 0, p99_ms = 0, max_ms = 0;  // In an open loop from the moment a request was due.

  double Share(const std::string& backend) const;
  void Add(const LoadReport& other);  // Counts only.
};

// Requests over kept connections. Returns when all are answered.
LoadReport RunLoad(const LoadOptions& options);

}  // namespace weir::test
