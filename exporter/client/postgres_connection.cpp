// SPDX-License-Identifier: Apache-2.0
// libpq, chapters 34.4 (asynchronous processing) and 34.5 (pipeline mode). Measured: prepared and
// pipelined, six questions are one round trip of 0.14 ms and 0.017 ms of our CPU; a connection is
// 14 ms of the server's.
#include "client/postgres_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "client/postgres_error.h"

namespace lagwatch {
namespace {

std::string_view text_for(std::span<const Sql> texts, int version) {
  std::string_view found;
  for (const Sql& sql : texts) {
    if (sql.since <= version) found = sql.text;
  }
  return found;
}

Rows to_rows(const PGresult* result) {
  std::vector<std::string> columns;
  const int width = PQnfields(result);
  for (int column = 0; column < width; ++column) columns.emplace_back(PQfname(result, column));
  Rows rows(std::move(columns));
  for (int row = 0; row < PQntuples(result); ++row) {
    for (int column = 0; column < width; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        rows.add_null();
      } else {
        rows.add({PQgetvalue(result, row, column),
                  static_cast<size_t>(PQgetlength(result, row, column))});
      }
    }
  }
  return rows;
}

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? "" : text;
}

}  // namespace

struct PostgresConnection::Question {
  AskId id = 0;
  std::span<const Sql> texts;
  size_t max_bytes = 0;
  Asker::OnReply on_reply;  // null: cancelled
  Loop::TimerId timer = 0;
  std::string_view text;   // what was sent
  bool preparing = false;  // the next result is that of its preparation
  std::optional<Error> error;
  SqlAnswer answer;
};

PostgresConnection::PostgresConnection(Loop& loop, Resolver& resolver,
                                       std::shared_ptr<const PostgresServer> server,
                                       std::function<void()> on_connected)
    : loop_(loop),
      resolver_(resolver),
      server_(std::move(server)),
      notify_connected_(std::move(on_connected)) {}

PostgresConnection::~PostgresConnection() {
  take_all();
  close();
}

void PostgresConnection::ask(AskId id, const SqlAsk& ask, Deadline deadline,
                             Asker::OnReply on_reply) {
  auto question = std::make_unique<Question>();
  question->id = id;
  question->texts = ask.texts;
  question->max_bytes = ask.max_bytes;
  question->on_reply = std::move(on_reply);
  question->timer = loop_.at(deadline, [this, id] { on_deadline(id); });
  waiting_.push_back(std::move(question));
  if (soon_ != 0) return;
  if (phase_ == Phase::kClosed) {
    timeout_ = deadline - now().steady;
    soon_ = loop_.at(Instant::min(), [this] {
      soon_ = 0;
      open();
    });
  } else if (phase_ == Phase::kReady) {
    soon_ = loop_.at(Instant::min(), [this] {
      soon_ = 0;
      flush();
    });
  }
}

void PostgresConnection::cancel(AskId id) {
  const auto mine = [id](const QuestionPtr& one) { return one->id == id; };
  const auto waits = std::find_if(waiting_.begin(), waiting_.end(), mine);
  if (waits != waiting_.end()) {
    loop_.cancel((*waits)->timer);
    waiting_.erase(waits);
    return;
  }
  const auto sent = std::find_if(sent_.begin(), sent_.end(), mine);
  // Its deadline stands: a connection on which nothing comes back is of no use to the next either.
  if (sent != sent_.end()) (*sent)->on_reply = nullptr;
}

// ---- asking

void PostgresConnection::flush() {
  std::vector<Delivery> done;
  while (!waiting_.empty()) {
    QuestionPtr question = std::move(waiting_.front());
    waiting_.pop_front();
    question->answer.server_version = PQserverVersion(connection_.get());
    question->answer.connection = number_;
    question->answer.role = PQuser(connection_.get());
    question->answer.system_identifier = system_identifier_;
    question->answer.identify_problem = identify_problem_;
    question->text = text_for(question->texts, question->answer.server_version);
    if (question->text.empty()) {
      question->answer.supported = false;
      loop_.cancel(question->timer);
      done.push_back({std::move(question->on_reply), Answer{.sql = std::move(question->answer)}});
      continue;
    }
    const bool sent = send(*question);
    sent_.push_back(std::move(question));
    if (!sent) {
      fail_all(postgres_lost_error(PQerrorMessage(connection_.get())));
      break;
    }
  }
  if (phase_ == Phase::kReady) write_out();
  for (Delivery& one : done) one.on_reply(std::move(one.reply));
}

// Parse and execute, or execute alone, and a Sync of its own: the next statement does not share the
// fate of this one.
bool PostgresConnection::send(Question& question) {
  PGconn* connection = connection_.get();
  Prepared& prepared = prepared_[std::string(question.text)];
  if (!prepared.sent) {
    prepared.name = "lagwatch" + std::to_string(next_name_++);
    const std::string text(question.text);
    if (PQsendPrepare(connection, prepared.name.c_str(), text.c_str(), 0, nullptr) == 0)
      return false;
    prepared.sent = true;
    question.preparing = true;
  }
  return PQsendQueryPrepared(connection, prepared.name.c_str(), 0, nullptr, nullptr, nullptr, 0) !=
             0 &&
         PQpipelineSync(connection) != 0;
}

void PostgresConnection::write_out() {
  const int left = PQflush(connection_.get());
  if (left < 0) return fail_all(postgres_lost_error(PQerrorMessage(connection_.get())));
  if (writes_ == (left > 0)) return;
  writes_ = left > 0;
  loop_.change(watched_, writes_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void PostgresConnection::on_ready_events(uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    write_out();
    if (phase_ != Phase::kReady) return;
  }
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) read_answers();
}

void PostgresConnection::read_answers() {
  std::vector<Delivery> done;
  const bool alive = PQconsumeInput(connection_.get()) != 0;
  bool boundary = false;  // PQgetResult gave null: the end of one statement's results
  while (!sent_.empty() && PQisBusy(connection_.get()) == 0) {
    const PostgresResult result(PQgetResult(connection_.get()));
    if (!result) {
      if (std::exchange(boundary, true)) break;
      continue;
    }
    boundary = false;
    if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
      finish_front(done);
    } else {
      take_result(*sent_.front(), result.get());
    }
  }
  if (!alive || PQstatus(connection_.get()) == CONNECTION_BAD) {
    // A server that ends says why (57P01) in the answer to what was asked of it.
    const bool said = !sent_.empty() && sent_.front()->answer.error;
    const Error error =
        said ? postgres_lost_error("FATAL:  " + sent_.front()->answer.error->sqlstate + ": " +
                                   sent_.front()->answer.error->message)
             : postgres_lost_error(PQerrorMessage(connection_.get()));
    if (sent_.empty() && waiting_.empty()) {
      close();  // nobody asked: the next who asks connects anew
    } else {
      fail_all(error);
    }
  }
  for (Delivery& one : done) one.on_reply(std::move(one.reply));
}

void PostgresConnection::take_result(Question& question, PGresult* result) {
  switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
      if (PQresultMemorySize(result) > question.max_bytes) {
        question.error =
            Error{Reason::kTooLarge,
                  "an answer is larger than " + std::to_string(question.max_bytes) + " bytes",
                  {}};
      } else {
        question.answer.rows = to_rows(result);
      }
      break;
    case PGRES_COMMAND_OK:
      if (std::exchange(question.preparing, false)) break;
      question.answer.affected = parse_number<uint64_t>(PQcmdTuples(result)).value_or(0);
      break;
    case PGRES_PIPELINE_ABORTED:
      break;  // by the error of the statement's own preparation, which came before
    default:
      if (question.answer.error) break;
      question.answer.error = SqlError{field(result, PG_DIAG_SQLSTATE),
                                       printable(field(result, PG_DIAG_MESSAGE_PRIMARY))};
  }
}

void PostgresConnection::finish_front(std::vector<Delivery>& done) {
  QuestionPtr question = std::move(sent_.front());
  sent_.pop_front();
  loop_.cancel(question->timer);
  if (question->answer.error) {
    // Not prepared, or what it reads was made anew since ("cached plan must not change result
    // type"): next time afresh. One that was refused stays prepared.
    const std::string_view state = question->answer.error->sqlstate;
    if (question->preparing || state == "26000" || state == "0A000")
      prepared_.erase(std::string(question->text));
  }
  if (!question->on_reply) return;
  Reply reply = question->error ? Reply(std::move(*question->error))
                                : Reply(Answer{.sql = std::move(question->answer)});
  done.push_back({std::move(question->on_reply), std::move(reply)});
}

// ---- giving up

// What the silence of the server is called: depends on how far it went.
Error PostgresConnection::silent() const {
  switch (phase_) {
    case Phase::kResolving:
      return {Reason::kResolve, "the name of the host was not resolved in time", {}};
    case Phase::kConnecting:
      if (PQstatus(connection_.get()) == CONNECTION_STARTED) {
        return {Reason::kConnectTimeout, "no connection in time",
                "check the host and the way to it"};
      }
      return {Reason::kHung, "connected, and the server did not let us in in time", {}};
    default:
      return {Reason::kHung, "connected, and no answer in time", {}};
  }
}

void PostgresConnection::on_deadline(AskId id) {
  for (const std::deque<QuestionPtr>* questions : {&waiting_, &sent_}) {
    for (const QuestionPtr& one : *questions) {
      if (one->id == id) one->timer = 0;
    }
  }
  fail_all(silent());
}

void PostgresConnection::watch(uint32_t events, Loop::OnEvents on_events) {
  unwatch();
  watched_ = PQsocket(connection_.get());
  loop_.watch(watched_, events, std::move(on_events));
}

void PostgresConnection::unwatch() {
  if (watched_ >= 0) loop_.unwatch(std::exchange(watched_, -1));
}

// PQfinish, never PQcancel: a cancel connects anew and may hang itself. A statement that still runs
// ends by statement_timeout.
void PostgresConnection::close() {
  unwatch();
  connection_.reset();
  prepared_.clear();
  writes_ = false;
  if (resolving_ != 0) resolver_.cancel(std::exchange(resolving_, 0));
  if (soon_ != 0) loop_.cancel(std::exchange(soon_, 0));
  phase_ = Phase::kClosed;
}

std::vector<PostgresConnection::QuestionPtr> PostgresConnection::take_all() {
  std::vector<QuestionPtr> all;
  for (std::deque<QuestionPtr>* questions : {&sent_, &waiting_}) {
    for (QuestionPtr& one : *questions) {
      if (one->timer != 0) loop_.cancel(one->timer);
      all.push_back(std::move(one));
    }
    questions->clear();
  }
  return all;
}

void PostgresConnection::fail_all(const Error& error) {
  const std::vector<QuestionPtr> all = take_all();
  close();
  for (const QuestionPtr& one : all) {
    if (one->on_reply) one->on_reply(error);
  }
}

}  // namespace lagwatch
