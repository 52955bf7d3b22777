// SPDX-License-Identifier: Apache-2.0
// A host for discovery, made up in a temporary directory.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "discover/discover.h"

namespace lagwatch::made_up {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

inline std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_all(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline fs::perms mode_of(const std::string& octal) {
  unsigned mode = 0;
  for (const char c : octal) mode = mode * 8 + static_cast<unsigned>(c - '0');
  return static_cast<fs::perms>(mode);
}

// A host in a temporary directory, gone at the end.
class Host {
 public:
  Host() {
    std::string pattern = fs::temp_directory_path() / "lagwatch-host-XXXXXX";
    path_ = mkdtemp(pattern.data());
    fs::permissions(path_, fs::perms(0755));
    fs::create_directories(path_ / "proc");
    fs::create_directories(path_ / "root");
  }
  ~Host() { fs::remove_all(path_); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  std::string root() const { return path_ / "root"; }
  std::string proc() const { return path_ / "proc"; }
  fs::path at(const std::string& path) const { return root() + path; }

  // One line of a scene; `source` is its directory.
  void add(const std::string& line, const fs::path& source) {
    Lines words;
    std::istringstream stream(line);
    for (std::string word; stream >> word;) words.push_back(word);
    if (words.empty()) return;
    const std::string& what = words[0];
    if (what == "process") {
      add_process(words);
    } else if (what == "container") {
      std::ofstream(proc() + "/" + words.at(1) + "/status")
          << "PPid:\t1\nNSpid:\t" << words.at(1) << "\t7\n";
    } else if (what == "cwd") {
      fs::create_symlink(words.at(2), proc() + "/" + words.at(1) + "/cwd");
    } else if (what == "file") {
      write_all(at(words.at(1)), read_all(source / words.at(2)));
      fs::permissions(at(words.at(1)), mode_of(words.at(3)));
    } else if (what == "dir") {
      fs::create_directories(at(words.at(1)));
      fs::permissions(at(words.at(1)), mode_of(words.at(2)));
    } else if (what == "socket") {
      add_socket(words.at(1), mode_of(words.at(2)), words.at(3));
    } else if (what == "unix") {
      add_listener("/net/unix",
                   words.size() > 1
                       ? "0000000000000000: 00000002 00000000 00010000 0001 01 4711 " + words[1]
                       : "Num RefCount Protocol Flags Type St Inode Path");
    } else if (what == "tcp") {
      std::stringstream port;
      port << std::uppercase << std::hex << std::stoul(words.at(1));
      add_listener("/net/tcp",
                   "   0: 0100007F:" + port.str() + " 00000000:0000 0A 00000000:00000000");
    } else if (what == "fifo") {
      fs::create_directories(at(words.at(1)).parent_path());
      ASSERT_EQ(mkfifo(at(words.at(1)).c_str(), 0644), 0);
    } else {
      ADD_FAILURE() << line;
    }
  }

  Discovery discover() const { return lagwatch::discover({.proc = proc(), .root = root()}); }

 private:
  // words: process PID PARENT COMM ARGUMENT...
  void add_process(const Lines& words) {
    const fs::path directory = fs::path(proc()) / words.at(1);
    std::string cmdline;
    for (size_t i = 4; i < words.size(); ++i) cmdline += words[i] + '\0';
    write_all(directory / "cmdline", cmdline);
    write_all(directory / "comm", words.at(3) + "\n");
    write_all(directory / "status",
              "Name:\tx\nPPid:\t" + words.at(2) + "\nNSpid:\t" + words.at(1) + "\n");
  }

  void add_listener(const std::string& table, const std::string& line) {
    fs::create_directories(proc() + "/net");
    std::ofstream(proc() + table, std::ios::app) << line << "\n";
  }

  void add_socket(const std::string& path, fs::perms mode, const std::string& group) {
    fs::create_directories(at(path).parent_path());
    ASSERT_EQ(mknod(at(path).c_str(), S_IFSOCK | 0600, 0), 0);
    if (geteuid() == 0) {
      const gid_t id = group == "root" ? 0 : group == "daemon" ? 1 : 65534;
      ASSERT_EQ(chown(at(path).c_str(), 0, id), 0);
    }
    fs::permissions(at(path), mode);
  }

  fs::path path_;
};

}  // namespace lagwatch::made_up
