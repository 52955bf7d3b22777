// SPDX-License-Identifier: Apache-2.0
// PostgreSQL clusters as joins see them, made by hand: servers with their facts at chosen moments.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "join/join.h"

namespace lagwatch {

// A day in the life of some servers. Time passes by pass(); run() joins what they said last.
class PostgresScene {
 public:
  struct Server {
    std::string name;
    PostgresNode node;
    std::optional<PostgresReceiver> receiver;
    std::optional<PostgresHeartbeat> heartbeat;
    std::optional<PostgresArchiving> archiving;
    std::optional<PostgresWalKept> kept;
    std::vector<PostgresSender> senders;
    std::vector<PostgresSlot> slots;
    bool answers = true;     // else its facts stay as they are
    bool forgotten = false;  // its samples are too old to be shown
    bool senders_hidden = false;
  };

  Server& primary(const std::string& name, Lsn current, uint32_t timeline = 1) {
    Server& server = add(name);
    server.node.current = current;
    server.node.timeline = timeline;
    return server;
  }
  // Streams, and has said so just now.
  Server& standby(const std::string& name, Lsn replay, Lsn receive) {
    Server& server = add(name);
    server.node.in_recovery = true;
    server.node.replay = replay;
    server.node.receive = receive;
    server.receiver = PostgresReceiver{};
    server.receiver->streaming = true;
    server.receiver->timeline = 1;
    server.receiver->last_message_age = 0.1;
    server.receiver->timeout = 60;
    return server;
  }

  Server& at(const std::string& name) {
    for (const auto& one : servers_) {
      if (one->name == name) return *one;
    }
    std::abort();
  }

  // All that answer are asked; the joins run.
  void run() {
    std::vector<std::shared_ptr<const TargetView>> targets;
    for (const auto& server : servers_) targets.push_back(view(*server));
    joined_ = run_joins(targets, now_, memory);
  }
  void pass(Duration duration) {
    now_.steady += duration;
    now_.wall += duration;
    run();
  }
  const Moment& now() const { return now_; }

  // The sample of `name` on server `server`; `labels` is what its label block must contain.
  std::optional<double> value(const std::string& server, std::string_view name,
                              std::string_view labels = {}) const {
    for (size_t i = 0; i < servers_.size(); ++i) {
      if (servers_[i]->name != server) continue;
      for (const Table& table : joined_[i]) {
        if (const auto found = cell(table, name, labels)) return found;
      }
    }
    return std::nullopt;
  }

  JoinMemory memory;

 private:
  Server& add(const std::string& name) {
    Server& server = *servers_.emplace_back(std::make_unique<Server>());
    server.name = name;
    server.node.system_identifier = "7711";
    server.node.start_time = static_cast<double>(servers_.size());
    return server;
  }

  static std::optional<double> cell(const Table& table, std::string_view name,
                                    std::string_view labels) {
    for (size_t column = 0; column < table.schema().columns.size(); ++column) {
      const Column& declared = table.schema().columns[column];
      if (declared.name != name) continue;
      for (size_t row = 0; row < table.rows(); ++row) {
        for (size_t i = 0; i < cell_count(declared); ++i) {
          std::string block(table.labels(row));
          if (!declared.values.empty()) append_label(block, declared.label, declared.values[i]);
          const double value = table.value(row, column, i);
          if (block.find(labels) != std::string::npos && value == value) return value;
        }
      }
    }
    return std::nullopt;
  }

  std::shared_ptr<const TargetView> view(Server& server) {
    static const Kind kKind{"postgres", "", nullptr};
    auto target = std::make_shared<TargetView>();
    target->info = std::make_shared<const TargetInfo>(
        TargetInfo{&kKind, server.name, "target=\"" + server.name + "\""});
    target->interval = std::chrono::seconds(5);
    target->up = server.answers;
    if (server.forgotten) return target;
    if (server.answers) {
      server.node.at = now_.steady;
      if (server.receiver) server.receiver->at = now_.steady;
      if (server.heartbeat) server.heartbeat->at = now_.steady;
      for (PostgresSender& one : server.senders) one.at = now_.steady;
      for (PostgresSlot& one : server.slots) one.at = now_.steady;
    }
    auto output = std::make_shared<Output>(target->info->label_block);
    output->fact(server.node);
    if (server.receiver) output->fact(*server.receiver);
    if (server.heartbeat) output->fact(*server.heartbeat);
    if (server.archiving) output->fact(*server.archiving);
    if (server.kept) output->fact(*server.kept);
    if (!server.senders_hidden) output->fact(PostgresSenders{server.node.at});
    for (const PostgresSender& one : server.senders) output->fact(one);
    for (const PostgresSlot& one : server.slots) output->fact(one);
    target->collectors.emplace_back().output = std::move(output);
    return target;
  }

  Moment now_{Instant(std::chrono::hours(100)), WallTime(std::chrono::seconds(1795352000))};
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::vector<Table>> joined_;
};

}  // namespace lagwatch
