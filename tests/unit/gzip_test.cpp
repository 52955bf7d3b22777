// SPDX-License-Identifier: Apache-2.0
// The gzip body: what comes out unpacks to what went in, in pieces of bounded size.
#include "expose/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace lagwatch {
namespace {

class Pieces : public BodySource {
 public:
  explicit Pieces(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  void next(std::string& chunk) override {
    chunk.clear();
    if (at_ < pieces_.size()) chunk = pieces_[at_++];
  }

 private:
  std::vector<std::string> pieces_;
  size_t at_ = 0;
};

std::string unpack(const std::string& packed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string bytes = packed;
  stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int result = Z_OK;
  while (result == Z_OK) {
    char buffer[4096];
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer, sizeof buffer - stream.avail_out);
  }
  EXPECT_EQ(result, Z_STREAM_END);
  EXPECT_EQ(stream.avail_in, 0u) << "nothing behind the end";
  inflateEnd(&stream);
  return out;
}

struct Packed {
  std::string bytes;
  size_t largest_piece = 0;
};

Packed pack(std::vector<std::string> pieces) {
  const auto source = gzip(std::make_unique<Pieces>(std::move(pieces)));
  Packed out;
  std::string chunk = "left from before";
  for (source->next(chunk); !chunk.empty(); source->next(chunk)) {
    out.bytes += chunk;
    out.largest_piece = std::max(out.largest_piece, chunk.size());
  }
  source->next(chunk);
  EXPECT_TRUE(chunk.empty()) << "the end stays the end";
  return out;
}

std::string noise(size_t size) {
  std::mt19937 random(1);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

TEST(Gzip, EmptyBodyIsAnEmptyStream) {
  const Packed packed = pack({});
  EXPECT_FALSE(packed.bytes.empty());
  EXPECT_EQ(unpack(packed.bytes), "");
}

TEST(Gzip, ManySmallPiecesAreOneStream) {
  std::string expected;
  std::vector<std::string> pieces;
  for (int i = 0; i < 10000; ++i) {
    pieces.push_back("metric{n=\"" + std::to_string(i) + "\"} 1\n");
    expected += pieces.back();
  }
  const Packed packed = pack(std::move(pieces));
  EXPECT_EQ(unpack(packed.bytes), expected);
  EXPECT_LT(packed.bytes.size(), expected.size() / 3);
}

TEST(Gzip, LargePieceComesOutInSmallOnes) {
  const std::string random = noise(3 * 1024 * 1024);
  const Packed packed = pack({random, "tail"});
  EXPECT_TRUE(unpack(packed.bytes) == random + "tail");
  EXPECT_LE(packed.largest_piece, 16u * 1024);
}

TEST(Gzip, OutputThatJustFillsAPieceIsEndedProperly) {
  // Incompressible input around the size where the trailer no longer fits in.
  for (size_t size = 16 * 1024 - 40; size < 16 * 1024 + 10; ++size) {
    const std::string random = noise(size);
    ASSERT_TRUE(unpack(pack({random}).bytes) == random) << size;
  }
}

class Failing : public BodySource {
 public:
  void next(std::string&) override { throw std::runtime_error("gone"); }
};

TEST(Gzip, FailureOfTheSourceIsPassedOn) {
  const auto source = gzip(std::make_unique<Failing>());
  std::string chunk;
  EXPECT_THROW(source->next(chunk), std::runtime_error);
}

TEST(Gzip, CanBeAbandonedHalfway) {
  const auto source = gzip(std::make_unique<Pieces>(std::vector<std::string>{noise(1 << 20)}));
  std::string chunk;
  source->next(chunk);
  EXPECT_FALSE(chunk.empty());
}

}  // namespace
}  // namespace lagwatch
