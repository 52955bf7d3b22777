// SPDX-License-Identifier: Apache-2.0
#include "client/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <strings.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "client/detached.h"

namespace lagwatch {
namespace {

using namespace std::chrono_literals;

constexpr Duration kFresh = 30s;
constexpr Duration kStale = 10min;
constexpr Duration kFailureKept = 2s;
constexpr size_t kMaxThreads = 64;

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Error failure(const std::string& name, std::string_view what) {
  const std::string shown = printable(name);
  return {Reason::kResolve, "resolving " + shown + ": " + std::string(what),
          "`getent ahosts " + shown + "` asks as lagwatch does"};
}

Result<SocketAddresses> get_addresses(const std::string& name, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  const int error = errno;
  const AddressList list(code == 0 ? found : nullptr, &freeaddrinfo);
  if (code == EAI_SYSTEM) return failure(name, strerrordesc_np(error));
  if (code != 0) return failure(name, gai_strerror(code));
  SocketAddresses addresses;
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    SocketAddress& address = addresses.emplace_back();
    address.length = std::min<socklen_t>(entry->ai_addrlen, sizeof address.storage);
    std::memcpy(&address.storage, entry->ai_addr, address.length);
  }
  return addresses;
}

// What needs no lookup: addresses, and localhost, which is the same everywhere (RFC 6761) and must
// resolve while name servers hang. IPv4 first: what listens on one of the two mostly listens on
// that.
std::optional<SocketAddresses> known(const std::string& name) {
  SocketAddresses addresses;
  const bool localhost = strcasecmp(name.c_str(), "localhost") == 0;
  for (const std::string& text :
       localhost ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{name}) {
    const auto numeric = get_addresses(text, AI_NUMERICHOST);
    if (!numeric || numeric->empty()) return std::nullopt;
    addresses.push_back(numeric->front());
  }
  return addresses;
}

}  // namespace

void set_port(SocketAddress& address, uint16_t port) {
  if (address.storage.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
  }
}

std::string to_string(const SocketAddress& address) {
  char text[NI_MAXHOST];
  if (getnameinfo(address.get(), address.length, text, sizeof text, nullptr, 0, NI_NUMERICHOST)) {
    return {};
  }
  return text;
}

Resolver::Resolver(Loop& loop, ResolverOptions options)
    : loop_(loop), options_(std::move(options)), door_(std::make_shared<LoopDoor>(loop)) {
  if (!options_.lookup) {
    options_.lookup = [](const std::string& name) { return get_addresses(name, AI_ADDRCONFIG); };
  }
  if (!options_.now) options_.now = [] { return now().steady; };
}

Resolver::~Resolver() {
  door_->close();
  for (const auto& [id, waiter] : waiters_) loop_.cancel(waiter.timer);
}

Resolver::Id Resolver::resolve(const std::string& name, Deadline deadline,
                               OnAddresses on_addresses) {
  const Id id = next_id_++;
  Waiter& waiter = waiters_[id];
  waiter.name = name;
  waiter.on_addresses = std::move(on_addresses);
  if (auto addresses = known(name)) {
    deliver_later(id, *std::move(addresses));
    return id;
  }
  Name& entry = names_[name];
  const Instant at = options_.now();
  const auto within = [at](const std::optional<Instant>& since, Duration age) {
    return since && at - *since < age;
  };
  const bool failed_just_now = within(entry.bad_at, kFailureKept);
  if (!within(entry.good_at, kFresh) && !failed_just_now) refresh(name, entry);
  if (within(entry.good_at, kStale)) {
    deliver_later(id, entry.good);
  } else if (failed_just_now) {
    deliver_later(id, entry.bad);
  } else {
    entry.waiters.push_back(id);
    waiter.timer = loop_.at(deadline, [this, id] { on_deadline(id); });
  }
  return id;
}

void Resolver::cancel(Id id) {
  const auto found = waiters_.find(id);
  if (found == waiters_.end()) return;
  loop_.cancel(found->second.timer);
  const auto entry = names_.find(found->second.name);
  if (entry != names_.end()) std::erase(entry->second.waiters, id);
  waiters_.erase(found);
}

void Resolver::deliver_later(Id id, Result<SocketAddresses> addresses) {
  door_->post([this, id, addresses = std::move(addresses)] { deliver(id, addresses); });
}

void Resolver::deliver(Id id, Result<SocketAddresses> addresses) {
  const auto found = waiters_.find(id);
  if (found == waiters_.end()) return;
  const OnAddresses on_addresses = std::move(found->second.on_addresses);
  cancel(id);
  on_addresses(std::move(addresses));
}

void Resolver::refresh(const std::string& name, Name& entry) {
  if (entry.under_way) return;
  entry.under_way = true;
  queue_.push_back(name);
  run_queue();
}

void Resolver::run_queue() {
  while (running_ < kMaxThreads && !queue_.empty()) {
    const std::string name = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    const auto work = [this, name, door = door_, lookup = options_.lookup] {
      door->post([this, name, addresses = lookup(name)] { finished(name, addresses); });
    };
    if (start_detached("resolver", work)) continue;
    door_->post([this, name] { finished(name, failure(name, "no thread can be started")); });
  }
}

void Resolver::finished(const std::string& name, Result<SocketAddresses> addresses) {
  --running_;
  if (addresses && addresses->empty()) addresses = failure(name, "the name has no address");
  Name& entry = names_[name];
  entry.under_way = false;
  if (addresses) {
    entry.good = *addresses;
    entry.good_at = options_.now();
    entry.bad_at.reset();
  } else {
    entry.bad = addresses.error();
    entry.bad_at = options_.now();
  }
  run_queue();
  const std::vector<Id> waiters = std::exchange(entry.waiters, {});
  for (const Id id : waiters) deliver(id, addresses);
}

void Resolver::on_deadline(Id id) {
  const auto found = waiters_.find(id);
  if (found == waiters_.end()) return;
  deliver(id, failure(found->second.name, "no answer in time"));
}

}  // namespace lagwatch
