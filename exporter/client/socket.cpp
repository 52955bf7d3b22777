// SPDX-License-Identifier: Apache-2.0
#include "client/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "client/address.h"
#include "client/unix_peer.h"
#include "client/user.h"

namespace lagwatch {
namespace {

constexpr size_t kReadBytes = 64U << 10U;
// Read at most this much before other descriptors have their turn.
constexpr size_t kTurnBytes = 256U << 10U;
// A paced reader takes this much, then lets the server work for a while.
constexpr size_t kPacedBytes = 32U << 10U;
constexpr Duration kPacedPause = std::chrono::milliseconds(1);

Error connect_error(const std::string& address, const std::string& path, int code) {
  const std::string words = "connecting to " + address + ": ";
  switch (code) {
    case ENOENT:
    case ENOTDIR:
      return {Reason::kRefused, words + "no such socket", "start the server, or correct the path"};
    case ECONNREFUSED:
      return {Reason::kRefused, words + "refused, nobody listens",
              "start the server, or correct the address"};
    case EACCES:
    case EPERM:
      return {Reason::kPermission, words + "permission denied for user " + user_name(),
              path.empty() ? "" : how_to_allow(path)};
    case EAGAIN:
      return {Reason::kTooManyConnections, words + "its queue of new connections is full", {}};
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
      return {Reason::kConnectTimeout, words + std::strerror(code),
              "check the host and the way to it"};
    case EMFILE:
    case ENFILE:
      return {Reason::kTooManyConnections, words + "lagwatch is out of file descriptors",
              "raise LimitNOFILE"};
    default:
      return {Reason::kRefused, words + std::strerror(code), {}};
  }
}

// Connects to a Unix socket; a path that does not fit an address is reached through its directory.
int connect_path(int fd, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string name = path;
  UniqueFd directory;
  if (name.size() >= sizeof address.sun_path) {
    const size_t slash = path.rfind('/');
    directory.reset(open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return errno;
    name = "/proc/self/fd/" + std::to_string(directory.get()) + path.substr(slash);
    if (name.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  }
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

}  // namespace

struct SocketClient::Exchange {
  AskId id = 0;
  SocketAsk ask;
  Address address;
  Deadline deadline;
  std::function<void()> on_connected;
  Asker::OnReply on_reply;

  UniqueFd fd;
  SocketAddresses candidates;  // TCP: tried in order
  size_t next_candidate = 0;
  Resolver::Id resolving = 0;
  Loop::TimerId deadline_timer = 0;
  Loop::TimerId pace_timer = 0;
  bool connected = false;
  size_t sent = 0;
  size_t paced = 0;  // bytes since the last pause
  std::string body;
};

SocketClient::SocketClient(Loop& loop, Resolver& resolver) : loop_(loop), resolver_(resolver) {}

SocketClient::~SocketClient() {
  while (!exchanges_.empty()) cancel(exchanges_.begin()->first);
}

void SocketClient::ask(AskId id, const SocketAsk& ask, Deadline deadline,
                       std::function<void()> on_connected, Asker::OnReply on_reply) {
  auto owned = std::make_unique<Exchange>();
  Exchange& exchange = *owned;
  exchange.id = id;
  exchange.ask = ask;
  exchange.deadline = deadline;
  exchange.on_connected = std::move(on_connected);
  exchange.on_reply = std::move(on_reply);
  exchanges_.emplace(id, std::move(owned));
  exchange.deadline_timer = loop_.at(deadline, [this, id] { on_deadline(id); });
  Result<Address> address = parse_address(ask.address);
  if (!address.ok()) {
    fail(exchange, address.error());
    return;
  }
  exchange.address = std::move(*address);
  if (!exchange.address.path.empty()) {
    connect_unix(exchange);
  } else {
    resolve(exchange);
  }
}

void SocketClient::resolve(Exchange& exchange) {
  exchange.resolving =
      resolver_.resolve(exchange.address.host, exchange.deadline,
                        [this, id = exchange.id](Result<SocketAddresses> addresses) {
                          Exchange& resolved = *exchanges_.at(id);
                          resolved.resolving = 0;
                          if (!addresses.ok()) {
                            fail(resolved, addresses.error());
                            return;
                          }
                          resolved.candidates = std::move(*addresses);
                          connect_next(resolved);
                        });
}

void SocketClient::connect_unix(Exchange& exchange) {
  const std::string& path = exchange.address.path;
  exchange.fd.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int code = exchange.fd ? connect_path(exchange.fd.get(), path) : errno;
  if (code == EAGAIN && why_silent(listeners_[path]) == Silence::kStopped) {
    // What an earlier question left in the queue of a stopped server fills it.
    fail(exchange, Error{Reason::kHung,
                         path + ": its process is stopped, and its queue of new connections full",
                         {}});
  } else if (code != 0) {
    fail(exchange, connect_error(path, path, code));
  } else {
    listeners_[path] = listener_of(exchange.fd.get());
    start_sending(exchange);
  }
}

// Tries the next address of a host; the last one's failure is the exchange's.
void SocketClient::connect_next(Exchange& exchange) {
  int code = EHOSTUNREACH;
  while (exchange.next_candidate < exchange.candidates.size()) {
    SocketAddress& address = exchange.candidates[exchange.next_candidate++];
    set_port(address, parse_number<uint16_t>(exchange.address.port).value_or(0));
    exchange.fd.reset(
        socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    code =
        exchange.fd && connect(exchange.fd.get(), address.get(), address.length) == 0 ? 0 : errno;
    if (code == 0) {
      start_sending(exchange);
      return;
    }
    if (code == EINPROGRESS) {
      loop_.watch(exchange.fd.get(), EPOLLOUT,
                  [this, id = exchange.id](uint32_t) { on_connect_event(*exchanges_.at(id)); });
      return;
    }
  }
  fail(exchange, connect_error(exchange.ask.address, {}, code));
}

void SocketClient::on_connect_event(Exchange& exchange) {
  int code = 0;
  socklen_t length = sizeof code;
  getsockopt(exchange.fd.get(), SOL_SOCKET, SO_ERROR, &code, &length);
  loop_.unwatch(exchange.fd.get());
  if (code == 0) {
    start_sending(exchange);
  } else if (exchange.next_candidate < exchange.candidates.size()) {
    connect_next(exchange);
  } else {
    fail(exchange, connect_error(exchange.ask.address, {}, code));
  }
}

void SocketClient::start_sending(Exchange& exchange) {
  exchange.connected = true;
  exchange.on_connected();
  send_some(exchange);  // a question is short: it nearly always goes at once
  const bool sent = exchange.sent == exchange.ask.send.size();
  loop_.watch(exchange.fd.get(), sent ? EPOLLIN : EPOLLIN | EPOLLOUT,
              [this, id = exchange.id](uint32_t events) { on_events(id, events); });
}

void SocketClient::on_events(AskId id, uint32_t events) {
  Exchange& exchange = *exchanges_.at(id);
  if (exchange.sent < exchange.ask.send.size() && (events & (EPOLLOUT | EPOLLERR)) != 0) {
    send_some(exchange);
    if (exchange.sent == exchange.ask.send.size()) loop_.change(exchange.fd.get(), EPOLLIN);
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) read_some(exchange);
}

void SocketClient::send_some(Exchange& exchange) {
  const std::string_view rest = std::string_view(exchange.ask.send).substr(exchange.sent);
  const ssize_t sent =
      send(exchange.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) {
    exchange.sent += static_cast<size_t>(sent);
  } else if (errno != EAGAIN && errno != EINTR) {
    // Closed before it read the question: what it said before that, if anything, is read next.
    exchange.sent = exchange.ask.send.size();
  }
}

void SocketClient::read_some(Exchange& exchange) {
  char buffer[kReadBytes];
  const std::string& address = exchange.ask.address;
  for (size_t turn = 0; turn < kTurnBytes;) {
    const bool paced = exchange.body.size() >= exchange.ask.fast_bytes;
    const size_t want = paced ? kPacedBytes - exchange.paced : sizeof buffer;
    const ssize_t got = recv(exchange.fd.get(), buffer, want, MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      fail(exchange, Error{Reason::kReset, address + ": " + std::strerror(errno), {}});
      return;
    }
    if (got == 0) {
      if (exchange.body.empty()) {
        fail(exchange, Error{Reason::kReset, address + ": closed without an answer", {}});
      } else {
        finish(exchange.id, Answer{std::move(exchange.body), {}});
      }
      return;
    }
    const auto bytes = static_cast<size_t>(got);
    turn += bytes;
    exchange.body.append(buffer, bytes);
    if (exchange.body.size() > exchange.ask.max_bytes) {
      fail(exchange, Error{Reason::kTooLarge,
                           address + ": the answer is larger than " +
                               std::to_string(exchange.ask.max_bytes) + " bytes",
                           {}});
      return;
    }
    if (paced && (exchange.paced += bytes) >= kPacedBytes) {
      pause_reading(exchange);
      return;
    }
  }
}

void SocketClient::pause_reading(Exchange& exchange) {
  exchange.paced = 0;
  // Not watched at all meanwhile: watched for nothing, epoll still reports that the peer has
  // closed.
  loop_.unwatch(exchange.fd.get());
  exchange.pace_timer = loop_.at(now().steady + kPacedPause, [this, id = exchange.id] {
    Exchange& paused = *exchanges_.at(id);
    paused.pace_timer = 0;
    loop_.watch(paused.fd.get(), EPOLLIN, [this, id](uint32_t events) { on_events(id, events); });
  });
}

void SocketClient::on_deadline(AskId id) {
  Exchange& exchange = *exchanges_.at(id);
  exchange.deadline_timer = 0;
  const std::string& address = exchange.ask.address;
  if (exchange.resolving != 0) {
    fail(exchange,
         Error{Reason::kResolve, "resolving " + exchange.address.host + ": no answer in time", {}});
  } else if (!exchange.connected) {
    fail(exchange,
         Error{Reason::kConnectTimeout, "connecting to " + address + ": no answer in time",
               "check the host and the way to it"});
  } else if (!exchange.body.empty()) {
    fail(exchange, Error{Reason::kStalled,
                         address + ": the answer began and did not end in time, " +
                             std::to_string(exchange.body.size()) + " bytes came",
                         {}});
  } else {
    fail(exchange, silent(exchange));
  }
}

// Connected, asked, and not a byte: as far as it can be seen from outside, why.
Error SocketClient::silent(const Exchange& exchange) const {
  const std::string& address = exchange.ask.address;
  const Silence silence = exchange.address.path.empty()
                              ? Silence::kUnknown
                              : why_silent(listeners_.at(exchange.address.path));
  switch (silence) {
    case Silence::kStopped:
      return {Reason::kHung, address + ": no answer in time, its process is stopped", {}};
    case Silence::kNotAccepted:
      return {Reason::kTooManyConnections,
              address +
                  ": not accepted in time by a process that runs: all its slots are taken, or it "
                  "is busy",
              "HAProxy: find who holds the stats sockets (ss -xp), or raise `stats maxconn` (10 by "
              "default)"};
    case Silence::kUnknown:
      break;
  }
  return {Reason::kHung, address + ": connected, and no answer in time", {}};
}

// Told through the loop, so that nobody is called back from within their own ask().
void SocketClient::fail(Exchange& exchange, Error error) {
  if (exchange.deadline_timer != 0) loop_.cancel(exchange.deadline_timer);
  if (exchange.pace_timer != 0) loop_.cancel(std::exchange(exchange.pace_timer, 0));
  if (exchange.fd) loop_.unwatch(exchange.fd.get());
  exchange.fd.reset();
  exchange.deadline_timer =
      loop_.at(Instant::min(), [this, id = exchange.id, error = std::move(error)]() mutable {
        exchanges_.at(id)->deadline_timer = 0;
        finish(id, std::move(error));
      });
}

void SocketClient::finish(AskId id, Reply reply) {
  const Asker::OnReply on_reply = std::move(exchanges_.at(id)->on_reply);
  cancel(id);
  on_reply(std::move(reply));
}

void SocketClient::cancel(AskId id) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  Exchange& exchange = *found->second;
  if (exchange.resolving != 0) resolver_.cancel(exchange.resolving);
  if (exchange.deadline_timer != 0) loop_.cancel(exchange.deadline_timer);
  if (exchange.pace_timer != 0) loop_.cancel(exchange.pace_timer);
  if (exchange.fd) loop_.unwatch(exchange.fd.get());
  exchanges_.erase(found);
}

}  // namespace lagwatch
