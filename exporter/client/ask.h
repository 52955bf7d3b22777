// SPDX-License-Identifier: Apache-2.0
// What collectors may ask of the outside world. An ask is data; client/ carries it out within a
// deadline.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lagwatch {

// A stream socket: "/run/haproxy/admin.sock" or "tcp://host:port" (IPv6 in brackets).
// Connect, send `send`, read until the peer closes.
struct SocketAsk {
  std::string address;
  std::string send;
  size_t max_bytes = 8U << 20U;  // some 35,000 rows of HAProxy's
  // Bytes read at full speed; what follows is read 32 KiB a millisecond, so that a single-threaded
  // server goes on serving (haproxy with 10,000 servers: request p99 of 22 to 41 ms when read fast,
  // 3 to 5 when paced).
  size_t fast_bytes = std::numeric_limits<size_t>::max();
};

// What of an HTTP exchange is an answer; all else is a failure of the exchange.
enum class HttpAccept {
  kOk,         // status 200
  kAnyStatus,  // any status
  kAnything,   // whatever happens: HttpDetail::failure says what went wrong
};

// GET, never with a body. Redirects are not followed.
struct HttpAsk {
  std::string url;          // http or https, without user information
  std::string unix_socket;  // where not empty: asked there, whatever host the URL names; any length
  std::string user;         // basic authentication where not empty
  std::string password;     // where it is not in a file of its own
  std::string password_file;  // read at each ask, so that rotation needs no restart; one line
  std::string api_key_file;   // likewise: "Authorization: ApiKey LINE"
  std::string ca_file;        // instead of the system's authorities where not empty
  std::string pinned_key;  // "sha256//BASE64": the only key trusted; without ca_file, no authority
  std::vector<std::string> headers;  // "Name: value"
  // Asks with different words here never share a connection, nor does "" with others.
  std::string connection;
  bool fresh_connection = false;   // made for this ask, closed after it
  bool wants_certificate = false;  // HttpDetail::certificate_expiry
  HttpAccept accept = HttpAccept::kOk;
  size_t max_bytes = 8U << 20U;
  size_t fast_bytes = std::numeric_limits<size_t>::max();  // as above
};

// A whole file. Those under /proc and /run are read at once, others by a thread (a hung NFS blocks
// only it).
struct FileAsk {
  std::string path;
  size_t max_bytes = 1U << 20U;
};

// Space of the file system that holds `path`, read by a thread.
struct FilesystemAsk {
  std::string path;
};

// Directories, and small files in them. Where all patterns are under /run they are read at once,
// else by a thread.
struct DirectoryAsk {
  std::vector<std::string> patterns;  // absolute; * and ? as in glob(7)
  std::vector<std::string> files;     // names within each match
  size_t max_file_bytes = 16U << 10U;
  size_t max_matches = 64;  // the rest is left out: Listing::cut
};

// A program, without a shell, in a process group of its own that is killed at the deadline and once
// the program ended. Standard input is empty.
struct CommandAsk {
  std::vector<std::string> arguments;  // the first is the program, found by PATH
  size_t max_bytes = 8U << 20U;        // of standard output
};

// A PostgreSQL server and who asks there.
struct PostgresServer {
  std::string dsn;            // libpq's key=value form, without a password; one host
  std::string password_file;  // read at each connect; one line; empty: none, or libpq's own ways
  bool read_only = true;      // default_transaction_read_only
  // Before 9.6 the system identifier needs a short replication connection of its own.
  bool identify = true;
};

// One question, worded for servers of version `since` (as PQserverVersion has it: 90300, 120000)
// and later. An empty text: nothing to ask there.
struct Sql {
  int since = 0;
  std::string_view text;
};

// One statement without parameters, prepared at its first use. Of `texts`, in ascending order, the
// last is taken that is not newer than the server. Asks of one owner share one connection; those
// made together go out together and cost one round trip. What one of them fails with is no other's
// failure.
struct SqlAsk {
  std::shared_ptr<const PostgresServer> server;
  std::span<const Sql> texts;  // borrowed until the reply
  size_t max_bytes = 8U << 20U;
};

using Ask =
    std::variant<SocketAsk, HttpAsk, FileAsk, FilesystemAsk, DirectoryAsk, CommandAsk, SqlAsk>;
using Asks = std::vector<Ask>;

}  // namespace lagwatch
