// SPDX-License-Identifier: Apache-2.0
// How a PostgresConnection comes to be: name, password, handshake, and before 9.6 the short
// replication connection that tells the system identifier. libpq, chapters 34.1 and 34.4.
#include <atomic>
#include <utility>

#include "base/text.h"
#include "client/postgres_connection.h"
#include "client/postgres_dsn.h"
#include "client/postgres_error.h"
#include "client/secret.h"

namespace lagwatch {
namespace {

constexpr int kFirstWithSystemIdentifier = 90600;

}  // namespace

void PostgresConnection::open() {
  if (waiting_.empty()) return;
  replication_ = false;
  identified_ = false;
  const std::string host = dsn_host_to_resolve(server_->dsn);
  if (host.empty()) {
    connect({});
    return;
  }
  phase_ = Phase::kResolving;
  // The questions' own deadlines bound it.
  resolving_ =
      resolver_.resolve(host, Instant::max(), [this](const Result<SocketAddresses>& found) {
        resolving_ = 0;
        if (found.ok()) {
          connect(*found);
        } else {
          fail_all(found.error());
        }
      });
}

void PostgresConnection::connect(const SocketAddresses& addresses) {
  addresses_ = addresses;
  std::string password;
  if (!server_->password_file.empty()) {
    Result<std::string> secret = read_secret(server_->password_file);
    if (!secret.ok()) return fail_all(secret.error());
    password = std::move(*secret);
  }
  const DsnParameters parameters =
      connect_parameters(*server_, addresses, password, timeout_, replication_);
  connection_.reset(
      PQconnectStartParams(parameters.keywords().data(), parameters.values().data(), 0));
  if (!connection_) return fail_all({Reason::kProtocol, "libpq is out of memory", {}});
  PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);
  PQsetNoticeReceiver(
      connection_.get(), [](void*, const PGresult*) {}, nullptr);
  if (PQstatus(connection_.get()) == CONNECTION_BAD) return on_connect_failed();
  phase_ = Phase::kConnecting;
  watch(EPOLLOUT, [this](uint32_t) { poll_connect(); });
}

void PostgresConnection::poll_connect() {
  const PostgresPollingStatusType status = PQconnectPoll(connection_.get());
  // libpq may have closed the socket and opened another under the same number: always watch anew.
  unwatch();
  switch (status) {
    case PGRES_POLLING_READING:
      return watch(EPOLLIN, [this](uint32_t) { poll_connect(); });
    case PGRES_POLLING_WRITING:
      return watch(EPOLLOUT, [this](uint32_t) { poll_connect(); });
    case PGRES_POLLING_OK:
      return on_connected_now();
    default:
      return on_connect_failed();
  }
}

void PostgresConnection::on_connect_failed() {
  if (!replication_) return fail_all(postgres_connect_error(PQerrorMessage(connection_.get())));
  const Error error = postgres_connect_error(PQerrorMessage(connection_.get()));
  identify_problem_ = error.message;
  end_identifying();
}

void PostgresConnection::on_connected_now() {
  static std::atomic<uint64_t> connections{0};
  notify_connected_();
  PQsetnonblocking(connection_.get(), 1);
  if (replication_) return start_identifying();
  const bool old = PQserverVersion(connection_.get()) < kFirstWithSystemIdentifier;
  if (old && server_->identify && !identified_) {
    // One connection at a time: this one makes way for the short one.
    identified_ = true;
    replication_ = true;
    close();
    return connect(SocketAddresses(addresses_));
  }
  if (!old) {
    system_identifier_.clear();
    identify_problem_.clear();
  }
  PQenterPipelineMode(connection_.get());
  number_ = ++connections;
  phase_ = Phase::kReady;
  watch(EPOLLIN, [this](uint32_t events) { on_ready_events(events); });
  flush();
}

// ---- the short replication connection (streaming replication protocol, IDENTIFY_SYSTEM)

void PostgresConnection::start_identifying() {
  phase_ = Phase::kIdentifying;
  if (PQsendQuery(connection_.get(), "IDENTIFY_SYSTEM") == 0) return end_identifying();
  PQflush(connection_.get());
  watch(EPOLLIN, [this](uint32_t) { read_identity(); });
}

void PostgresConnection::read_identity() {
  const bool alive = PQconsumeInput(connection_.get()) != 0;
  if (alive && PQisBusy(connection_.get()) != 0) return;
  const PostgresResult result(alive ? PQgetResult(connection_.get()) : nullptr);
  if (PQresultStatus(result.get()) == PGRES_TUPLES_OK && PQntuples(result.get()) == 1 &&
      PQnfields(result.get()) >= 1) {
    system_identifier_ = printable(PQgetvalue(result.get(), 0, 0), 32);
    identify_problem_.clear();
  } else {
    system_identifier_.clear();
    identify_problem_ = printable(trim(PQerrorMessage(connection_.get())));
  }
  end_identifying();
}

void PostgresConnection::end_identifying() {
  replication_ = false;
  close();
  identified_ = true;
  connect(SocketAddresses(addresses_));
}

}  // namespace lagwatch
