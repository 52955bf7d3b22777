// SPDX-License-Identifier: Apache-2.0
// zlib's deflate as a BodySource around another one.
#include "expose/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace lagwatch {
namespace {

constexpr int kLevel = 1;
constexpr int kWindowBits = 15 + 16;  // the largest window, in gzip's wrapping
constexpr int kMemLevel = 8;          // zlib's default
constexpr size_t kPieceBytes = 16 * 1024;

class GzipSource : public BodySource {
 public:
  explicit GzipSource(std::unique_ptr<BodySource> plain) : plain_(std::move(plain)) {
    if (deflateInit2(&stream_, kLevel, Z_DEFLATED, kWindowBits, kMemLevel, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
      throw std::bad_alloc();
    }
  }
  ~GzipSource() override { deflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  void next(std::string& chunk) override {
    if (ended_) {
      chunk.clear();
      return;
    }
    chunk.resize(kPieceBytes);
    stream_.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream_.avail_out = static_cast<uInt>(chunk.size());
    while (stream_.avail_out > 0 && !ended_) {
      refill();
      deflate_some();
    }
    chunk.resize(chunk.size() - stream_.avail_out);
  }

 private:
  // Points zlib at more plain bytes once it has used up the last ones.
  void refill() {
    if (stream_.avail_in > 0 || input_ended_) return;
    if (position_ == input_.size()) {
      plain_->next(input_);
      position_ = 0;
      input_ended_ = input_.empty();
    }
    // A piece may be larger than zlib counts in one call.
    const size_t step =
        std::min<size_t>(input_.size() - position_, std::numeric_limits<uInt>::max());
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data() + position_);
    stream_.avail_in = static_cast<uInt>(step);
    position_ += step;
  }

  void deflate_some() {
    const int result = deflate(&stream_, input_ended_ ? Z_FINISH : Z_NO_FLUSH);
    // Z_BUF_ERROR is not one: there was nothing to do in this call.
    if (result == Z_STREAM_ERROR) throw std::logic_error("zlib's stream state is broken");
    ended_ = result == Z_STREAM_END;
  }

  std::unique_ptr<BodySource> plain_;
  z_stream stream_{};
  std::string input_;    // the piece being packed; stays where it is while zlib points into it
  size_t position_ = 0;  // how much of it zlib was given
  bool input_ended_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<BodySource> gzip(std::unique_ptr<BodySource> plain) {
  return std::make_unique<GzipSource>(std::move(plain));
}

}  // namespace lagwatch
