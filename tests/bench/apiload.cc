// weir-bench-apiload rest ADDRESS:PORT TOKEN PARENT CLIENTS SECONDS: durable writes by REST over TLS with keep-alive;
// each client is a thread that creates tenants under PARENT one after the other.
// weir-bench-apiload get ADDRESS:PORT TOKEN PATH CLIENTS SECONDS [RATE]: each client is a thread that reads PATH again
// and again, or RATE times a second, and then a read begins when it is due; p50_ms and p99_ms are of all reads.
// weir-bench-apiload floor FILE SECONDS: bare SQLite, WAL, synchronous=FULL, one resource row and one log row a commit.
// Prints one JSON line {done, errors, seconds}.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

int Connect(const std::string& where) {
  const size_t colon = where.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(where.c_str() + colon + 1)));
  ::inet_pton(AF_INET, where.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? fd : -1;
}

// Reads one answer; its status, or -1.
int ReadAnswer(SSL* ssl) {
  std::string data;
  char buffer[16384];
  for (;;) {
    const int n = SSL_read(ssl, buffer, sizeof(buffer));
    if (n <= 0) return -1;
    data.append(buffer, static_cast<size_t>(n));
    const size_t end = data.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    const char* length = ::strcasestr(data.c_str(), "\r\ncontent-length:");
    if (length == nullptr) return -1;
    if (data.size() >= end + 4 + static_cast<size_t>(std::atol(length + 17))) return std::atoi(data.c_str() + 9);
  }
}

struct Totals {
  std::atomic<long> done{0};
  std::atomic<long> errors{0};
};

void Client(SSL_CTX* context, const std::string& where, const std::string& token, const std::string& parent, int id,
            Clock::time_point end, Totals& totals) {
  const int fd = Connect(where);
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (fd < 0 || SSL_connect(ssl) != 1) {
    ++totals.errors;
  } else {
    const std::string run = std::to_string(::getpid());
    for (int i = 0; Clock::now() < end; ++i) {
      const std::string body =
          fmt::format(R"({{"metadata":{{"name":"b{}-{}-{}","description":"{:x>500}"}},"spec":{{}}}})", run, id, i, "");
      const std::string request = fmt::format(
          "POST /v2/{}/tenants HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n"
          "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
          parent, token, body.size(), body);
      const bool sent = SSL_write(ssl, request.data(), static_cast<int>(request.size())) > 0;
      const int status = sent ? ReadAnswer(ssl) : -1;
      if (status / 100 != 2) {
        if (++totals.errors == 1) std::fprintf(stderr, "weir-bench-apiload: status %d\n", status);
        break;
      }
      ++totals.done;
    }
  }
  SSL_free(ssl);
  if (fd >= 0) ::close(fd);
}

// Milliseconds of each read.
std::vector<double> Reader(SSL_CTX* context, const std::string& where, const std::string& request,
                           Clock::time_point first, Clock::duration every, Clock::time_point end, Totals& totals) {
  std::vector<double> times;
  const int fd = Connect(where);
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (fd < 0 || SSL_connect(ssl) != 1) {
    ++totals.errors;
  } else {
    for (auto begin = first; begin < end; begin = every == Clock::duration() ? Clock::now() : begin + every) {
      std::this_thread::sleep_until(begin);
      const bool sent = SSL_write(ssl, request.data(), static_cast<int>(request.size())) > 0;
      const int status = sent ? ReadAnswer(ssl) : -1;
      if (status != 200) {
        if (++totals.errors == 1) std::fprintf(stderr, "weir-bench-apiload: status %d\n", status);
        break;
      }
      ++totals.done;
      times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    }
  }
  SSL_free(ssl);
  if (fd >= 0) ::close(fd);
  return times;
}

int Get(char** argv, double rate) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  const std::string where = argv[2];
  const std::string request =
      std::string("GET ") + argv[4] + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + argv[3] + "\r\n\r\n";
  const auto begin =
      Clock::now() + std::chrono::milliseconds(rate > 0 ? 500 : 0);  // Those who keep a rate sign on first.
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::atof(argv[6])));
  Totals totals;
  const auto every = rate > 0 ? std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate))
                              : Clock::duration();
  std::vector<std::vector<double>> of_each(static_cast<size_t>(std::atoi(argv[5])));
  std::vector<std::thread> threads;
  threads.reserve(of_each.size());
  for (size_t i = 0; i < of_each.size(); ++i) {
    const auto first = begin + every * i / of_each.size();  // One after the other: not all of them at once.
    threads.emplace_back([&, i, first] { of_each[i] = Reader(context, where, request, first, every, end, totals); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::vector<double> all;
  for (const auto& times : of_each) all.insert(all.end(), times.begin(), times.end());
  std::sort(all.begin(), all.end());
  const auto at = [&](double q) {
    return all.empty() ? 0.0 : all[static_cast<size_t>(q * static_cast<double>(all.size() - 1))];
  };
  std::printf("{\"done\": %ld, \"errors\": %ld, \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n",
              totals.done.load(), totals.errors.load(), seconds, at(0.5), at(0.99));
  SSL_CTX_free(context);
  return 0;
}

void Print(const Totals& totals, Clock::time_point begin) {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf("{\"done\": %ld, \"errors\": %ld, \"seconds\": %.6f}\n", totals.done.load(), totals.errors.load(),
              seconds);
}

int Rest(char** argv) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());  // Who the server is does not matter to its cost.
  const auto begin = Clock::now();
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::atof(argv[6])));
  Totals totals;
  std::vector<std::thread> threads;
  const int clients = std::atoi(argv[5]);
  threads.reserve(static_cast<size_t>(clients));
  for (int i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] { Client(context, argv[2], argv[3], argv[4], i, end, totals); });
  }
  for (std::thread& thread : threads) thread.join();
  Print(totals, begin);
  SSL_CTX_free(context);
  return 0;
}

int Floor(char** argv) {
  sqlite3* db = nullptr;
  if (sqlite3_open(argv[2], &db) != SQLITE_OK) return 1;
  sqlite3_exec(
      db,
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS r(k TEXT PRIMARY KEY, b BLOB);"
      "CREATE TABLE IF NOT EXISTS l(n INTEGER PRIMARY KEY, k TEXT)",
      nullptr, nullptr, nullptr);
  sqlite3_stmt *row = nullptr, *log = nullptr;
  sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO r VALUES(?,?)", -1, &row, nullptr);
  sqlite3_prepare_v2(db, "INSERT INTO l(k) VALUES(?)", -1, &log, nullptr);
  const auto begin = Clock::now();
  const auto end =
      begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::atof(argv[3])));
  const std::string body(700, 'x');
  Totals totals;
  for (int i = 0; Clock::now() < end; ++i) {
    const std::string key = std::to_string(::getpid()) + "-" + std::to_string(i);
    sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr);
    for (sqlite3_stmt* statement : {row, log}) {
      sqlite3_bind_text(statement, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
      if (statement == row) sqlite3_bind_blob(statement, 2, body.data(), static_cast<int>(body.size()), SQLITE_STATIC);
      if (sqlite3_step(statement) != SQLITE_DONE) ++totals.errors;
      sqlite3_reset(statement);
    }
    if (sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK) ++totals.errors;
    ++totals.done;
  }
  Print(totals, begin);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 7 && std::strcmp(argv[1], "rest") == 0) return Rest(argv);
  if (argc == 7 && std::strcmp(argv[1], "get") == 0) return Get(argv, 0);
  if (argc == 8 && std::strcmp(argv[1], "get") == 0) return Get(argv, std::atof(argv[7]));
  if (argc == 4 && std::strcmp(argv[1], "floor") == 0) return Floor(argv);
  std::fprintf(
      stderr,
      "usage: weir-bench-apiload rest ADDRESS:PORT TOKEN PARENT CLIENTS SECONDS | get ADDRESS:PORT TOKEN PATH CLIENTS "
      "SECONDS [RATE] | floor FILE SECONDS\n");
  return 2;
}
