// SPDX-License-Identifier: Apache-2.0
// One connection to a PostgreSQL server: made when asked, in pipeline mode, with statements
// prepared at their first use, given up at the first deadline that passes.
#pragma once

#include <libpq-fe.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "client/asker.h"
#include "client/loop.h"
#include "client/resolver.h"

namespace lagwatch {

struct PostgresResultClear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PostgresResult = std::unique_ptr<PGresult, PostgresResultClear>;

// Lives on the loop thread. At most one connection exists at a time, the short replication one of
// servers before 9.6 included.
class PostgresConnection {
 public:
  PostgresConnection(Loop& loop, Resolver& resolver, std::shared_ptr<const PostgresServer> server,
                     std::function<void()> on_connected);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  const std::shared_ptr<const PostgresServer>& server() const { return server_; }

  void ask(AskId id, const SqlAsk& ask, Deadline deadline, Asker::OnReply on_reply);
  void cancel(AskId id);

 private:
  enum class Phase { kClosed, kResolving, kConnecting, kIdentifying, kReady };

  struct Question;
  using QuestionPtr = std::unique_ptr<Question>;
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  struct Delivery {
    Asker::OnReply on_reply;
    Reply reply;
  };

  void open();
  void connect(const SocketAddresses& addresses);
  void poll_connect();
  void on_connect_failed();
  void on_connected_now();
  void start_identifying();
  void read_identity();
  void end_identifying();
  void flush();
  bool send(Question& question);
  void write_out();
  void on_ready_events(uint32_t events);
  void read_answers();
  void take_result(Question& question, PGresult* result);
  void finish_front(std::vector<Delivery>& done);
  void on_deadline(AskId id);
  Error silent() const;
  void watch(uint32_t events, Loop::OnEvents on_events);
  void unwatch();
  void close();
  void fail_all(const Error& error);
  std::vector<QuestionPtr> take_all();

  Loop& loop_;
  Resolver& resolver_;
  const std::shared_ptr<const PostgresServer> server_;
  const std::function<void()> notify_connected_;

  Phase phase_ = Phase::kClosed;
  std::unique_ptr<PGconn, Finish> connection_;
  int watched_ = -1;
  bool writes_ = false;        // watched for room to write, too
  SocketAddresses addresses_;  // what the host's name means, while connecting
  Resolver::Id resolving_ = 0;
  Loop::TimerId soon_ = 0;    // open() or flush() in the next turn
  Duration timeout_{};        // of the exchange that opened the connection
  uint64_t number_ = 0;       // of this connection in this process
  bool replication_ = false;  // the connection under way is the short one of old servers
  bool identified_ = false;   // whether that was tried for this connection
  std::string system_identifier_;
  std::string identify_problem_;

  struct Prepared {
    std::string name;
    bool sent = false;
  };
  std::unordered_map<std::string, Prepared> prepared_;  // by text
  uint64_t next_name_ = 1;

  std::deque<QuestionPtr> waiting_;  // not sent yet
  std::deque<QuestionPtr> sent_;     // in the order of their answers
};

}  // namespace lagwatch
